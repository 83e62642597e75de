"""What the compiled leaves share: where a market's history is unbroken, and when two prices count as equal."""

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import njit

EQUAL = 2e-11
"""Of a price: averages that are closer than this differ by rounding alone, so one is neither over nor under the other."""


@njit(cache=True, nogil=True)
def unbroken(high: NDArray[np.float64], low: NDArray[np.float64], close: NDArray[np.float64]) -> NDArray[np.int64]:
    """[first, past the last] of each run of rows whose prices are numbers, int64[r, 2]."""
    found = np.empty((close.shape[0] // 2 + 1, 2), np.int64)
    count, start = 0, -1
    for i in range(close.shape[0] + 1):
        fine = i < close.shape[0] and np.isfinite(high[i]) and np.isfinite(low[i]) and np.isfinite(close[i])
        if fine and start < 0:
            start = i
        elif not fine and start >= 0:
            found[count, 0], found[count, 1] = start, i
            count, start = count + 1, -1
    return found[:count]
