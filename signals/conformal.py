"""Split conformal prediction of "TP1 comes before the stop": what a probability allows to be said at a chosen coverage. Pure.

The score of an outcome is 1 minus the probability it was given ("least ambiguous set-valued classifier": Sadinle, Lei and Wasserman, 2019),
the threshold its quantile with the finite-sample correction (Vovk, Gammerman and Shafer, 2005). An outcome belongs to the prediction set when
its score is not above the threshold. Then the set holds the truth at least as often as its level says, IF later labels are exchangeable with
those of the calibration span. Overlapping labels of a changing market are not: the promise is an approximation here, and the coverage that was
measured on later time is reported beside the level (signals.training.confidence). MAPIE's SplitConformalClassifier gives the same sets;
a test compares the two.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
LEVELS = (0.6, 0.7, 0.8, 0.9, 0.95)
REPORTED = (0.8, 0.9)
EPSILON = 1e-8
"""Slack in the comparison of a score with its threshold, so that the outcome that set the threshold belongs to its set."""


class Conformal(NamedTuple):
    """Thresholds by level for one side, from `n` calibration labels. Both tuples rise and are of one length."""

    levels: tuple[float, ...]
    thresholds: tuple[float, ...]
    n: int

    def threshold(self, level: float) -> float:
        """Of one of `levels`. Raises ValueError naming them for any other."""
        for known, threshold in zip(self.levels, self.thresholds, strict=True):
            if abs(known - level) < 1e-9:
                return threshold
        raise ValueError(f"coverage {level:g} was not calibrated: use one of {', '.join(f'{known:g}' for known in self.levels)}")


class Sets(NamedTuple):
    """Which outcomes a prediction set holds: bool [n] each; a row without a probability has neither."""

    hit: Mask
    miss: Mask

    @property
    def abstains(self) -> Mask:
        """Rows whose set holds both outcomes or none, and so decides nothing."""
        return self.hit == self.miss


def scores(label: NDArray[np.int8], probability: Array) -> Array:
    """1 minus the probability of what happened, shape [n]."""
    return np.where(label == 1, 1.0 - probability, probability)


def threshold(score: Array, level: float) -> float:
    """The ceil((n + 1) * level)-th smallest of n scores; 1 when n is too small for the level, so that the set holds everything."""
    if score.size == 0:
        raise ValueError("conformal prediction needs calibration labels")
    rank = int(np.ceil((score.size + 1) * level - 1e-9))
    return float(np.partition(score, rank - 1)[rank - 1]) if rank <= score.size else 1.0


def calibrate(label: NDArray[np.int8], probability: Array, levels: Sequence[float] = LEVELS) -> Conformal:
    """Thresholds from labels [n] and the finite probabilities [n] they were given by models that had not seen them."""
    score = scores(label, probability)
    return Conformal(tuple(levels), tuple(threshold(score, level) for level in levels), int(score.size))


def sets(probability: Array, limit: float) -> Sets:
    """Prediction sets of probabilities [n] at a threshold."""
    known = np.isfinite(probability)
    return Sets(known & (1.0 - probability <= limit + EPSILON), known & (probability <= limit + EPSILON))


def covered(label: NDArray[np.int8], held: Sets) -> Mask:
    """Whether each set holds what happened, shape [n]."""
    return np.where(label == 1, held.hit, held.miss)
