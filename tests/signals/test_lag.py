"""A model that lives on the very moment is caught, one that lives on the past is not."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from signals import folds
from signals.training import lag, walkforward
from signals.training.panel import Panel
from signals.training.params import TrainingParams
from tests.signals.series import HOUR_MS
from tests.signals.test_paths import make_panel

PARAMS = TrainingParams()


def split(panel: Panel) -> list[folds.Fold]:
    return folds.walk_forward(panel.start_ms, panel.end_ms[:, 0], folds=3, embargo_ms=HOUR_MS)


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "forest", "histgb", "mlp"])
def test_a_feature_that_only_this_moment_knows_is_caught_by_whatever_the_training_fits(kind: str) -> None:
    panel = make_panel(2.0)  # its features are drawn anew at every sample, as a peek at what comes next would be
    seen = lag.lagged_score(panel, 0, split(panel), TrainingParams(learners=(kind,)))
    assert seen["learner"] == kind
    assert not seen["passed"]
    assert seen["auc"] > 0.75
    assert seen["lagged_auc"] == pytest.approx(0.5, abs=0.08)
    assert seen["fall"] > seen["tolerance"]


def test_a_feature_that_lasts_is_not() -> None:
    rng = np.random.default_rng(3)
    panel = make_panel(0.0)
    slow = np.zeros(panel.start_ms.size)
    for i in range(1, slow.size):
        slow[i] = 0.97 * slow[i - 1] + rng.normal(0.0, np.sqrt(1 - 0.97**2))
    y = (rng.uniform(size=(slow.size, 2)) < 1.0 / (1.0 + np.exp(-2.0 * slow[:, None]))).astype(np.int8)
    x = panel.x.copy()
    x[:, 0] = slow
    lasting = panel._replace(x=x, y=y)
    seen = lag.lagged_score(lasting, 0, split(lasting), PARAMS)
    assert seen["auc"] > 0.7
    assert seen["passed"]


def test_chance_passes() -> None:
    for seed in range(20, 30):
        panel = make_panel(0.0, n=1_500, seed=seed)
        assert lag.lagged_score(panel, 1, split(panel), PARAMS)["passed"]
    for kind in ("xgboost", "forest", "histgb", "mlp"):
        assert lag.lagged_score(panel, 1, split(panel), TrainingParams(learners=(kind,)))["passed"]


@pytest.mark.parametrize("kind", ["xgboost", "forest", "histgb", "mlp"])
def test_shuffled_labels_teach_nothing_to_any_of_them(kind: str) -> None:
    panel = make_panel(2.0)
    seen = walkforward.shuffled_auc(panel, 0, split(panel), TrainingParams(learners=(kind,)))
    assert (seen["learner"], seen["passed"], len(set(seen["auc"]))) == (kind, True, 3)


def test_checks_fit_the_first_learner_that_looks_at_one_bar_with_its_tuning() -> None:
    assert [TrainingParams(learners=kinds).checker for kinds in (("mlp", "lightgbm"), ("lstm", "mlp", "forest"), ("lstm", "tft"))] == [
        "lightgbm",
        "forest",
        "lightgbm",
    ]
    panel = make_panel(2.0)
    plain, tuned = (
        lag.lagged_score(panel, 0, split(panel), TrainingParams(learners=("xgboost",), tuning=tuning))
        for tuning in ({}, {"xgboost": {"max_depth": 2}})
    )
    assert plain["auc"] != tuned["auc"]


def test_the_sample_before_is_of_the_same_symbol_and_one_step_away() -> None:
    panel = make_panel(0.0, n=12)
    gap = panel.bar_ms.copy()
    gap[3:6] += 4 * HOUR_MS
    assert lag.previous(panel._replace(bar_ms=gap)).tolist() == [-1, 0, 1, -1, 3, 4, -1, 6, 7, 8, 9, 10]


def test_its_auc_is_scikit_learns_and_its_error_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(6)
    falls, errors = [], []
    for _ in range(300):
        y = rng.integers(0, 2, 240).astype(np.int8)
        shared = rng.normal(size=240)
        first = np.round(0.8 * y + shared + rng.normal(size=240), 1)
        second = 0.4 * y + shared + rng.normal(size=240)
        auc, other, error = lag.paired(y, first, second, np.arange(240))
        falls.append(auc - other)
        errors.append(error)
        if len(falls) <= 10:
            assert auc == pytest.approx(roc_auc_score(y, first))
            assert other == pytest.approx(roc_auc_score(y, second))
    assert np.mean(errors) == pytest.approx(np.std(falls), rel=0.12)


def test_samples_of_one_cluster_count_as_one() -> None:
    rng = np.random.default_rng(7)
    y, first, second = rng.integers(0, 2, 200).astype(np.int8), rng.normal(size=200), rng.normal(size=200)
    alone = lag.paired(y, first, second, np.arange(200))
    copied = lag.paired(*(np.repeat(column, 5) for column in (y, first, second)), np.repeat(np.arange(200), 5))
    assert copied == pytest.approx(alone)
