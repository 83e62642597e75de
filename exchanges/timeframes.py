"""Timeframes of candles: lengths, higher frames derived from the base, and which higher bar is known when."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges.ports import CandleFrame

MINUTE_MS = 60_000
TIMEFRAME_MS: dict[str, int] = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": 1440 * MINUTE_MS,
}


class UnknownTimeframe(ValueError):
    """A timeframe this product does not keep."""

    def __init__(self, timeframe: str) -> None:
        super().__init__(f"timeframe: {timeframe!r} is not known; use one of {', '.join(TIMEFRAME_MS)}")


class Gap(NamedTuple):
    """Missing bars: opens of the first and the last one, in ms, and how many."""

    first_ms: int
    last_ms: int
    missing: int


def parse(timeframe: str) -> int:
    """Length of a bar in ms. Raises UnknownTimeframe."""
    try:
        return TIMEFRAME_MS[timeframe]
    except (KeyError, TypeError):
        raise UnknownTimeframe(timeframe) from None


def floor(ms: int, timeframe: str) -> int:
    """Open of the bar that holds the instant `ms`."""
    length_ms = parse(timeframe)
    return ms // length_ms * length_ms


def derives(base: str, higher: str) -> bool:
    """Whether bars of `higher` can be put together from whole bars of `base`."""
    return parse(higher) > parse(base) and parse(higher) % parse(base) == 0


def aggregate(frame: CandleFrame, timeframe: str) -> CandleFrame:
    """The frame in a higher timeframe, complete bars only.

    A higher bar exists when every one of its base bars does, so the newest one appears only after its close and a bar with
    a hole in it never does. Raises UnknownTimeframe, and ValueError when `timeframe` is no multiple of the frame's own.
    """
    if timeframe == frame.timeframe:
        return frame
    if not derives(frame.timeframe, timeframe):
        raise ValueError(f"timeframe: {timeframe} cannot be derived from {frame.timeframe}")
    length_ms = parse(timeframe)
    per_bar = length_ms // parse(frame.timeframe)
    bucket = frame.timestamp // length_ms * length_ms
    if not len(frame):
        return CandleFrame(frame.symbol, timeframe, *frame[2:])
    first = np.flatnonzero(np.concatenate(([True], bucket[1:] != bucket[:-1])))
    count = np.diff(np.append(first, len(frame)))
    whole = count == per_bar
    last = first + count - 1
    return CandleFrame(
        frame.symbol,
        timeframe,
        bucket[first][whole],
        frame.open[first][whole],
        np.maximum.reduceat(frame.high, first)[whole],
        np.minimum.reduceat(frame.low, first)[whole],
        frame.close[last][whole],
        np.add.reduceat(frame.volume, first)[whole],
    )


def closed_index(base_open_ms: NDArray[np.int64], base_tf: str, higher_open_ms: NDArray[np.int64], higher_tf: str) -> NDArray[np.int64]:
    """int64[n]: for each base bar the index of the newest higher bar that has CLOSED by the base bar's close; -1 when none has."""
    known_at = np.asarray(base_open_ms, np.int64) + parse(base_tf)
    closes_at = np.asarray(higher_open_ms, np.int64) + parse(higher_tf)
    return (np.searchsorted(closes_at, known_at, side="right") - 1).astype(np.int64)


def gaps(timestamps: NDArray[np.int64], timeframe: str) -> list[Gap]:
    """Holes between the first and the last bar; `timestamps` int64 ms, increasing, on the grid."""
    length_ms = parse(timeframe)
    steps = np.diff(timestamps)
    holes = np.flatnonzero(steps > length_ms)
    return [Gap(int(timestamps[i]) + length_ms, int(timestamps[i + 1]) - length_ms, int(steps[i]) // length_ms - 1) for i in holes]
