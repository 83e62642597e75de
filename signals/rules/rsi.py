"""Wilder's relative strength index coming back from an extreme."""

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import njit

F = NDArray[np.float64]


@njit(cache=True, nogil=True)
def index(close: F, period: int) -> F:
    """Relative strength index, 0 to 100, float64[n], NaN before row `period`; 50 where nothing moved.

    J. W. Wilder, New Concepts in Technical Trading Systems, 1978: the first averages are the means of the first `period` changes, later ones
    move by 1 / period of the distance.
    """
    n = close.shape[0]
    out, gain, loss = np.full(n, np.nan), 0.0, 0.0
    for i in range(1, n):
        change = close[i] - close[i - 1]
        up, down = max(change, 0.0), max(-change, 0.0)
        if i <= period:
            gain, loss = gain + up / period, loss + down / period
        else:
            gain, loss = gain + (up - gain) / period, loss + (down - loss) / period
        if i >= period:
            out[i] = 100.0 * gain / (gain + loss) if gain + loss > 0.0 else 50.0
    return out


@njit(cache=True, nogil=True)
def _returns(strength: F, oversold: float, overbought: float, first: int, out: NDArray[np.int32], used: int) -> int:
    """Append the rows at which the index is back inside and was outside a row before. NaN compares as inside: nothing is decided there."""
    for i in range(1, strength.shape[0]):
        if strength[i - 1] < oversold and strength[i] >= oversold:
            out[used] = first + i + 1
            used += 1
        elif strength[i - 1] > overbought and strength[i] <= overbought:
            out[used] = -(first + i + 1)
            used += 1
    return used


@njit(cache=True, nogil=True)
def fill(high: F, low: F, close: F, runs: NDArray[np.int64], params: F, out: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
    """A leaf as signals.rules.decisions takes it. params [c, 3]: period, oversold, overbought. Combinations of one period in a row share the index."""
    used = 0
    strength = [close]
    for c in range(params.shape[0]):
        began = used
        if c == 0 or params[c, 0] != params[c - 1, 0]:
            strength = [index(close[runs[r, 0] : runs[r, 1]], int(params[c, 0])) for r in range(runs.shape[0])]
        for r in range(runs.shape[0]):
            used = _returns(strength[r], params[c, 1], params[c, 2], runs[r, 0], out, used)
        counts[c] = used - began
