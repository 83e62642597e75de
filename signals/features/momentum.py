"""Oscillators on the base frame."""

import numpy as np

from signals.features import measures, rolling
from signals.features.spec import Array, FeatureSpec, Inputs

SPECS = (
    FeatureSpec("rsi_7", "momentum", 350, "Wilder's RSI(7), scaled to -1..1; TA-Lib RSI"),
    FeatureSpec("rsi_14", "momentum", 700, "Wilder's RSI(14), scaled to -1..1; TA-Lib RSI"),
    FeatureSpec("rsi_change_8", "momentum", 720, "rsi_14 - rsi_14 of 8 bars ago"),
    FeatureSpec("stoch_k_14", "momentum", 16, "slow %K: 3-bar mean of the place in the 14-bar range, -1..1 (Lane)"),
    FeatureSpec("stoch_d_14", "momentum", 18, "3-bar mean of slow %K (Lane)"),
    FeatureSpec("cci_20", "momentum", 20, "commodity channel index of 20 / 100 (Lambert); TA-Lib CCI"),
    FeatureSpec("cmo_14", "momentum", 15, "Chande momentum over 14 log returns, simple sums"),
    FeatureSpec("trix_15", "momentum", 800, "one-bar change of the triple EMA(15) in basis points (Hutson); TA-Lib TRIX"),
    FeatureSpec("power_balance_14", "momentum", 14, "14-bar mean of (close - open) / (high - low); balance of power (Livshin)"),
    FeatureSpec("stoch_rsi_14", "momentum", 720, "place of rsi_14 in its own 14-bar range, -1..1 (Chande and Kroll)"),
)


def compute(inputs: Inputs) -> dict[str, Array]:
    """Every feature of SPECS, each of shape [n]."""
    import talib  # costs seconds to import; the web process asks for the catalogue only

    bars = inputs.base
    close = bars.close
    rsi = talib.RSI(close, timeperiod=14) / 50.0 - 1.0
    steady = np.nan_to_num(rsi)
    highest, lowest = rolling.maximum(steady, 14), rolling.minimum(steady, 14)
    stoch_k = rolling.mean(measures.range_position(bars, 14), 3)
    balance = measures.ratio(close - bars.open, bars.high - bars.low)
    # A range of oscillator values below a millionth is rounding, not movement.
    span = np.where(highest - lowest > 1e-6, highest - lowest, 0.0)
    return {
        "rsi_7": talib.RSI(close, timeperiod=7) / 50.0 - 1.0,
        "rsi_14": rsi,
        "rsi_change_8": rsi - measures.lagged(rsi, 8),
        "stoch_k_14": stoch_k,
        "stoch_d_14": rolling.mean(stoch_k, 3),
        "cci_20": np.clip(talib.CCI(bars.high, bars.low, close, timeperiod=20) / 100.0, -measures.LIMIT, measures.LIMIT),
        "cmo_14": measures.cutler_rsi(close, 14),
        "trix_15": talib.TRIX(close, timeperiod=15) * 100.0,
        "power_balance_14": rolling.mean(balance, 14),
        "stoch_rsi_14": 2.0 * measures.ratio(steady - lowest, span, neutral=0.5) - 1.0,
    }
