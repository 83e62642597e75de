"""What the compiled leaves share: where a market's history is unbroken, and when two prices count as equal."""

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import njit

EQUAL = 2e-11
"""Of a price: averages that are closer than this differ by rounding alone, so one is neither over nor under the other."""


BLOCK = 1024
F = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _is_whole(high: F, low: F, close: F) -> bool:
    """Whether all prices are numbers. No branch, so that the loop runs in vectors: what is not finite less itself is not 0."""
    broken = False
    for i in range(close.shape[0]):
        broken |= (high[i] - high[i]) + (low[i] - low[i]) + (close[i] - close[i]) != 0.0
    return not broken


@njit(cache=True, nogil=True)
def unbroken(high: F, low: F, close: F) -> NDArray[np.int64]:
    """[first, past the last] of each run of rows whose prices are numbers, int64[r, 2]."""
    n = close.shape[0]
    found = np.empty((n // 2 + 1, 2), np.int64)
    count, start, i = 0, -1, 0
    while i <= n:
        stop = min(i + BLOCK, n)
        if i < stop and _is_whole(high[i:stop], low[i:stop], close[i:stop]):
            start = i if start < 0 else start
            i = stop
            continue
        for k in range(i, max(stop, i + 1)):
            fine = k < n and np.isfinite(high[k]) and np.isfinite(low[k]) and np.isfinite(close[k])
            if fine and start < 0:
                start = k
            elif not fine and start >= 0:
                found[count, 0], found[count, 1] = start, k
                count, start = count + 1, -1
        i = max(stop, i + 1)
    return found[:count]
