"""Crosses of two simple moving averages of the close, found on running sums that all combinations share."""

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import njit
from signals.rules.histories import EQUAL

BLOCK = 2048
F = NDArray[np.float64]


@njit(cache=True, nogil=True)
def running_sums(close: F) -> F:
    """sums[i] is the sum of the first i closes' distances from the first close, float64[n + 1]: smaller sums are rounded less."""
    sums = np.empty(close.shape[0] + 1)
    sums[0] = 0.0
    for i in range(close.shape[0]):
        sums[i + 1] = sums[i] + (close[i] - close[0])
    return sums


@njit(cache=True, nogil=True, error_model="numpy")
def _sides(newest: F, before_fast: F, before_slow: F, fast: float, slow: float, base: float, out: NDArray[np.int8]) -> None:
    """1 where the fast average is over the slow one, -1 where it is under, else 0. No branch, so that the loop runs in vectors."""
    per_fast, per_slow = 1.0 / fast, 1.0 / slow
    for i in range(out.shape[0]):
        slow_mean = (newest[i] - before_slow[i]) * per_slow
        away = (newest[i] - before_fast[i]) * per_fast - slow_mean
        least = EQUAL * abs(slow_mean + base)
        out[i] = np.int8(away > least) - np.int8(away < -least)


@njit(cache=True, nogil=True)
def _crosses(sums: F, base: float, first: int, fast: int, slow: int, sides: NDArray[np.int8], out: NDArray[np.int32], used: int) -> int:
    """Append one combination's crosses of one unbroken history to `out` from `used` on. Returns how much of it is used then."""
    n, before = sums.shape[0] - 1, np.int8(2)  # 2: the averages are not yet known
    for start in range(slow - 1, n, BLOCK):
        stop = min(start + BLOCK, n)
        now = sides[: stop - start]
        newest, fast_ago, slow_ago = sums[start + 1 : stop + 1], sums[start + 1 - fast :], sums[start + 1 - slow :]
        _sides(newest, fast_ago, slow_ago, fast, slow, base, now)
        for i in range(stop - start):
            if now[i] != before:
                if now[i] != 0 and before != 2:
                    out[used] = now[i] * (first + start + i + 1)
                    used += 1
                before = now[i]
    return used


@njit(cache=True, nogil=True)
def fill(high: F, low: F, close: F, runs: NDArray[np.int64], params: F, out: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
    """A leaf as signals.rules.decisions takes it. params [c, 2]: fast, slow."""
    sides, used = np.empty(BLOCK, np.int8), 0
    counts[:] = 0
    sums = [running_sums(close[runs[r, 0] : runs[r, 1]]) for r in range(runs.shape[0])]
    for c in range(params.shape[0]):
        began = used
        for r in range(runs.shape[0]):
            used = _crosses(sums[r], close[runs[r, 0]], runs[r, 0], int(params[c, 0]), int(params[c, 1]), sides, out, used)
        counts[c] = used - began
