"""Sequence learners: they learn what only the past bars tell, the same from the same data, and their files are no pickles."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signals import learners
from signals.ports import CHECKPOINT
from signals.sequences import Windows
from signals.training import figures

torch = pytest.importorskip("torch")
KINDS = sorted(learners.SEQUENCES)
BARS = 900


def sample(seed: int = 5) -> tuple[Windows, np.ndarray, np.ndarray]:
    """A label that follows the mean of the first of three features over the last eight bars: no single bar tells it."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(BARS, 3)).astype(np.float32)
    mean = np.convolve(rows[:, 0], np.ones(8) / 8.0)[:BARS]
    chance = 1.0 / (1.0 + np.exp(-12.0 * mean))
    at = np.arange(100, BARS)
    y = (rng.uniform(size=BARS) < chance).astype(np.int8)[at]
    return Windows(rows * np.float32(50.0) + np.float32(3.0), np.zeros(BARS, dtype=np.int64), at), y, rng.uniform(0.5, 1.0, at.size)


def fitted(kind: str, rounds: int = 6) -> Any:
    x, y, weight = sample()
    model = learners.learner(kind)(rounds=rounds, patience=10, seed=7)
    model.fit(x.take(np.arange(600)), y[:600], weight[:600], (x.take(np.arange(600, 800)), y[600:]))
    return model


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Any:
    return fitted(request.param)


def test_it_learns_from_the_bars_before(model: Any) -> None:
    x, y, _ = sample(seed=6)
    p = model.predict(x)
    assert p.shape == y.shape
    assert ((p > 0.0) & (p < 1.0)).all()
    newest_alone = figures.auc(y, x.rows[x.at, 0])
    assert figures.auc(y, p) > max(0.7, newest_alone + 0.05)


def test_the_same_data_give_the_same_file_whatever_else_draws_random_numbers(model: Any, tmp_path: Path) -> None:
    first = Path(model.save(str(tmp_path / "first")))
    torch.manual_seed(99)
    torch.rand(3)
    before = torch.get_rng_state()
    second = Path(fitted(model.kind).save(str(tmp_path / "second")))
    assert first.read_bytes() == second.read_bytes()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.are_deterministic_algorithms_enabled() is False


def test_a_saved_learner_predicts_and_explains_the_same(model: Any, tmp_path: Path) -> None:
    data = Path(model.save(str(tmp_path / "model"))).read_bytes()
    back = learners.learner(model.kind).from_bytes(data)
    x = sample(seed=8)[0].take(np.arange(60))
    assert np.array_equal(back.predict(x), model.predict(x))
    assert np.array_equal(back.contributions(x.take(np.arange(2))), model.contributions(x.take(np.arange(2))))
    assert back.best_rounds == model.best_rounds


def test_contributions_name_the_feature_that_matters(model: Any) -> None:
    size = np.abs(model.contributions(sample(seed=9)[0].take(np.arange(0, 300, 30)))).mean(axis=0)
    assert size.argmax() == 0


def test_what_came_before_the_window_and_after_the_row_is_not_seen(model: Any) -> None:
    x = sample(seed=10)[0].take(np.array([700]))
    other = x.rows.copy()
    other[: x.at[0] - model.lookback + 1] = 1e6
    other[x.at[0] + 1 :] = -1e6
    assert np.array_equal(model.predict(x), model.predict(x._replace(rows=other)))


def test_rare_wins_keep_a_rare_probability(model: Any) -> None:
    x, y, weight = sample()
    rare = ((y == 1) & (np.random.default_rng(3).uniform(size=y.size) < 0.3)).astype(np.int8)
    other = learners.learner(model.kind)(rounds=3, patience=10, seed=7)
    other.fit(x.take(np.arange(600)), rare[:600], weight[:600], (x.take(np.arange(600, 800)), rare[600:]))
    assert other.predict(x).mean() == pytest.approx(rare.mean(), abs=0.04)


def test_a_file_of_another_kind_or_none_is_refused(model: Any, tmp_path: Path) -> None:
    data = Path(model.save(str(tmp_path / "model"))).read_bytes()
    other = next(kind for kind in KINDS if kind != model.kind)
    with pytest.raises(ValueError, match=f"holds a network of kind '{model.kind}'"):
        learners.learner(other).from_bytes(data)
    with pytest.raises(Exception, match=r"(?i)header|invalid"):
        learners.learner(model.kind).from_bytes(b"\x80\x04N.")


def test_a_fit_that_is_no_longer_wanted_ends_and_lets_the_next_one_in() -> None:
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise KeyboardInterrupt

    x, y, weight = sample()
    token = CHECKPOINT.set(look)
    try:
        with pytest.raises(KeyboardInterrupt):
            learners.learner("lstm")(rounds=2, seed=7).fit(x, y, weight, None)
    finally:
        CHECKPOINT.reset(token)
    assert torch.are_deterministic_algorithms_enabled() is False
    learners.learner("lstm")(rounds=1, seed=7).fit(x, y, weight, None)


def test_predicting_before_fitting_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="fit the learner first"):
        learners.learner("lstm")().predict(sample()[0])


def test_one_live_row_takes_less_than_50_ms_of_145_features(model: Any) -> None:
    import time

    rng = np.random.default_rng(1)
    wide = learners.learner(model.kind)(rounds=1, seed=7)
    rows = rng.normal(size=(300, 145)).astype(np.float32)
    x = Windows(rows, np.zeros(300, dtype=np.int64), np.arange(250, 300))
    wide.fit(x, np.tile([0, 1], 25).astype(np.int8), np.ones(50), None)
    live = x.take(np.array([49]))
    wide.predict(live)
    times = []
    for _ in range(9):
        started = time.process_time()
        wide.predict(live)
        times.append(time.process_time() - started)
    assert sorted(times)[4] < 0.05


def test_without_pytorch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("signals.learners.deep")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)  # as Python marks a module that cannot be imported
    with pytest.raises(learners.NotInstalled, match="'lstm' needs PyTorch, which is not installed: install the extra `deep`"):
        learners.learner("lstm")
