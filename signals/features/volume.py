"""How much was traded, on which side of the bar, and what it moved. Volumes are only ever compared with volumes of the same market."""

import numpy as np

from signals.features import measures, rolling
from signals.features.spec import Array, FeatureSpec, Inputs

SPECS = (
    FeatureSpec("volume_ratio_1_96", "volume", 96, "ln(1 + volume / mean volume of 96) - ln 2"),
    FeatureSpec("volume_ratio_4_96", "volume", 96, "ln(1 + mean volume of 4 / that of 96) - ln 2"),
    FeatureSpec("volume_ratio_96_384", "volume", 384, "ln(1 + mean volume of 96 / that of 384) - ln 2"),
    FeatureSpec("volume_z_96", "volume", 96, "(volume - mean) / std over 96 bars"),
    FeatureSpec("signed_volume_16", "volume", 17, "sum(sign(return) x volume) / sum(volume) of 16 bars; windowed OBV (Granville)"),
    FeatureSpec("signed_volume_96", "volume", 97, "sum(sign(return) x volume) / sum(volume) of 96 bars; windowed OBV"),
    FeatureSpec("cmf_20", "volume", 20, "Chaikin money flow: sum(close location x volume) / sum(volume) of 20"),
    FeatureSpec("mfi_14", "volume", 15, "money flow index of 14 (Quong and Soudack), scaled to -1..1"),
    FeatureSpec("vwap_dist_32", "volume", 32, "(close - volume-weighted typical price of 32) / mean true range of 14"),
    FeatureSpec("vwap_dist_96", "volume", 96, "(close - volume-weighted typical price of 96) / mean true range of 14"),
    FeatureSpec("impact_16_96", "volume", 97, "Amihud illiquidity |return| / volume: ln of (move of 16 / volume of 16) to the same of 96"),
    FeatureSpec("volume_move_corr_48", "volume", 143, "correlation of |return| and volume / its mean of 96, over 48 bars"),
    FeatureSpec("zero_volume_96", "volume", 96, "share of 96 bars without a trade"),
)


def _vwap(typical: Array, volume: Array, window: int) -> Array:
    total = rolling.mean(volume, window)
    weighted = rolling.mean(typical * volume, window)
    return np.where(total > 0.0, weighted / np.where(total > 0.0, total, 1.0), rolling.mean(typical, window))


def compute(inputs: Inputs) -> dict[str, Array]:
    """Every feature of SPECS, each of shape [n]."""
    bars = inputs.base
    close, volume = bars.close, bars.volume
    returns = measures.log_returns(close)
    size = np.abs(returns)
    typical = (bars.high + bars.low + close) / 3.0
    unit = measures.unit_range(bars)
    mean_4, mean_16, mean_96, mean_384 = (rolling.mean(volume, window) for window in (4, 16, 96, 384))
    deviation = rolling.mean_std(volume, 96)[1]

    signed = np.sign(returns) * volume
    width = bars.high - bars.low
    location = measures.ratio((close - bars.low) - (bars.high - close), width)
    flow = typical * volume * np.sign(np.diff(typical, prepend=typical[:1]))
    move_16, move_96 = rolling.mean(size, 16), rolling.mean(size, 96)
    cov, var_move, var_volume = rolling.covariance(size, volume / np.where(mean_96 > 0.0, mean_96, 1.0), 48)
    cov, var_move, var_volume = (np.nan_to_num(part) for part in (cov, var_move, var_volume))
    impact = measures.ratio(measures.ratio(move_16, mean_16 / np.where(mean_96 > 0.0, mean_96, 1.0)), move_96, neutral=1.0)
    return {
        "volume_ratio_1_96": np.log1p(measures.ratio(volume, mean_96, neutral=1.0)) - np.log(2.0),
        "volume_ratio_4_96": np.log1p(measures.ratio(mean_4, mean_96, neutral=1.0)) - np.log(2.0),
        "volume_ratio_96_384": np.log1p(measures.ratio(mean_96, mean_384, neutral=1.0)) - np.log(2.0),
        "volume_z_96": measures.ratio(volume - mean_96, deviation),
        "signed_volume_16": measures.ratio(rolling.mean(signed, 16), mean_16),
        "signed_volume_96": measures.ratio(rolling.mean(signed, 96), mean_96),
        "cmf_20": measures.ratio(rolling.mean(location * volume, 20), rolling.mean(volume, 20)),
        "mfi_14": measures.ratio(rolling.mean(flow, 14), rolling.mean(np.abs(flow), 14)),
        "vwap_dist_32": measures.ratio(close - _vwap(typical, volume, 32), unit),
        "vwap_dist_96": measures.ratio(close - _vwap(typical, volume, 96), unit),
        "impact_16_96": np.log(np.maximum(impact, 0.02)),
        "volume_move_corr_48": measures.ratio(cov, np.sqrt(var_move * var_volume)),
        "zero_volume_96": rolling.mean((volume <= 0.0).astype(np.float64), 96),
    }
