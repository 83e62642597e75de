"""The unit that a trade plan is built from, as far as it was known at each base bar's close: ATR or volatility of the plan's timeframe."""

import numpy as np

from exchanges.ports import CandleFrame
from signals.features import grid, measures, rolling
from signals.features.spec import Array, Bars
from signals.plan import VOLATILITY, PlanConfig

MEMORY_PERIODS = 10
"""Wilder's smoothing never forgets; ours ends after 10 periods, which is within 0.01 % of TA-Lib's value and the same live as in batch."""


def memory_bars(config: PlanConfig) -> int:
    """Closed bars of the plan's timeframe that a value is made of, not counting the one before them."""
    return config.atr_period if config.unit == VOLATILITY else config.atr_period * MEMORY_PERIODS


def warmup_bars(config: PlanConfig, base_timeframe: str = "15m") -> int:
    """Base bars before the first value."""
    ratio = grid.FRAME_MS[config.atr_timeframe] // grid.base_step_ms(base_timeframe)
    return (memory_bars(config) + 2) * ratio


def plan_atr(frame: CandleFrame, config: PlanConfig) -> Array:
    """The plan's unit in price units, shape [n]: for each base bar that of the newest bar of config.atr_timeframe closed by its close, NaN before.

    Raises ValueError when the plan's timeframe is not 1h, 4h or 1d.
    """
    if config.atr_timeframe not in grid.FRAME_MS:
        raise ValueError(f"atr_timeframe must be one of {', '.join(grid.FRAME_MS)}, not {config.atr_timeframe!r}")
    step_ms = grid.base_step_ms(frame.timeframe)
    out = np.full(len(frame), np.nan)
    for start, stop in grid.stretches(frame.timestamp):
        base, place = grid.regularise(frame.slice(start, stop), step_ms)
        higher = grid.aggregate(base, grid.FRAME_MS[config.atr_timeframe])
        if higher.size <= memory_bars(config):
            continue
        measure = _volatility if config.unit == VOLATILITY else _wilder
        # The first bar has no previous close: its range or return is left out, as TA-Lib does.
        values = np.concatenate(([np.nan], measure(higher, config)))
        out[start:stop] = grid.spread(values, grid.closed_index(base, higher))[place]
    return out


def _wilder(bars: Bars, config: PlanConfig) -> Array:
    return rolling.wilder(measures.true_range(bars)[1:], config.atr_period, memory_bars(config))


def _volatility(bars: Bars, config: PlanConfig) -> Array:
    return rolling.mean_std(measures.log_returns(bars.close)[1:], config.atr_period)[1] * bars.close[1:]
