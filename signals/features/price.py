"""Returns, the place in the recent range, and the clock."""

import numpy as np

from signals.features import measures, rolling
from signals.features.spec import Array, FeatureSpec, Inputs

RETURNS = (1, 2, 4, 8, 16, 32, 96, 192)
SCALED = (4, 16, 96)
RANGES = (24, 96, 384)
SPECS = (
    *(FeatureSpec(f"ret_{bars}", "price", bars, f"ln(close / close {bars} bars ago)") for bars in RETURNS),
    *(FeatureSpec(f"zret_{bars}", "price", 97, f"ret_{bars} / (std of 96 returns x sqrt {bars})") for bars in SCALED),
    *(
        FeatureSpec(f"range_pos_{bars}", "price", bars, f"close between low (-1) and high (+1) of {bars} bars; Lane's %K")
        for bars in RANGES
    ),
    FeatureSpec("dist_high_96", "price", 96, "(96-bar high - close) / mean true range of 14"),
    FeatureSpec("dist_low_96", "price", 96, "(close - 96-bar low) / mean true range of 14"),
    FeatureSpec("ret_accel_4", "price", 15, "ret_4 - ret_4 of 4 bars ago, in true ranges of 14"),
    FeatureSpec("hour_sin", "calendar", 0, "sine of the UTC time of day at the bar's close"),
    FeatureSpec("hour_cos", "calendar", 0, "cosine of the UTC time of day at the bar's close"),
    FeatureSpec("week_sin", "calendar", 0, "sine of the UTC time of week at the bar's close"),
    FeatureSpec("week_cos", "calendar", 0, "cosine of the UTC time of week at the bar's close"),
)
DAY_MS = 86_400_000


def compute(inputs: Inputs) -> dict[str, Array]:
    """Every feature of SPECS, each of shape [n]."""
    bars = inputs.base
    close = bars.close
    unit = measures.unit_range(bars)
    out = {f"ret_{k}": measures.change(close, k) for k in RETURNS}
    deviation = rolling.mean_std(measures.log_returns(close), 96)[1]
    for k in SCALED:
        out[f"zret_{k}"] = measures.ratio(out[f"ret_{k}"], deviation * np.sqrt(k))
    for k in RANGES:
        out[f"range_pos_{k}"] = measures.range_position(bars, k)
    out["dist_high_96"] = measures.ratio(rolling.maximum(bars.high, 96) - close, unit)
    out["dist_low_96"] = measures.ratio(close - rolling.minimum(bars.low, 96), unit)
    acceleration = out["ret_4"] - measures.lagged(out["ret_4"], 4)
    out["ret_accel_4"] = measures.ratio(acceleration, unit / close)
    closes_at = bars.timestamp + bars.step_ms
    day = closes_at % DAY_MS * (2.0 * np.pi / DAY_MS)
    week = closes_at % (7 * DAY_MS) * (2.0 * np.pi / (7 * DAY_MS))
    out |= {"hour_sin": np.sin(day), "hour_cos": np.cos(day), "week_sin": np.sin(week), "week_cos": np.cos(week)}
    return out
