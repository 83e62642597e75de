"""Which of two models earned more on the same days, whether that is more than luck, and how much luck a champion's challengers may have together."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting.metrics import resampling
from backtesting.metrics.resampling import LEAST_BLOCK_DAYS

F = NDArray[np.float64]
RESAMPLES = 4_000
FAMILY_LEVEL = 0.05
"""The chance that challengers which are no better replace a champion, all of them together."""
HALF_SPENT_AFTER = 4


class Difference(NamedTuple):
    """Mean daily difference with its two-sided 90 % interval, whose lower end is a one-sided 95 % bound, in the unit of the results.

    p_value is the chance of such a difference, or a larger one, between models of which the first is no better; block_days the mean length
    of a resampled block.
    """

    days: int
    mean: float
    low: float
    high: float
    p_value: float
    block_days: float


def paired(new: F, old: F, *, p_block_days: int = int(LEAST_BLOCK_DAYS), seed: int = 7) -> Difference:
    """Results of two models by day, float64 [days] each, days in order, 0 where a model did nothing.

    The stationary bootstrap (Politis and Romano 1994) of the daily differences: pairing takes away what the market did to both, blocks of
    random length (mean: the cube root of the days, at least LEAST_BLOCK_DAYS) keep what neighbouring days have in common. The interval is the
    basic one, mirrored at the estimate. The p-value is Student's, on means of p_block_days days: of few days resampling is too sure of
    itself (a bound above 0 in one of seven pairs of equal models after 20 days), Student's t is not. Raises ValueError for arrays of different length, or empty ones.
    """
    if new.shape != old.shape or new.size == 0:
        raise ValueError("both models need the same days, and at least one")
    difference = new - old
    days = difference.size
    block = resampling.block_days(days)
    means = difference[resampling.stationary_rows(np.random.default_rng(seed), RESAMPLES, days, block)].mean(axis=1)
    mean = float(difference.mean())
    low, high = (2.0 * mean - float(end) for end in np.quantile(means, (0.95, 0.05)))
    return Difference(days, mean, low, high, p_by_blocks(difference, p_block_days), block)


def level_of(attempt: int) -> float:
    """What the p-value of the attempt-th challenger of one champion, 1 and up, has to reach.

    Alpha spending, or online Bonferroni (Tian and Ramdas 2021, "Online control of the familywise error rate"; Foster and Stine 2008): levels
    fixed in advance that add up to FAMILY_LEVEL bound the chance of any false success, however the tests hang together. Here n attempts have
    spent n / (n + HALF_SPENT_AFTER) of it, so that the first may have a fifth and there is always something left.
    """
    if attempt < 1:
        raise ValueError("attempts count from 1")
    c = HALF_SPENT_AFTER
    return FAMILY_LEVEL * c / ((attempt + c - 1) * (attempt + c))


def gate_block_days(days: int) -> int:
    """Days that make one value of the t-test: the cube root of all, and two more, because a position lives that long.

    With fewer, challengers that are no better win more often than FAMILY_LEVEL when daily results have a memory (a lag-one correlation of
    0.4: 10 % instead of 6 %).
    """
    return 2 + round(days ** (1.0 / 3.0))


def p_by_blocks(difference: F, size: int) -> float:
    """Student's t on the means of `size` days, which are nearly independent (batch means; Law and Carson 1979), one-sided."""
    blocks = difference.size // size
    if blocks < 2:
        return 1.0
    means = difference[-blocks * size :].reshape(blocks, size).mean(axis=1)
    mean, spread = float(means.mean()), float(means.std(ddof=1))
    if spread == 0.0:
        return 0.0 if mean > 0.0 else 1.0
    return student_tail(mean / spread * float(np.sqrt(blocks)), blocks - 1)


def student_tail(t: float, df: int) -> float:
    """Chance that Student's t with df degrees of freedom exceeds t (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    angle = float(np.arctan(abs(t) / np.sqrt(df)))
    sine, cosine = np.sin(angle), np.cos(angle)
    term, total = (1.0, 1.0) if df % 2 == 0 else (cosine, cosine)
    for k in range(2 if df % 2 == 0 else 3, df - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    between = sine * total if df % 2 == 0 else (angle + (sine * total if df > 1 else 0.0)) * 2.0 / np.pi
    return float((1.0 - between) / 2.0 if t >= 0.0 else (1.0 + between) / 2.0)
