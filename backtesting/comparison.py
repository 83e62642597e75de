"""Which of two models earned more on the same days, and whether that is more than luck."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F = NDArray[np.float64]
RESAMPLES = 4_000
LEAST_BLOCK_DAYS = 3.0
"""A position lives up to two days, so the results of neighbouring days are not independent."""


class Difference(NamedTuple):
    """Mean daily difference with its two-sided 90 % interval, whose lower end is a one-sided 95 % bound, in the unit of the results.

    p_value is the chance, as far as resampling can tell, that the better one is no better; block_days the mean length of a block.
    """

    days: int
    mean: float
    low: float
    high: float
    p_value: float
    block_days: float


def paired(new: F, old: F, *, seed: int = 7) -> Difference:
    """Results of two models by day, float64 [days] each, days in order, 0 where a model did nothing.

    The stationary bootstrap (Politis and Romano 1994) of the daily differences: pairing takes away what the market did to both, blocks of
    random length (mean: the cube root of the days, at least LEAST_BLOCK_DAYS) keep what neighbouring days have in common. The interval is the
    basic one, mirrored at the estimate. Raises ValueError for arrays of different length, or empty ones.
    """
    if new.shape != old.shape or new.size == 0:
        raise ValueError("both models need the same days, and at least one")
    difference = new - old
    days = difference.size
    block = max(LEAST_BLOCK_DAYS, round(days ** (1.0 / 3.0), 1))
    means = difference[_resampled(days, block, seed)].mean(axis=1)
    mean = float(difference.mean())
    low, high = (2.0 * mean - float(end) for end in np.quantile(means, (0.95, 0.05)))
    is_flat = bool(np.ptp(difference) == 0.0)
    p_value = (1.0 if mean <= 0.0 else 0.0) if is_flat else float((1 + (means - mean >= mean).sum()) / (RESAMPLES + 1))
    return Difference(days, mean, low, high, p_value, block)


def _resampled(days: int, block: float, seed: int) -> NDArray[np.int64]:
    """Row numbers [RESAMPLES, days]: each follows the one before it, around the end, or begins a block anywhere."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, days, (RESAMPLES, days))
    begins = rng.uniform(size=(RESAMPLES, days)) < 1.0 / block
    begins[:, 0] = True
    place = np.arange(days)
    last = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    return np.asarray((np.take_along_axis(start, last, axis=1) + place - last) % days)
