"""What confidence is worth: coverage of prediction sets on time after their calibration, and precision by the share that is kept."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals import conformal, folds
from signals.features.regime import NAMES as REGIMES
from signals.training import figures
from signals.training.panel import Panel

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
KEPT = (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.025, 0.01)
METHOD = (
    "Split conformal prediction sets (least ambiguous set). Each block's threshold comes from the out-of-fold probabilities of the blocks "
    "before it, so coverage is measured on time after the calibration span. The promise holds for exchangeable labels; labels that overlap "
    "and markets that change are not, so read the measured coverage, not the nominal one."
)


def calibrated(panel: Panel, side: int, probability: Array) -> conformal.Conformal:
    """The thresholds a live model carries: from all honest out-of-fold probabilities [m] (NaN where there is none)."""
    rows = np.flatnonzero(np.isfinite(probability))
    return conformal.calibrate(panel.y[rows, side], probability[rows])


def measured(panel: Panel, side: int, probability: Array, split: list[folds.Fold], *, embargo_ms: int) -> list[dict[str, Any]]:
    """Coverage of one side at each of conformal.REPORTED: overall, by regime and by symbol; [] when no block follows a calibrated one."""
    known = np.isfinite(probability)
    later = []
    for fold in split[2:]:
        earlier = np.flatnonzero(known & (panel.end_ms[:, side] < fold.test_start_ms - embargo_ms))
        if earlier.size:
            later.append((fold.test[known[fold.test]], conformal.calibrate(panel.y[earlier, side], probability[earlier])))
    if not later:
        return []
    rows = np.concatenate([test for test, _ in later])
    out = []
    for level in conformal.REPORTED:
        held = [conformal.sets(probability[test], thresholds.threshold(level)) for test, thresholds in later]
        sets = conformal.Sets(np.concatenate([part.hit for part in held]), np.concatenate([part.miss for part in held]))
        out.append(
            {
                "nominal": level,
                **_coverage(panel, side, rows, sets),
                "regimes": _groups(panel, side, rows, sets, panel.regime, REGIMES),
                "symbols": _groups(panel, side, rows, sets, panel.symbol, dict(enumerate(panel.symbols))),
            }
        )
    return out


def _coverage(panel: Panel, side: int, rows: Rows, sets: conformal.Sets) -> dict[str, Any]:
    """How often sets held what happened, how often they decided nothing, and how often "TP1 first" alone was right."""
    label, start = panel.y[rows, side], panel.start_ms[rows]
    seen = figures.hit_rate(conformal.covered(label, sets).astype(np.int8), panel.weight[rows, side], start)
    says_hit = sets.hit & ~sets.miss
    said = figures.hit_rate(label[says_hit], panel.weight[rows, side][says_hit], start[says_hit])
    return {
        "n": seen["n"],
        "n_effective": seen["n_effective"],
        "coverage": seen["hit_rate"],
        "low": seen["low"],
        "high": seen["high"],
        "abstained": float(sets.abstains.mean()),
        "says_hit": {"n": said["n"], "precision": said["hit_rate"], "low": said["low"], "high": said["high"]},
    }


def _groups(
    panel: Panel, side: int, rows: Rows, sets: conformal.Sets, group: NDArray[np.int64], names: Mapping[int, str]
) -> dict[str, Any]:
    out = {}
    for code, name in names.items():
        own = group[rows] == code
        if own.any():
            out[name] = _coverage(panel, side, rows[own], conformal.Sets(sets.hit[own], sets.miss[own]))
    return out


def precision_by_share(label: NDArray[np.int8], probability: Array, weight: Array, start_ms: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Share of hits among the most confident samples, from all of them to the top hundredth; arrays of shape [n].

    Samples of equal probability are kept or left together, so `kept` can be more than was asked for; shares that keep the same are told once.
    """
    if label.size == 0:
        return []
    falling = np.sort(probability)[::-1]
    out: list[dict[str, Any]] = []
    for share in KEPT:
        limit = float(falling[max(0, min(label.size, round(share * label.size)) - 1)])
        if out and limit == out[-1]["threshold"]:
            continue
        chosen = probability >= limit
        seen = figures.hit_rate(label[chosen], weight[chosen], start_ms[chosen])
        out.append(
            {
                "threshold": limit,
                "kept": float(chosen.mean()),
                "n": seen["n"],
                "n_effective": seen["n_effective"],
                "precision": seen["hit_rate"],
                "low": seen["low"],
                "high": seen["high"],
            }
        )
    return out
