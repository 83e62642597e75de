"""Requirement R4: positions in markets that move together are one position, and count together."""

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import njit


@njit(cache=True)
def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation of the one-step returns of two price series of one length, oldest first. NaN, unknown, for fewer than three prices
    or a series that does not move."""
    n = a.shape[0] - 1
    if n < 2:
        return np.nan
    mean_a = mean_b = square_a = square_b = both = 0.0
    for k in range(n):
        x, y = a[k + 1] / a[k] - 1.0, b[k + 1] / b[k] - 1.0
        dx, dy = x - mean_a, y - mean_b
        mean_a += dx / (k + 1)
        mean_b += dy / (k + 1)
        square_a += dx * (x - mean_a)
        square_b += dy * (y - mean_b)
        both += dx * (y - mean_b)
    if square_a <= 0.0 or square_b <= 0.0:
        return np.nan
    return both / np.sqrt(square_a * square_b)


@njit(cache=True)
def joint_share(side: int, other_side: int, rho: float) -> float:
    """How much of another position's notional adds to this one's: the correlation of what the two earn, at least 0 (a hedge frees nothing). All
    of it, whichever the sides, where the correlation is not known."""
    return 1.0 if np.isnan(rho) else max(0.0, side * other_side * rho)
