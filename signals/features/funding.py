"""What holding a perpetual costs. A rate is known from its boundary on; where none is known for a day, the values are 0 and funding_known says so."""

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import njit
from signals.features.spec import Array, FeatureSpec, Inputs

DAY_MS = 86_400_000
STALE_MS = DAY_MS
SPECS = (
    FeatureSpec("funding_known", "funding", 96, "1 when a funding rate of the last 24 hours is known, else 0"),
    FeatureSpec("funding_last", "funding", 96, "newest rate, in basis points"),
    FeatureSpec("funding_day", "funding", 2 * 96, "sum of the rates of 24 hours before the newest boundary, in basis points"),
    FeatureSpec("funding_week", "funding", 8 * 96, "mean of the rates of 7 days, in basis points"),
    FeatureSpec("funding_change", "funding", 8 * 96, "newest rate - mean of 7 days, in basis points"),
    FeatureSpec("funding_z", "funding", 22 * 96, "(newest - mean) / std of the rates of 21 days, 0 below 9 boundaries"),
)


@njit(cache=True)
def _windows(ms: NDArray[np.int64], rate: Array, span: int) -> Array:
    """Per boundary: sum, mean, population std and count of the rates with ms in (own - span, own]."""
    n = ms.shape[0]
    out = np.zeros((n, 4))
    start = 0
    for i in range(n):
        while ms[start] <= ms[i] - span:
            start += 1
        count = i - start + 1
        total = 0.0
        for j in range(start, i + 1):
            total += rate[j]
        centre = total / count
        squares = 0.0
        for j in range(start, i + 1):
            squares += (rate[j] - centre) ** 2
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = total, centre, np.sqrt(squares / count), count
    return out


def compute(inputs: Inputs) -> dict[str, Array]:
    """Every feature of SPECS, each of shape [n]."""
    names = [spec.name for spec in SPECS]
    size = inputs.base.size
    ms, rate = inputs.funding_ms, inputs.funding_rate * 1e4
    if ms.size == 0:
        return {name: np.zeros(size) for name in names}
    closes_at = inputs.base.timestamp + inputs.base.step_ms
    newest = np.searchsorted(ms, closes_at, side="right") - 1
    known = (newest >= 0) & (closes_at - ms[np.maximum(newest, 0)] <= STALE_MS)
    day, week, long = (_windows(ms, rate, days * DAY_MS) for days in (1, 7, 21))
    # Rates are often pinned to one value: a spread below a hundredth of a basis point is none.
    z = np.where((long[:, 3] >= 9) & (long[:, 2] > 0.01), (rate - long[:, 1]) / np.maximum(long[:, 2], 0.01), 0.0)
    columns = (np.ones(ms.size), rate, day[:, 0], week[:, 1], rate - week[:, 1], np.clip(z, -20.0, 20.0))
    return {name: np.where(known, column[np.maximum(newest, 0)], 0.0) for name, column in zip(names, columns, strict=True)}
