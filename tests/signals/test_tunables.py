"""Every parameter that a training or a search may set reaches the model it is for, and what cannot be set is refused with a sentence."""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signals import learners
from signals.learners.tunables import TUNABLES, fault
from signals.sequences import Windows
from signals.training.params import TrainingParams, parse
from signals.training.walkforward import new_learner
from traderai.lib.errors import UserError

EACH = [(kind, name) for kind, known in TUNABLES.items() for name in known]
ROWS, WIDTH = 2_400, 8


@cache
def sample(looks_back: bool) -> tuple[Any, np.ndarray, np.ndarray]:
    """Two of the features tell something; a network is given fewer samples."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    y = (rng.uniform(size=ROWS) < 1.0 / (1.0 + np.exp(-2.0 * x[:, 0] + x[:, 3]))).astype(np.int8)
    weight = rng.uniform(0.5, 1.0, ROWS)
    if not looks_back:
        return x, y, weight
    at = np.arange(ROWS - 96, ROWS)
    return Windows(x, np.zeros(ROWS, dtype=np.int64), at), y[at], weight[at]


def fitted(kind: str, tuning: dict[str, float]) -> Any:
    """As a training makes it: through the parameters of a run."""
    if kind in learners.SEQUENCES and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    looks_back = kind in learners.SEQUENCES
    params = TrainingParams(learners=(kind,), rounds=8 if not looks_back else 5, tuning={kind: tuning})
    model = new_learner(kind, params, rounds=None if not looks_back else 1)
    model.fit(*sample(looks_back), None)
    return model


def asked(kind: str) -> Any:
    x, _, _ = sample(kind in learners.SEQUENCES)
    return x


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_each_reaches_the_model_that_is_fitted(kind: str, name: str, tmp_path: Path) -> None:
    known = TUNABLES[kind][name]
    ends = [int(value) if known.is_whole else value for value in (known.low, known.high)]
    models = [fitted(kind, {name: value}) for value in ends]
    low, high = (model.predict(asked(kind)) for model in models)
    assert np.isfinite(low).all()
    assert np.isfinite(high).all()
    assert not np.array_equal(low, high)
    back = learners.learner(kind).from_bytes(Path(models[1].save(str(tmp_path / "model"))).read_bytes())
    assert np.array_equal(back.predict(asked(kind)), high)


def test_every_kind_has_some() -> None:
    assert list(TUNABLES) == list(learners.KINDS)
    assert all(TUNABLES.values())


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_what_lies_outside_is_refused_with_the_bounds(kind: str, name: str) -> None:
    known = TUNABLES[kind][name]
    assert fault({kind: {name: known.low}} if not known.is_whole else {kind: {name: int(known.low)}}) == ""
    for wrong in (known.low - 1, known.high * 2, float("nan"), float("inf"), "much", None, True):
        told = fault({kind: {name: wrong}})
        assert f"{name} of {kind} must be a" in told
        assert f"from {known.low:g} to {known.high:g}, not {wrong!r}" in told
    if known.is_whole:
        assert "must be a whole number" in fault({kind: {name: known.low + 0.5}})


def test_parameters_of_a_learner_that_is_not_trained_are_refused() -> None:
    with pytest.raises(UserError, match="mlp is not among the learners lightgbm: add it to them") as refused:
        parse({"learners": ["lightgbm"], "tuning": {"mlp": {"alpha": 0.1}}})
    assert refused.value.field == "tuning"
    assert parse({"learners": ["lightgbm", "mlp"], "tuning": {"mlp": {"alpha": 0.1}}}).tuning == {"mlp": {"alpha": 0.1}}
