"""Crosses of the difference of two exponential averages and its own average (G. Appel's MACD)."""

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import njit
from signals.rules.histories import EQUAL

F = NDArray[np.float64]


@njit(cache=True, nogil=True)
def average(x: F, period: int, first: int) -> F:
    """Exponential average with weight 2 / (period + 1), float64[n], NaN before row first + period - 1, whose value is the mean of the `period`
    values from row `first` on."""
    out, weight = np.full(x.shape[0], np.nan), 2.0 / (period + 1.0)
    begins = first + period - 1
    if begins >= x.shape[0]:
        return out
    value = 0.0
    for i in range(first, begins + 1):
        value += (x[i] - x[first]) / period
    value += x[first]
    out[begins] = value
    for i in range(begins + 1, x.shape[0]):
        value += weight * (x[i] - value)
        out[i] = value
    return out


@njit(cache=True, nogil=True)
def line(close: F, fast: int, slow: int) -> F:
    """The fast average less the slow one, float64[n], NaN before row slow - 1. Both begin there, as in TA-Lib: the fast one's first mean is that
    of the last `fast` closes up to that row."""
    return average(close, fast, slow - fast) - average(close, slow, 0)


@njit(cache=True, nogil=True)
def _crosses(close: F, difference: F, slow: int, signal: int, first: int, out: NDArray[np.int32], used: int) -> int:
    """Append the rows at which the line comes over or under its average."""
    mean, before = average(difference, signal, slow - 1), 2  # 2: the two are not yet known
    for i in range(slow + signal - 2, close.shape[0]):
        away, least = difference[i] - mean[i], EQUAL * abs(close[i])
        now = 0
        if away > least:
            now = 1
        elif away < -least:
            now = -1
        if now != before:
            if now != 0 and before != 2:
                out[used] = now * (first + i + 1)
                used += 1
            before = now
    return used


@njit(cache=True, nogil=True)
def fill(high: F, low: F, close: F, runs: NDArray[np.int64], params: F, out: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
    """A leaf as signals.rules.decisions takes it. params [c, 3]: fast, slow, signal. Combinations of one pair of averages in a row share the line."""
    used = 0
    lines = [close]
    for c in range(params.shape[0]):
        slow, began = int(params[c, 1]), used
        if c == 0 or params[c, 0] != params[c - 1, 0] or params[c, 1] != params[c - 1, 1]:
            lines = [line(close[runs[r, 0] : runs[r, 1]], int(params[c, 0]), slow) for r in range(runs.shape[0])]
        for r in range(runs.shape[0]):
            used = _crosses(close[runs[r, 0] : runs[r, 1]], lines[r], slow, int(params[c, 2]), runs[r, 0], out, used)
        counts[c] = used - began
