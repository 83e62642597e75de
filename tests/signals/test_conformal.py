"""Prediction sets are those of MAPIE, and hold the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin

from signals import conformal


class Told(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose only feature is the probability of class 1."""

    classes_ = np.array([0, 1])
    is_fitted_ = True

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Told":
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.column_stack((1.0 - x[:, 0], x[:, 0]))

    def predict(self, x: np.ndarray) -> np.ndarray:
        return (x[:, 0] >= 0.5).astype(int)


def sample(n: int, seed: int, spread: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """Labels and the chances they really had."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.5 - spread, 0.5 + spread, n)
    return (rng.uniform(size=n) < chance).astype(np.int8), chance


@pytest.mark.parametrize("n", [40, 99, 100, 137, 1_000])
@pytest.mark.parametrize("spread", [0.05, 0.35, 0.5])
def test_its_sets_are_mapies(n: int, spread: float) -> None:
    from mapie.classification import SplitConformalClassifier

    label, chance = sample(n, seed=n, spread=spread)
    chance = np.round(chance, 2)  # ties
    theirs = SplitConformalClassifier(Told(), confidence_level=list(conformal.LEVELS), conformity_score="lac", prefit=True)
    theirs.conformalize(chance[:, None], label)
    ours = conformal.calibrate(label, chance)
    grid = np.linspace(0.0, 1.0, 201)
    _, held = theirs.predict_set(grid[:, None])
    for number, level in enumerate(conformal.LEVELS):
        sets = conformal.sets(grid, ours.threshold(level))
        assert np.array_equal(sets.hit, held[:, 1, number])
        assert np.array_equal(sets.miss, held[:, 0, number])


def test_it_covers_exchangeable_labels_as_often_as_it_says() -> None:
    for level in conformal.REPORTED:
        rates = []
        for seed in range(200):
            label, chance = sample(700, seed)
            known = conformal.calibrate(label[:200], chance[:200])
            held = conformal.sets(chance[200:], known.threshold(level))
            rates.append(conformal.covered(label[200:], held).mean())
        # Between level and level + 1 / (n + 1) on average over calibration spans.
        assert np.mean(rates) == pytest.approx(level + 0.5 / 201, abs=0.008)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=80), st.floats(0, 1))
def test_higher_levels_hold_more_and_every_row_is_decided_or_abstains(rows: list[tuple[bool, float]], probability: float) -> None:
    label, chance = np.array([y for y, _ in rows], dtype=np.int8), np.array([p for _, p in rows])
    known = conformal.calibrate(label, chance)
    assert list(known.thresholds) == sorted(known.thresholds)
    sizes = []
    for limit in known.thresholds:
        held = conformal.sets(np.array([probability]), limit)
        sizes.append(int(held.hit[0]) + int(held.miss[0]))
        assert held.abstains[0] == (sizes[-1] != 1)
    assert sizes == sorted(sizes)


def test_too_few_labels_for_a_level_hold_everything_and_an_unknown_probability_nothing() -> None:
    few = conformal.calibrate(np.array([1, 0, 1], dtype=np.int8), np.array([0.9, 0.1, 0.8]))
    assert few.threshold(0.9) == 1.0
    held = conformal.sets(np.array([0.99, np.nan]), few.threshold(0.9))
    assert held.hit.tolist() == [True, False]
    assert held.miss.tolist() == [True, False]
    assert held.abstains.tolist() == [True, True]
    with pytest.raises(ValueError, match=r"coverage 0.85 was not calibrated: use one of 0.6, 0.7, 0.8"):
        few.threshold(0.85)
    with pytest.raises(ValueError, match="needs calibration labels"):
        conformal.calibrate(np.empty(0, np.int8), np.empty(0))
