"""How far the price moves, and how that changes."""

import numpy as np

from signals.features import measures, rolling
from signals.features.spec import Array, FeatureSpec, Inputs

SPECS = (
    FeatureSpec("atr_pct_14", "volatility", 15, "mean true range of 14 / close (Wilder's range, simple mean)"),
    FeatureSpec("rv_16", "volatility", 17, "standard deviation of 16 log returns"),
    FeatureSpec("rv_96", "volatility", 97, "standard deviation of 96 log returns"),
    FeatureSpec("rv_ratio_16_96", "volatility", 97, "ln(rv_16 / rv_96)"),
    FeatureSpec("rv_ratio_96_384", "volatility", 385, "ln(rv_96 / rv_384)"),
    FeatureSpec("parkinson_96", "volatility", 96, "Parkinson 1980: sqrt(mean(ln(high/low)^2) / (4 ln 2)) / rv_96"),
    FeatureSpec("garman_klass_32", "volatility", 32, "Garman and Klass 1980, sqrt of the 32-bar mean"),
    FeatureSpec("bollinger_width_20", "volatility", 20, "4 standard deviations / mean of 20 closes (Bollinger)"),
    FeatureSpec("bollinger_pos_20", "volatility", 20, "(close - mean) / std of 20 closes"),
    FeatureSpec("down_up_96", "volatility", 97, "ln(downside / upside semideviation) of 96 returns"),
    FeatureSpec("vol_of_vol_96", "volatility", 112, "std / mean of rv_16 over 96 bars"),
    FeatureSpec("range_expansion", "volatility", 15, "true range of the bar / mean of 14"),
    FeatureSpec("skew_96", "volatility", 97, "skewness of 96 log returns"),
    FeatureSpec("kurtosis_96", "volatility", 97, "excess kurtosis of 96 log returns"),
    FeatureSpec("drawdown_96", "volatility", 96, "deepest fall from a high within 96 bars"),
    FeatureSpec("jump_96", "volatility", 97, "1 - bipower / realised variance of 96 returns (Barndorff-Nielsen and Shephard 2004)"),
)


def _log_quotient(above: Array, below: Array) -> Array:
    """ln(above / below) within +-4, 0 where either is nothing."""
    usable = (above > 1e-12) & (below > 1e-12)
    quotient = np.where(usable, above, 1.0) / np.where(usable, below, 1.0)
    out = np.clip(np.log(quotient), -4.0, 4.0)
    return np.where(np.isnan(above) | np.isnan(below), np.nan, out)


def compute(inputs: Inputs) -> dict[str, Array]:
    """Every feature of SPECS, each of shape [n]."""
    bars = inputs.base
    close = bars.close
    returns = measures.log_returns(close)
    rv_16, rv_96, rv_384 = (rolling.mean_std(returns, window)[1] for window in (16, 96, 384))
    log_range = np.log(bars.high / bars.low)
    body = np.log(close / bars.open)
    garman_klass = rolling.mean(np.maximum(0.5 * log_range**2 - (2.0 * np.log(2.0) - 1.0) * body**2, 0.0), 32)
    parkinson = np.sqrt(rolling.mean(log_range**2, 96) / (4.0 * np.log(2.0)))
    centre, spread = rolling.mean_std(close, 20)
    down = np.sqrt(rolling.mean(np.minimum(returns, 0.0) ** 2, 96))
    up = np.sqrt(rolling.mean(np.maximum(returns, 0.0) ** 2, 96))
    vol_mean, vol_spread = rolling.mean_std(rv_16, 96)
    skew, kurtosis = rolling.skew_kurtosis(returns, 96)
    size = np.abs(returns)
    bipower = np.pi / 2.0 * rolling.mean(size * np.concatenate((size[:1], size[:-1])), 96)
    realised = rolling.mean(returns**2, 96)
    tr = measures.true_range(bars)
    return {
        "atr_pct_14": rolling.mean(tr, 14) / close,
        "rv_16": rv_16,
        "rv_96": rv_96,
        "rv_ratio_16_96": _log_quotient(rv_16, rv_96),
        "rv_ratio_96_384": _log_quotient(rv_96, rv_384),
        "parkinson_96": measures.ratio(parkinson, rv_96, neutral=1.0),
        "garman_klass_32": np.sqrt(garman_klass),
        "bollinger_width_20": 4.0 * spread / centre,
        "bollinger_pos_20": measures.band_position(close, 20),
        "down_up_96": _log_quotient(down, up),
        "vol_of_vol_96": measures.ratio(vol_spread, vol_mean),
        "range_expansion": measures.ratio(tr, measures.unit_range(bars)),
        "skew_96": skew,
        "kurtosis_96": kurtosis,
        "drawdown_96": rolling.drawdown(close, 96),
        "jump_96": np.where(realised > 1e-18, 1.0 - bipower / np.maximum(realised, 1e-18), 0.0),
    }
