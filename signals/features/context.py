"""The same market on 1h, 4h and 1d bars. A higher bar is looked at only after it has closed; windows are short enough that their memory ends."""

from signals.features import grid, measures, rolling
from signals.features.spec import Array, Bars, FeatureSpec, Inputs

MEASURES = {
    "ret_1": (1, "ln(close / previous close)"),
    "ret_6": (6, "ln(close / close 6 bars ago)"),
    "range_pos_20": (20, "close between low (-1) and high (+1) of 20 bars"),
    "rsi_14": (15, "Cutler's RSI of 14, -1..1"),
    "sma_dist_10": (14, "(close - SMA(10)) / mean true range of 14"),
    "sma_dist_20": (20, "(close - SMA(20)) / mean true range of 14"),
    "atr_pct_14": (15, "mean true range of 14 / close"),
    "bollinger_pos_20": (20, "(close - mean) / std of 20 closes"),
    "efficiency_10": (11, "Kaufman's efficiency ratio of 10, signed"),
    "volume_ratio_3_20": (20, "mean volume of 3 / that of 20"),
    "body": (0, "(close - open) / (high - low) of the last closed bar"),
}
MINUTES_15_MS = 900_000


def _warmup(frame: str, bars: int) -> int:
    """In 15m bars. Two higher bars more than the window: the history may begin inside one, and the newest is still open."""
    return (bars + 2) * (grid.FRAME_MS[frame] // MINUTES_15_MS)


SPECS = (
    *(
        FeatureSpec(f"{name}_{frame}", "context", _warmup(frame, bars), f"{source}, on {frame} bars")
        for frame in grid.FRAME_MS
        for name, (bars, source) in MEASURES.items()
    ),
    FeatureSpec("sma_dist_50_1h", "context", _warmup("1h", 50), "(close - SMA(50)) / mean true range of 14, on 1h bars"),
    FeatureSpec("sma_dist_50_4h", "context", _warmup("4h", 50), "(close - SMA(50)) / mean true range of 14, on 4h bars"),
    FeatureSpec("agreement_1h_4h_1d", "context", _warmup("1d", 11), "mean of the three frames' efficiency_10"),
)


def _measure(bars: Bars) -> dict[str, Array]:
    close = bars.close
    unit = measures.unit_range(bars)
    return {
        "ret_1": measures.change(close, 1),
        "ret_6": measures.change(close, 6),
        "range_pos_20": measures.range_position(bars, 20),
        "rsi_14": measures.cutler_rsi(close, 14),
        "sma_dist_10": measures.ratio(close - rolling.mean(close, 10), unit),
        "sma_dist_20": measures.ratio(close - rolling.mean(close, 20), unit),
        "atr_pct_14": unit / close,
        "bollinger_pos_20": measures.band_position(close, 20),
        "efficiency_10": measures.efficiency(close, 10),
        "volume_ratio_3_20": measures.ratio(rolling.mean(bars.volume, 3), rolling.mean(bars.volume, 20), neutral=1.0),
        "body": measures.ratio(close - bars.open, bars.high - bars.low),
    }


def compute(inputs: Inputs) -> dict[str, Array]:
    """Every feature of SPECS, each of shape [n]."""
    out: dict[str, Array] = {}
    for frame, bars in inputs.frames.items():
        closed = inputs.closed[frame]
        for name, values in _measure(bars).items():
            out[f"{name}_{frame}"] = grid.spread(values, closed)
        if frame != "1d":
            distance = measures.ratio(bars.close - rolling.mean(bars.close, 50), measures.unit_range(bars))
            out[f"sma_dist_50_{frame}"] = grid.spread(distance, closed)
    out["agreement_1h_4h_1d"] = (out["efficiency_10_1h"] + out["efficiency_10_4h"] + out["efficiency_10_1d"]) / 3.0
    return out
