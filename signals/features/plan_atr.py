"""The ATR that a trade plan is built from: Wilder's ATR of the plan's timeframe, as far as it was known at each base bar's close."""

import numpy as np

from exchanges.ports import CandleFrame
from signals.features import grid, measures, rolling
from signals.features.spec import Array
from signals.plan import PlanConfig

MEMORY_PERIODS = 10
"""Wilder's smoothing never forgets; ours ends after 10 periods, which is within 0.01 % of TA-Lib's value and the same live as in batch."""


def warmup_bars(config: PlanConfig, base_timeframe: str = "15m") -> int:
    """Base bars before the first value."""
    ratio = grid.FRAME_MS[config.atr_timeframe] // grid.base_step_ms(base_timeframe)
    return (config.atr_period * MEMORY_PERIODS + 2) * ratio


def plan_atr(frame: CandleFrame, config: PlanConfig) -> Array:
    """ATR in price units, shape [n]: for each base bar that of the newest bar of config.atr_timeframe closed by its close, NaN before.

    Raises ValueError when the plan's timeframe is not 1h, 4h or 1d.
    """
    if config.atr_timeframe not in grid.FRAME_MS:
        raise ValueError(f"atr_timeframe must be one of {', '.join(grid.FRAME_MS)}, not {config.atr_timeframe!r}")
    step_ms = grid.base_step_ms(frame.timeframe)
    memory = config.atr_period * MEMORY_PERIODS
    out = np.full(len(frame), np.nan)
    for start, stop in grid.stretches(frame.timestamp):
        base, place = grid.regularise(frame.slice(start, stop), step_ms)
        higher = grid.aggregate(base, grid.FRAME_MS[config.atr_timeframe])
        if higher.size <= memory:
            continue
        # The first bar has no previous close: its range is left out, as TA-Lib does.
        smoothed = rolling.wilder(measures.true_range(higher)[1:], config.atr_period, memory)
        smoothed = np.concatenate(([np.nan], smoothed))
        out[start:stop] = grid.spread(smoothed, grid.closed_index(base, higher))[place]
    return out
