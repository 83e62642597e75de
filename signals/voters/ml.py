"""The ML ensemble as a voter: one prediction for both sides, and the voted side's strongest reasons in words."""

import numpy as np
from numpy.typing import NDArray

from signals.features import words
from signals.ports import SIDE_NAME, Contribution, Reason, TrainedEnsemble, Vote

VOTER = "ml"
TOP_REASONS = 5


class FeaturesMismatch(ValueError):
    """The features at hand are not those the model was trained on."""


def align(model: TrainedEnsemble, names: tuple[str, ...], row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features [k, ...] in the order the model expects. Raises FeaturesMismatch naming what is missing."""
    place = {name: index for index, name in enumerate(names)}
    missing = [name for name in model.feature_names if name not in place]
    if missing:
        raise FeaturesMismatch(f"the model expects features that are no longer computed ({', '.join(missing[:3])}): train a new model")
    return row[[place[name] for name in model.feature_names]]


def vote(model: TrainedEnsemble, rows: NDArray[np.float64], *, side: int, probability: float, weight: float = 1.0, note: str = "") -> Vote:
    """The ensemble's vote for `side` (LONG or SHORT) at the last of its aligned rows (TrainedEnsemble.explain). Reasons in falling order of their weight."""
    reasons = tuple(_reason(item, side) for item in model.explain(rows, side, TOP_REASONS))
    return Vote(VOTER, weight, SIDE_NAME[side], probability, reasons, note)


def _reason(item: Contribution, side: int) -> Reason:
    described = words.describe(item.feature)
    label = described.words if described else item.feature
    written = words.write(item.value, described.kind if described else "number") if np.isfinite(item.value) else "not known"
    verdict = "speaks for" if item.contribution >= 0.0 else "speaks against"
    return Reason(item.feature, float(item.value), float(item.contribution), f"{label}: {written}, {verdict} a {SIDE_NAME[side]}")
