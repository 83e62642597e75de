"""The shape of the last bars."""

import numpy as np

from signals.features import measures, rolling
from signals.features.spec import Array, FeatureSpec, Inputs

SPECS = (
    FeatureSpec("body", "candles", 0, "(close - open) / (high - low), 0 for a bar without range"),
    FeatureSpec("upper_wick", "candles", 0, "(high - upper end of the body) / (high - low)"),
    FeatureSpec("lower_wick", "candles", 0, "(lower end of the body - low) / (high - low)"),
    FeatureSpec("body_size", "candles", 15, "(close - open) / mean true range of 14"),
    FeatureSpec("wick_balance_8", "candles", 8, "8-bar mean of lower wick - upper wick"),
    FeatureSpec("close_location_4", "candles", 4, "4-bar mean of the close's place in its bar, -1..1"),
    FeatureSpec("engulfing", "candles", 1, "+1 a rising body covers the falling one before, -1 the reverse, else 0 (Nison)"),
    FeatureSpec("inside_outside", "candles", 1, "-1 the bar lies inside the one before, +1 it covers it, else 0"),
    FeatureSpec("streak_8", "candles", 9, "closes in a row in one direction, signed, at most 8"),
    FeatureSpec("doji_share_16", "candles", 16, "share of 16 bars whose body is under a tenth of their range (Nison)"),
)


def compute(inputs: Inputs) -> dict[str, Array]:
    """Every feature of SPECS, each of shape [n]."""
    bars = inputs.base
    o, h, low, c = bars.open, bars.high, bars.low, bars.close
    width = h - low
    body = measures.ratio(c - o, width)
    upper = measures.ratio(h - np.maximum(o, c), width)
    lower = measures.ratio(np.minimum(o, c) - low, width)
    location = measures.ratio((c - low) - (h - c), width)
    o1, h1, l1, c1 = (np.concatenate((column[:1], column[:-1])) for column in (o, h, low, c))
    rising = (c > o) & (c1 < o1) & (c >= o1) & (o <= c1)
    falling = (c < o) & (c1 > o1) & (c <= o1) & (o >= c1)
    inside = (h <= h1) & (low >= l1)
    outside = (h >= h1) & (low <= l1)
    return {
        "body": body,
        "upper_wick": upper,
        "lower_wick": lower,
        "body_size": measures.ratio(c - o, measures.unit_range(bars)),
        "wick_balance_8": rolling.mean(lower - upper, 8),
        "close_location_4": rolling.mean(location, 4),
        "engulfing": rising.astype(np.float64) - falling.astype(np.float64),
        "inside_outside": outside.astype(np.float64) - inside.astype(np.float64),
        "streak_8": rolling.streak(measures.log_returns(c), 8.0),
        "doji_share_16": rolling.mean((np.abs(body) < 0.1).astype(np.float64), 16),
    }
