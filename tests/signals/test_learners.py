"""Every kind of learner that looks at one bar, behind one interface: deterministic, calibrated, and the same after saving."""

from pathlib import Path

import numpy as np
import pytest

from signals import learners
from signals.training import figures

KINDS = [kind for kind in learners.KINDS if kind not in learners.SEQUENCES]


def sample(n: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two of ten features matter."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 10)).astype(np.float32)
    chance = 1.0 / (1.0 + np.exp(-(x[:, 0] - 0.8 * x[:, 3])))
    return x, (rng.uniform(size=n) < chance).astype(np.int8), rng.uniform(0.5, 1.0, n)


def fitted(kind: str, rounds: int = 40) -> object:
    x, y, weight = sample(4_000)
    model = learners.learner(kind)(rounds=rounds, patience=10, seed=7)
    model.fit(x[:3_000], y[:3_000], weight[:3_000], (x[3_000:], y[3_000:]))
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_what_there_is_to_learn(kind: str) -> None:
    x, y, _ = sample(2_000, seed=6)
    p = fitted(kind).predict(x)
    assert p.shape == (2_000,)
    assert ((p > 0.0) & (p < 1.0)).all()
    assert figures.auc(y, p) > 0.72


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_data_give_the_same_file(kind: str, tmp_path: Path) -> None:
    first = Path(fitted(kind).save(str(tmp_path / "first")))
    second = Path(fitted(kind).save(str(tmp_path / "second")))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_learner_predicts_and_explains_the_same(kind: str, tmp_path: Path) -> None:
    model = fitted(kind)
    back = learners.learner(kind).from_bytes(Path(model.save(str(tmp_path / "model"))).read_bytes())
    x = sample(200, seed=8)[0]
    assert np.array_equal(back.predict(x), model.predict(x))
    assert back.contributions(x) == pytest.approx(model.contributions(x), abs=1e-6)
    assert back.best_rounds == model.best_rounds


@pytest.mark.parametrize("kind", KINDS)
def test_it_stops_early_when_there_is_nothing_to_learn(kind: str) -> None:
    x, _, weight = sample(3_000)
    y = np.random.default_rng(1).integers(0, 2, 3_000).astype(np.int8)
    model = learners.learner(kind)(rounds=200, patience=5, seed=7)
    model.fit(x[:2_000], y[:2_000], weight[:2_000], (x[2_000:], y[2_000:]))
    assert model.best_rounds < 60


@pytest.mark.parametrize("kind", KINDS)
def test_contributions_name_the_features_that_matter(kind: str) -> None:
    size = np.abs(fitted(kind).contributions(sample(500, seed=9)[0])).mean(axis=0)
    assert size.shape == (10,)
    assert set(np.argsort(-size)[:2]) == {0, 3}


@pytest.mark.parametrize("kind", KINDS)
def test_predicting_before_fitting_is_an_error(kind: str) -> None:
    with pytest.raises(RuntimeError, match="fit the learner first"):
        learners.learner(kind)().predict(np.zeros((1, 10), dtype=np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_rare_wins_keep_a_rare_probability(kind: str) -> None:
    x, y, weight = sample(6_000)
    rare = (y == 1) & (np.random.default_rng(3).uniform(size=y.size) < 0.25)
    model = learners.learner(kind)(rounds=40, patience=10, seed=7)
    model.fit(x[:4_500], rare[:4_500].astype(np.int8), weight[:4_500], (x[4_500:], rare[4_500:].astype(np.int8)))
    assert model.predict(x).mean() == pytest.approx(np.average(rare, weights=weight), abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_count(kind: str) -> None:
    x, y, _ = sample(3_000)
    doubtful = x[:, 5] > 0.0
    flipped = np.where(doubtful, 1 - y, y).astype(np.int8)
    model = learners.learner(kind)(rounds=40, patience=10, seed=7)
    model.fit(x, flipped, np.where(doubtful, 1e-3, 1.0), None)
    assert figures.auc(y[doubtful], model.predict(x[doubtful])) > 0.6  # learned from the rows that count


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_overlap_much_are_learned_from_all_the_same(kind: str) -> None:
    """Uniqueness makes every weight small: what a learner measures in weights would take them for too few samples to split, or shrink its leaves."""
    x, y, weight = sample(3_000)
    whole, small = (learners.learner(kind)(rounds=40, seed=7) for _ in range(2))
    whole.fit(x, y, weight, None)
    small.fit(x, y, weight / 64.0, None)
    assert np.ptp(small.predict(x)) > 0.1
    assert np.array_equal(small.predict(x), whole.predict(x))


def test_every_kind_has_a_word_and_its_packages() -> None:
    assert list(learners.WORDS) == list(learners.PACKAGES) == list(learners.KINDS)
    assert all(learners.is_installed(kind) for kind in KINDS)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(learners.UnknownLearner, match="'oracle' is unknown: use one of lightgbm, xgboost"):
        learners.learner("oracle")
