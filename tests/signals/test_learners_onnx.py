"""scikit-learn's learners as ONNX: what ONNX Runtime answers is what scikit-learn would have."""

import numpy as np
import pytest

from signals import learners
from signals.learners.sk import boosting, forest, perceptron
from signals.learners.sk.fitted import Budget
from signals.learners.sk.learner import OneSided
from signals.learners.sk.onnx_file import OnnxFile, write

TRAINERS = {"forest": forest.train, "histgb": boosting.train, "mlp": perceptron.train}
BUDGET = Budget(rounds=30, patience=10, seed=7)


def sample(n: int = 3_000, *, missing: float = 0.0, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of very different scales, some of few values, some of them missing; two of them matter."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    x[:, 4] = np.round(x[:, 4])
    x[:, 5] = x[:, 5] * 1e-4 + 1.0
    x[:, 6] *= 1e4
    chance = 1.0 / (1.0 + np.exp(-(x[:, 0] - x[:, 4])))
    y = (rng.uniform(size=n) < chance).astype(np.int8)
    x[rng.uniform(size=x.shape) < missing] = np.nan
    return x, y, rng.uniform(0.5, 1.0, n)


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("kind", TRAINERS)
def test_onnx_answers_as_scikit_learn_does(kind: str, missing: float) -> None:
    x, y, weight = sample(missing=missing)
    fitted = TRAINERS[kind](x, y, weight, None, BUDGET)
    file = OnnxFile(write(fitted, x))
    fresh = sample(2_000, missing=missing, seed=6)[0]
    for rows in (x, fresh):
        assert file.predict(rows) == pytest.approx(fitted.estimator.predict_proba(rows)[:, 1], abs=1e-5)


@pytest.mark.parametrize("kind", ["forest", "histgb"])
def test_a_value_at_a_trees_threshold_goes_the_same_way(kind: str) -> None:
    rng = np.random.default_rng(1)
    step = np.float32(1.0) + np.arange(64, dtype=np.float32) * np.float32(2.0**-23)  # neighbours in float32: their middle is none
    x = np.column_stack([rng.choice(step, 4_000), rng.choice(step * np.float32(-0.1), 4_000)]).astype(np.float32)
    y = (x[:, 0] > step[31]).astype(np.int8)
    fitted = TRAINERS[kind](x, y, np.ones(4_000), None, BUDGET)
    assert OnnxFile(write(fitted, x)).predict(x) == pytest.approx(fitted.estimator.predict_proba(x)[:, 1], abs=1e-5)


def test_histogram_boosting_splits_as_scikit_learn_does_on_values_it_can_count() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    x, y, weight = sample()
    x = np.round(x * 4.0)  # fewer values than bins, so both see the same bins
    x[:, 6] = np.round(x[:, 6] / 4e4)
    ours = boosting.train(x, y, weight, None, BUDGET)
    theirs = HistGradientBoostingClassifier(max_iter=30, random_state=7, early_stopping=False, **boosting.PARAMS).fit(
        x, y, sample_weight=weight
    )
    assert OnnxFile(write(ours, x)).predict(x) == pytest.approx(theirs.predict_proba(x)[:, 1], abs=1e-5)


@pytest.mark.parametrize("kind", TRAINERS)
def test_contributions_are_the_change_in_log_odds_when_one_feature_is_at_its_median(kind: str) -> None:
    x, y, weight = sample()
    model = learners.learner(kind)(rounds=30, patience=10, seed=7)
    model.fit(x, y, weight, None)
    row = x[17:18]
    without = row.copy()
    without[0, 4] = np.median(x[:, 4])
    before, after = (np.log(p / (1.0 - p)) for p in (model.predict(row)[0], model.predict(without)[0]))
    assert model.contributions(row)[0, 4] == pytest.approx(before - after, abs=1e-6)
    at_median = np.median(x, axis=0, keepdims=True).astype(np.float32)
    assert model.contributions(at_median) == pytest.approx(np.zeros((1, 8)), abs=1e-6)


@pytest.mark.parametrize("kind", TRAINERS)
def test_labels_that_are_all_alike_are_refused(kind: str) -> None:
    x, _, weight = sample(300)
    with pytest.raises(OneSided, match=f"{kind}: the 300 labels of a block are all 1; use fewer folds or a longer history"):
        learners.learner(kind)().fit(x, np.ones(300, dtype=np.int8), weight, None)


@pytest.mark.parametrize("kind", TRAINERS)
def test_the_best_round_on_the_validation_rows_is_kept(kind: str) -> None:
    x, y, weight = sample(4_000)
    held = (x[3_000:], y[3_000:])
    fitted = TRAINERS[kind](x[:3_000], y[:3_000], weight[:3_000], held, Budget(rounds=120, patience=20, seed=7))
    again = TRAINERS[kind](x[:3_000], y[:3_000], weight[:3_000], None, Budget(rounds=fitted.rounds, patience=20, seed=7))
    assert 3 <= fitted.rounds <= 120
    assert fitted.estimator.predict_proba(x) == pytest.approx(again.estimator.predict_proba(x), abs=1e-6)
