"""What kind of market it is: bull, bear, sideways, volatile or crisis, from closed higher bars only."""

import numpy as np

from signals.features import grid, measures, rolling
from signals.features.spec import Array, FeatureSpec, Inputs

SIDEWAYS, BULL, BEAR, VOLATILE, CRISIS = 0, 1, 2, 3, 4
NAMES = {SIDEWAYS: "sideways", BULL: "bull", BEAR: "bear", VOLATILE: "volatile", CRISIS: "crisis"}
RANK_HOURS = 480
_HOURS = RANK_HOURS + 25
SPECS = (
    FeatureSpec(
        "regime_vol_rank", "regime", 4 * (_HOURS + 2), f"rank of the std of 24 hourly returns among its last {RANK_HOURS} hours, 0..1"
    ),
    FeatureSpec("regime_fall", "regime", 96 * 10, "fall of the 1h close from its high of 168 hours, as a fraction"),
    FeatureSpec(
        "regime_code",
        "regime",
        4 * (_HOURS + 2),
        "0 sideways, 1 bull, 2 bear, 3 volatile, 4 crisis: thresholds on the rank, the fall and the efficiency ratio of 10 days",
    ),
)


def classify(vol_rank: Array, trend: Array, fall: Array) -> Array:
    """The code of each row: a crisis is a fall over 10 % in high volatility; else high volatility; else the trend's direction."""
    unknown = np.isnan(vol_rank) | np.isnan(trend) | np.isnan(fall)
    code = np.select(
        [(vol_rank > 0.8) & (fall > 0.10), vol_rank > 0.9, trend > 0.25, trend < -0.25],
        [CRISIS, VOLATILE, BULL, BEAR],
        default=SIDEWAYS,
    ).astype(np.float64)
    return np.where(unknown, np.nan, code)


def compute(inputs: Inputs) -> dict[str, Array]:
    """Every feature of SPECS, each of shape [n]."""
    hours, days = inputs.frames["1h"], inputs.frames["1d"]
    deviation = rolling.mean_std(measures.log_returns(hours.close), 24)[1]
    vol_rank = grid.spread(rolling.rank(np.nan_to_num(deviation), RANK_HOURS), inputs.closed["1h"])
    trend = grid.spread(measures.efficiency(days.close, 10), inputs.closed["1d"])
    fall = grid.spread(1.0 - hours.close / rolling.maximum(hours.high, 168), inputs.closed["1h"])
    return {"regime_vol_rank": vol_rank, "regime_fall": fall, "regime_code": classify(vol_rank, trend, fall)}
