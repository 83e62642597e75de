"""What Bitcoin does, and how the market moves with it. Where Bitcoin is not known the values are neutral and btc_known is 0."""

import numpy as np

from signals.features import measures, rolling
from signals.features.spec import Array, FeatureSpec, Inputs

RETURNS = (1, 4, 16, 96)
STALE_BARS = 4
WARMUP = 97 + STALE_BARS  # Bitcoin's newest bars may be late
SPECS = (
    FeatureSpec("btc_known", "cross_asset", WARMUP, "1 when Bitcoin's bars of the last 96 are known, else 0"),
    *(FeatureSpec(f"btc_ret_{bars}", "cross_asset", WARMUP, f"Bitcoin's ln(close / close {bars} bars ago)") for bars in RETURNS),
    FeatureSpec("btc_range_pos_96", "cross_asset", WARMUP, "Bitcoin's close between low (-1) and high (+1) of 96 bars"),
    FeatureSpec("btc_rv_96", "cross_asset", WARMUP, "std of Bitcoin's 96 log returns"),
    FeatureSpec("btc_rv_ratio_16_96", "cross_asset", WARMUP, "ln(std of Bitcoin's 16 returns / that of 96)"),
    FeatureSpec("rel_ret_16", "cross_asset", WARMUP, "own ret_16 - Bitcoin's"),
    FeatureSpec("rel_ret_96", "cross_asset", WARMUP, "own ret_96 - Bitcoin's"),
    FeatureSpec("btc_beta_96", "cross_asset", WARMUP, "covariance with Bitcoin / Bitcoin's variance, over 96 returns"),
    FeatureSpec("btc_corr_96", "cross_asset", WARMUP, "correlation with Bitcoin over 96 returns"),
    FeatureSpec("btc_rel_vol_96", "cross_asset", WARMUP, "ln(own std / Bitcoin's) over 96 returns"),
)


def compute(inputs: Inputs) -> dict[str, Array]:
    """Every feature of SPECS, each of shape [n]."""
    size = inputs.base.size
    btc = inputs.btc
    if btc is None or btc.size <= 97:
        return {spec.name: np.zeros(size) for spec in SPECS}
    close = btc.close
    returns = measures.log_returns(close)
    rv_16, rv_96 = rolling.mean_std(returns, 16)[1], rolling.mean_std(returns, 96)[1]
    own = {f"btc_ret_{k}": measures.change(close, k) for k in RETURNS}
    own["btc_range_pos_96"] = measures.range_position(btc, 96)
    own["btc_rv_96"] = rv_96
    own["btc_rv_ratio_16_96"] = np.log(np.clip(measures.ratio(rv_16, rv_96, neutral=1.0), 0.02, 20.0))

    index = inputs.btc_index
    known = index >= 97
    at = np.maximum(index, 0)
    out = {name: np.where(known, values[at], 0.0) for name, values in own.items()}
    mine = measures.log_returns(inputs.base.close)
    theirs = np.where(index >= 1, returns[at], 0.0)
    cov, var_mine, var_theirs = rolling.covariance(mine, theirs, 96)
    std_mine, std_theirs = np.sqrt(var_mine), np.sqrt(var_theirs)
    joint = {
        "btc_beta_96": measures.ratio(cov, var_theirs),
        "btc_corr_96": measures.ratio(
            measures.ratio(cov, np.where(std_mine > 1e-9, std_mine, 0.0)), np.where(std_theirs > 1e-9, std_theirs, 0.0)
        ),
        "btc_rel_vol_96": np.log(np.clip(measures.ratio(std_mine, std_theirs, neutral=1.0), 0.02, 20.0)),
        "rel_ret_16": measures.change(inputs.base.close, 16) - out["btc_ret_16"],
        "rel_ret_96": measures.change(inputs.base.close, 96) - out["btc_ret_96"],
    }
    out |= {name: np.where(known, values, 0.0) for name, values in joint.items()}
    out["btc_known"] = known.astype(np.float64)
    return out
