"""Figures of a classifier that selects trades, each with its sample. Labels overlap in time and markets move together, so intervals go by
the number of independent samples."""

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.ensemble import log_loss

Array = NDArray[np.float64]
MIN_CONFIDENCE = 0.55
Z = 1.96
BLOCK_MS = 48 * 3_600_000
"""As long as a label can last: what starts further apart than that shares no bar."""


def auc(label: NDArray[np.int8], score: Array) -> float | None:
    """Area under the ROC curve by ranks, ties at half (Mann and Whitney 1947); None when only one class is there."""
    positive = label == 1
    wins, losses = int(positive.sum()), int((~positive).sum())
    if not wins or not losses:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[positive].sum() - wins * (wins + 1) / 2.0) / (wins * losses))


def wilson(rate: float, n: float) -> tuple[float, float]:
    """95 % interval of a rate from n independent trials (Wilson 1927); n may be an effective number."""
    if n <= 0:
        return 0.0, 1.0
    centre = (rate + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * sqrt(rate * (1 - rate) / n + Z * Z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def independent(values: Array, weight: Array, start_ms: NDArray[np.int64]) -> float:
    """How many independent samples the mean of `values` is worth; arrays of shape [n].

    At most the sum of uniqueness, which counts the overlap within one symbol; and at most what the spread of block sums allows, because
    coins that rise and fall together are no independent witnesses (cluster-robust variance, Liang and Zeger 1986, blocks of BLOCK_MS
    over all symbols). Values that never differ have no spread to go by: then every block counts once.
    """
    most = float(weight.sum())
    _, block = np.unique(start_ms // BLOCK_MS, return_inverse=True)
    blocks = int(block.max()) + 1 if block.size else 0
    away = values - values.mean() if values.size else values
    sums = np.bincount(block, weights=away, minlength=blocks)
    together = float((sums**2).sum()) * blocks / max(blocks - 1, 1)
    if blocks < 2 or together <= 0.0:
        return min(most, float(blocks))
    return min(most, values.size * float((away**2).sum()) / together)


def hit_rate(label: NDArray[np.int8], weight: Array, start_ms: NDArray[np.int64]) -> dict[str, Any]:
    """Share of hits with its interval. n counts samples, n_effective the independent ones among them."""
    n = int(label.size)
    if n == 0:
        return {"n": 0, "n_effective": 0.0, "hit_rate": None, "low": None, "high": None}
    effective, rate = independent(label.astype(np.float64), weight, start_ms), float(label.mean())
    low, high = wilson(rate, effective)
    return {"n": n, "n_effective": round(effective, 1), "hit_rate": rate, "low": low, "high": high}


def net_result(net_pct: Array, weight: Array, start_ms: NDArray[np.int64]) -> dict[str, Any]:
    """Mean result in % of notional after costs, with a 95 % interval by the number of independent results."""
    if net_pct.size == 0:
        return {"mean_net_pct": None, "net_low": None, "net_high": None}
    effective = independent(net_pct, weight, start_ms)
    mean = float(net_pct.mean())
    half = Z * float(net_pct.std()) / sqrt(effective) if effective > 1.0 else None
    return {"mean_net_pct": mean, "net_low": None if half is None else mean - half, "net_high": None if half is None else mean + half}


def break_even(label: NDArray[np.int8], net_pct: Array) -> float | None:
    """The hit rate at which these outcomes would earn nothing after costs; None when hits or misses are absent, or a hit earns nothing."""
    won = label == 1
    if not won.any() or won.all():
        return None
    win, loss = float(net_pct[won].mean()), float(net_pct[~won].mean())
    return -loss / (win - loss) if win > 0.0 > loss else None


def describe(
    label: NDArray[np.int8], score: Array, probability: Array, net_pct: Array, weight: Array, start_ms: NDArray[np.int64]
) -> dict[str, Any]:
    """All figures of one side on one sample; arrays of shape [n].

    score -- the learners' mean, which ranks; probability -- what calibration made of it. `selected` are those with a probability of at
    least MIN_CONFIDENCE.
    """
    if label.size == 0:
        return {"n": 0}
    chosen = probability >= MIN_CONFIDENCE
    base = float(np.average(label, weights=weight))
    return {
        "n": int(label.size),
        "n_effective": round(independent(label.astype(np.float64), weight, start_ms), 1),
        "base_rate": float(label.mean()),
        "break_even": break_even(label, net_pct),
        "auc": auc(label, score),
        "log_loss": log_loss(label, probability, weight),
        "log_loss_of_base_rate": log_loss(label, np.full(label.size, base), weight),
        "brier": float(np.average((probability - label) ** 2, weights=weight)),
        "all": net_result(net_pct, weight, start_ms),
        "selected": {
            "min_confidence": MIN_CONFIDENCE,
            "coverage": float(chosen.mean()),
            **hit_rate(label[chosen], weight[chosen], start_ms[chosen]),
            **net_result(net_pct[chosen], weight[chosen], start_ms[chosen]),
        },
    }


def calibration_table(
    label: NDArray[np.int8], probability: Array, weight: Array, start_ms: NDArray[np.int64], *, bins: int = 10
) -> list[dict[str, Any]]:
    """Predicted against observed in bins of equal count, lowest first."""
    order = np.argsort(probability, kind="stable")
    table = []
    for part in np.array_split(order, bins):
        if part.size:
            observed = hit_rate(label[part], weight[part], start_ms[part])
            table.append(
                {
                    "from": float(probability[part[0]]),
                    "to": float(probability[part[-1]]),
                    "predicted": float(probability[part].mean()),
                    **observed,
                }
            )
    return table
