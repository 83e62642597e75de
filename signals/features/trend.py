"""Direction and how clean it is. Recursive averages come from TA-Lib; their warm-up is long enough to forget where they began."""

import numpy as np

from signals.features import measures, rolling
from signals.features.spec import Array, FeatureSpec, Inputs

EMAS = (8, 21, 50)
SLOPES = (24, 96)
SPECS = (
    *(FeatureSpec(f"ema_dist_{k}", "trend", 16 * k, f"(close - EMA({k})) / mean true range of 14; TA-Lib EMA") for k in EMAS),
    FeatureSpec("sma_dist_200", "trend", 200, "(close - SMA(200)) / mean true range of 14"),
    FeatureSpec("ema_gap_8_21", "trend", 336, "(EMA(8) - EMA(21)) / mean true range of 14"),
    FeatureSpec("ema_gap_21_50", "trend", 800, "(EMA(21) - EMA(50)) / mean true range of 14"),
    FeatureSpec("macd_hist", "trend", 480, "MACD(12, 26, 9) histogram / mean true range of 14 (Appel); TA-Lib MACD"),
    FeatureSpec("adx_14", "trend", 800, "Wilder's ADX(14) / 100; TA-Lib ADX"),
    FeatureSpec("di_diff_14", "trend", 700, "(+DI - -DI) / 100 of 14 (Wilder); TA-Lib PLUS_DI, MINUS_DI"),
    FeatureSpec("aroon_25", "trend", 26, "Aroon oscillator of 25 / 100 (Chande); TA-Lib AROONOSC"),
    *(
        FeatureSpec(f"slope_{k}", "trend", k, f"least-squares slope of ln close over {k} bars x {k}, in std of {k} returns x sqrt {k}")
        for k in SLOPES
    ),
    *(FeatureSpec(f"slope_fit_{k}", "trend", k, f"R squared of that line over {k} bars, with the slope's sign") for k in SLOPES),
    FeatureSpec("efficiency_24", "trend", 25, "Kaufman's efficiency ratio of 24 bars, signed"),
    FeatureSpec("efficiency_96", "trend", 97, "Kaufman's efficiency ratio of 96 bars, signed"),
)


def compute(inputs: Inputs) -> dict[str, Array]:
    """Every feature of SPECS, each of shape [n]."""
    import talib  # costs seconds to import; the web process asks for the catalogue only

    bars = inputs.base
    close = bars.close
    unit = measures.unit_range(bars)
    ema = {k: talib.EMA(close, timeperiod=k) for k in EMAS}
    out = {f"ema_dist_{k}": measures.ratio(close - ema[k], unit) for k in EMAS}
    out["sma_dist_200"] = measures.ratio(close - rolling.mean(close, 200), unit)
    out["ema_gap_8_21"] = measures.ratio(ema[8] - ema[21], unit)
    out["ema_gap_21_50"] = measures.ratio(ema[21] - ema[50], unit)
    out["macd_hist"] = measures.ratio(talib.MACD(close)[2], unit)
    out["adx_14"] = talib.ADX(bars.high, bars.low, close, timeperiod=14) / 100.0
    plus, minus = talib.PLUS_DI(bars.high, bars.low, close, timeperiod=14), talib.MINUS_DI(bars.high, bars.low, close, timeperiod=14)
    out["di_diff_14"] = (plus - minus) / 100.0
    out["aroon_25"] = talib.AROONOSC(bars.high, bars.low, timeperiod=25) / 100.0
    log_close = np.log(close)
    returns = measures.log_returns(close)
    for k in SLOPES:
        slope, fit = rolling.slope_fit(log_close, k)
        deviation = rolling.mean_std(returns, k)[1]
        out[f"slope_{k}"] = measures.ratio(slope * k, deviation * np.sqrt(k))
        out[f"slope_fit_{k}"] = fit * np.sign(slope)
    out["efficiency_24"] = measures.efficiency(close, 24)
    out["efficiency_96"] = measures.efficiency(close, 96)
    return out
