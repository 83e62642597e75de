"""What the figures share: array types, calendar constants, intervals."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
DAYS_A_YEAR = 365
"""Crypto trades every day: annualising takes sqrt(365), not sqrt(252)."""
LEAST_DAYS_A_YEAR = 30
"""A shorter span says nothing about a year: what is annualised by compounding is None then."""
Z95 = 1.959963984540054


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float
