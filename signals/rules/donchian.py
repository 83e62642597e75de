"""Closes that leave the channel of the highs and lows of the bars before them."""

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import njit

F = NDArray[np.float64]


@njit(cache=True, nogil=True)
def highest_before(x: F, period: int) -> F:
    """The highest of the `period` values before each one, NaN while there are fewer, float64[n]. A queue of falling values: O(n)."""
    n = x.shape[0]
    out, queue = np.full(n, np.nan), np.empty(n, np.int64)
    head = tail = 0
    for i in range(n):
        if i >= period:
            while queue[head] < i - period:
                head += 1
            out[i] = x[queue[head]]
        while tail > head and x[queue[tail - 1]] <= x[i]:
            tail -= 1
        queue[tail] = i
        tail += 1
    return out


@njit(cache=True, nogil=True)
def _breakouts(close: F, upper: F, lower: F, margin: float, first: int, period: int, out: NDArray[np.int32], used: int) -> int:
    """Append the rows at which a close is outside and the one before it was not."""
    before = 2
    for i in range(period, close.shape[0]):
        now = 0
        if close[i] > upper[i] * (1.0 + margin):
            now = 1
        elif close[i] < lower[i] * (1.0 - margin):
            now = -1
        if now != 0 and now != before and before != 2:
            out[used] = now * (first + i + 1)
            used += 1
        before = now
    return used


@njit(cache=True, nogil=True)
def fill(high: F, low: F, close: F, runs: NDArray[np.int64], params: F, out: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
    """A leaf as signals.rules.decisions takes it. params [c, 2]: period, margin in %. Combinations of one period in a row share its channel."""
    used = 0
    upper, lower = [close], [close]
    for c in range(params.shape[0]):
        period, began = int(params[c, 0]), used
        if c == 0 or params[c, 0] != params[c - 1, 0]:
            upper = [highest_before(high[runs[r, 0] : runs[r, 1]], period) for r in range(runs.shape[0])]
            lower = [-highest_before(-low[runs[r, 0] : runs[r, 1]], period) for r in range(runs.shape[0])]
        for r in range(runs.shape[0]):
            used = _breakouts(close[runs[r, 0] : runs[r, 1]], upper[r], lower[r], params[c, 1] / 100.0, runs[r, 0], period, out, used)
        counts[c] = used - began
