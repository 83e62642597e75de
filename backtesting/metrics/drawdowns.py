"""Figures of falls from a peak. Equity is marked to each bar's close, float64 [t], with times int64 [t] (ms UTC), which are bar opens."""

from typing import NamedTuple

import numpy as np

from backtesting.metrics.base import DAY_MS, F, Ints


class Drawdown(NamedTuple):
    """One fall from a peak: the first moment below it, the deepest, the moment at which it was regained (None: never), all ms UTC.

    depth_pct is of the peak; days from the first to the last moment below it.
    """

    start_ms: int
    valley_ms: int
    recovered_ms: int | None
    depth_pct: float
    days: float


def drawdown_pct(equity: F, capital: float) -> F:
    """Distance from the highest equity so far (the capital included), in % of that peak, as positive numbers, [t]."""
    peak = np.maximum.accumulate(np.maximum(equity, capital)) if equity.shape[0] else equity
    return np.asarray((1.0 - equity / peak) * 100.0)


def max_drawdown_pct(equity: F, capital: float) -> float | None:
    """The deepest fall from a peak, in % of the peak; None without bars."""
    return float(drawdown_pct(equity, capital).max()) if equity.shape[0] else None


def max_drawdown_days(times: Ints, equity: F, capital: float) -> float | None:
    """The longest time below a former peak, in days; what is still under water at the end counts."""
    if not times.shape[0]:
        return None
    first, after = _spells(drawdown_pct(equity, capital))
    return float((times[after - 1] - times[first]).max() / DAY_MS) if first.shape[0] else 0.0


def deepest(times: Ints, equity: F, capital: float, *, most: int = 10) -> list[Drawdown]:
    """The `most` deepest drawdowns, deepest first; of equally deep ones the earlier first."""
    fall = drawdown_pct(equity, capital)
    first, after = _spells(fall)
    if not first.shape[0]:
        return []
    depth = np.maximum.reduceat(fall, first)  # between two spells it is 0
    found = []
    for i in np.argsort(-depth, kind="stable")[:most].tolist():
        start, end = int(first[i]), int(after[i])
        valley = start + int(fall[start:end].argmax())
        recovered = int(times[end]) if end < times.shape[0] else None
        found.append(
            Drawdown(int(times[start]), int(times[valley]), recovered, float(depth[i]), float(times[end - 1] - times[start]) / DAY_MS)
        )
    return found


def ulcer_index(equity: F, capital: float) -> float | None:
    """Root of the mean squared drawdown in %, over all bars (P. Martin and B. McCann, 1989): deep and long falls weigh most. None without bars."""
    return float(np.sqrt(np.mean(drawdown_pct(equity, capital) ** 2))) if equity.shape[0] else None


def recovery_factor(equity: F, capital: float) -> float | None:
    """Net result over the deepest fall, both in money. None without a fall."""
    if not equity.shape[0]:
        return None
    fall = float((np.maximum.accumulate(np.maximum(equity, capital)) - equity).max())
    return float((equity[-1] - capital) / fall) if fall > 0.0 else None


def _spells(fall: F) -> tuple[Ints, Ints]:
    """Where falls begin, and one past where each ends."""
    edges = np.diff(np.concatenate(([0], (fall > 0.0).astype(np.int8), [0])))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
