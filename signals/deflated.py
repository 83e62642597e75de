"""How far a Sharpe ratio may be believed: its sample, its tails, and the number of trials it was chosen from. Numbers in, numbers out.

All Sharpe ratios here are those of one period of the returns (one day for daily returns), NOT annualised. Sources: Bailey and Lopez de Prado,
"The Sharpe ratio efficient frontier", Journal of Risk 15(2), 2012 (probabilistic ratio), and "The deflated Sharpe ratio", Journal of
Portfolio Management 40(5), 2014 (expected maximum, deflated ratio).
"""

from math import e, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EULER_MASCHERONI = 0.5772156649015329
LEAST_RETURNS = 10
_NORMAL = NormalDist()


class Moments(NamedTuple):
    """Of returns of one period: their ratio of mean to deviation, skewness (0 for normal), kurtosis (3 for normal), and how many there are."""

    sharpe: float
    skewness: float
    kurtosis: float
    n: int


def moments(returns: NDArray[np.float64]) -> Moments | None:
    """Of float64 [n]; None for fewer than LEAST_RETURNS returns or when none differs from the others."""
    if returns.size < LEAST_RETURNS:
        return None
    away = returns - returns.mean()
    variance = float(np.mean(away**2))
    if variance < 1e-24:
        return None
    deviation = sqrt(variance * returns.size / (returns.size - 1))
    return Moments(
        float(returns.mean()) / deviation, float(np.mean(away**3)) / variance**1.5, float(np.mean(away**4)) / variance**2, int(returns.size)
    )


def variance_of_sharpe(seen: Moments) -> float:
    """Sampling variance of the estimated ratio for independent returns with these moments (2012, equation 4; Mertens 2002)."""
    spread = 1.0 - seen.skewness * seen.sharpe + (seen.kurtosis - 1.0) / 4.0 * seen.sharpe**2
    return max(spread, 1e-12) / (seen.n - 1)


def probabilistic_sharpe(seen: Moments, benchmark: float = 0.0) -> float:
    """The chance that the true ratio is above `benchmark` (2012, equation 11)."""
    return _NORMAL.cdf((seen.sharpe - benchmark) / sqrt(variance_of_sharpe(seen)))


def expected_maximum(trials: int, variance: float) -> float:
    """The highest ratio that `trials` independent tries without any skill are expected to show, when their ratios vary by `variance`
    (2014, equation 1). 0 for a single try. Raises ValueError for fewer than one try or a negative variance."""
    if trials < 1 or variance < 0.0:
        raise ValueError("expected_maximum needs at least one trial and a variance that is not negative")
    if trials == 1:
        return 0.0
    high, higher = _NORMAL.inv_cdf(1.0 - 1.0 / trials), _NORMAL.inv_cdf(1.0 - 1.0 / (trials * e))
    return sqrt(variance) * ((1.0 - EULER_MASCHERONI) * high + EULER_MASCHERONI * higher)


def deflated_sharpe(seen: Moments, *, trials: int, variance: float | None = None) -> float:
    """The chance that the true ratio is above zero, knowing that it is the best of `trials` (2014, equation 2).

    variance -- of the ratios of all trials. None: what the ratios of independent trials without skill vary by in samples of this length.
    """
    return probabilistic_sharpe(seen, expected_maximum(trials, chance_variance(seen.n) if variance is None else variance))


def chance_variance(n: int) -> float:
    """What ratios of n independent returns without skill vary by: 1 / (n - 1), variance_of_sharpe at a ratio of 0."""
    return 1.0 / (n - 1)


def prudent_variance(n: int, measured: float | None) -> float:
    """The variance to deflate by: what was measured among the trials' ratios, and never less than chance_variance(n).

    Equally correlated ratios are a part that all share and an own part each. Choosing the highest chooses among the own parts alone, and the
    variance among the trials is theirs, so a measured one would already count correlated trials for what they are. It is not trusted
    downwards: a search draws its trials towards the good ones and cuts the bad ones short, and the variance of the better half lets twice
    as many worthless winners pass as promised (tests/signals/test_deflated.py). So correlated trials are deflated as if each were a try of
    its own: too much rather than too little.
    """
    return chance_variance(n) if measured is None else max(measured, chance_variance(n))


def least_returns(seen: Moments, *, benchmark: float = 0.0, confidence: float = 0.95) -> float | None:
    """Returns needed for probabilistic_sharpe to reach `confidence` at these moments (minimum track record length, 2012, equation 13).
    None when the ratio is not above the benchmark: no length would do."""
    if seen.sharpe <= benchmark:
        return None
    spread = variance_of_sharpe(seen) * (seen.n - 1)
    return 1.0 + spread * (_NORMAL.inv_cdf(confidence) / (seen.sharpe - benchmark)) ** 2
