"""The finer bars that are stored of a run's bars, whether it used them or not."""

from collections.abc import Sequence

from backtesting import arrays
from backtesting.engine import DETAILS, Engine
from backtesting.honesty.again import Finer, Simulation
from backtesting.preparation import Prepared
from exchanges.timeframes import TIMEFRAME_MS

MOST_ROWS = 6_000_000
"""Finer bars that are read for a comparison: what would be more is compared by coarser ones of them."""


def finer(done: Simulation, prepared: Sequence[Prepared], engine: Engine) -> Finer | None:
    """The run's bars with finer ones: its own where it used some, else the finest that are stored and not too many. None without any."""
    if engine.detail:
        return Finer(engine.detail, done.bars)
    frames = sorted((frame for frame in DETAILS if frame), key=TIMEFRAME_MS.__getitem__)
    for frame in frames:
        if frame != frames[-1] and sum(_span_ms(item) for item in prepared) // TIMEFRAME_MS[frame] > MOST_ROWS:
            continue
        found = [arrays.with_extras(item, frame) for item in prepared]
        if any(item.details is not None and len(item.details) for item in found):
            return Finer(frame, arrays.merge(found)[0])
    return None


def _span_ms(item: Prepared) -> int:
    opens = item.frame.timestamp
    return int(opens[-1] - opens[0]) if opens.shape[0] else 0
