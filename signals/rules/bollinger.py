"""Closes that come back into a band of standard deviations around their mean."""

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import njit
from signals.features import rolling
from signals.rules.histories import EQUAL

F = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _returns(close: F, mean: F, spread: F, width: float, first: int, period: int, out: NDArray[np.int32], used: int) -> int:
    """Append the rows at which the close is inside the band and was outside a row before."""
    before = 0
    for i in range(period - 1, close.shape[0]):
        away, least = close[i] - mean[i], EQUAL * abs(mean[i])
        now = 0
        if away < -width * spread[i] - least:
            now = -1
        elif away > width * spread[i] + least:
            now = 1
        if now == 0 and before != 0:
            out[used] = -before * (first + i + 1)
            used += 1
        before = now
    return used


@njit(cache=True, nogil=True)
def fill(high: F, low: F, close: F, runs: NDArray[np.int64], params: F, out: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
    """A leaf as signals.rules.decisions takes it. params [c, 2]: period, deviations (population). Combinations of one period in a row share the band."""
    used = 0
    bands = [(close, close)]
    for c in range(params.shape[0]):
        period, began = int(params[c, 0]), used
        if c == 0 or params[c, 0] != params[c - 1, 0]:
            bands = [rolling.mean_std(close[runs[r, 0] : runs[r, 1]], period) for r in range(runs.shape[0])]
        for r in range(runs.shape[0]):
            used = _returns(close[runs[r, 0] : runs[r, 1]], bands[r][0], bands[r][1], params[c, 1], runs[r, 0], period, out, used)
        counts[c] = used - began
