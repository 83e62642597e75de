"""From stored candles to a gapless grid, and from there to higher frames.

TA-Lib spoils every value after one inner NaN, and a window counted in rows silently grows longer over a gap. So a missing bar becomes a
flat one without volume, as an exchange that is down shows it. A longer gap than MAX_GAP_MS starts the history anew.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from exchanges.ports import CandleFrame
from exchanges.timeframes import TIMEFRAME_MS
from signals.features.spec import Array, Bars

FRAME_MS = {name: TIMEFRAME_MS[name] for name in ("1h", "4h", "1d")}
BASE_MS = {name: TIMEFRAME_MS[name] for name in ("15m", "30m", "1h")}
MAX_GAP_MS = 7 * TIMEFRAME_MS["1d"]


def base_step_ms(timeframe: str) -> int:
    """Length of a base bar. Raises ValueError for a frame that features are not defined on."""
    if timeframe not in BASE_MS:
        raise ValueError(f"features need a base timeframe of {', '.join(BASE_MS)}, not {timeframe!r}")
    return BASE_MS[timeframe]


def stretches(timestamp: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Row ranges (start, stop) without a gap longer than MAX_GAP_MS inside."""
    if timestamp.size == 0:
        return
    cuts = np.flatnonzero(np.diff(timestamp) > MAX_GAP_MS) + 1
    edges = [0, *cuts.tolist(), int(timestamp.size)]
    yield from pairwise(edges)


def regularise(frame: CandleFrame, step_ms: int) -> tuple[Bars, NDArray[np.int64]]:
    """The frame on its gapless grid, and where each of its rows went."""
    first = int(frame.timestamp[0])
    place = (frame.timestamp - first) // step_ms
    size = int(place[-1]) + 1
    if size == len(frame):
        o, h, low, c, v = (np.ascontiguousarray(column, dtype=np.float64) for column in frame[3:])
        return Bars(step_ms, frame.timestamp, o, h, low, c, v), place
    newest = np.zeros(size, dtype=np.int64)
    newest[place] = np.arange(len(frame))
    newest = np.maximum.accumulate(newest)
    is_stored = np.zeros(size, dtype=bool)
    is_stored[place] = True
    close = frame.close[newest]
    o, h, low = (np.where(is_stored, column[newest], close) for column in (frame.open, frame.high, frame.low))
    volume = np.where(is_stored, frame.volume[newest], 0.0)
    timestamp = first + step_ms * np.arange(size, dtype=np.int64)
    return Bars(step_ms, timestamp, o, h, low, close, volume), place


def aggregate(base: Bars, step_ms: int) -> Bars:
    """Bars of a higher frame, those whose every base bar lies in `base`. May be empty."""
    ratio = step_ms // base.step_ms
    skip = int(-(base.timestamp[0] // base.step_ms) % ratio)
    count = max(0, (base.size - skip) // ratio)
    stop = skip + count * ratio

    def blocks(column: Array) -> Array:
        return column[skip:stop].reshape(count, ratio)

    return Bars(
        step_ms,
        base.timestamp[skip:stop:ratio],
        np.ascontiguousarray(base.open[skip:stop:ratio]),
        blocks(base.high).max(axis=1, initial=-np.inf),
        blocks(base.low).min(axis=1, initial=np.inf),
        np.ascontiguousarray(base.close[skip + ratio - 1 : stop : ratio]),
        blocks(base.volume).sum(axis=1),
    )


def closed_index(base: Bars, higher: Bars) -> NDArray[np.int64]:
    """For every base bar the newest higher bar whose close is not after the base bar's close; -1 when there is none."""
    if higher.size == 0:
        return np.full(base.size, -1, dtype=np.int64)
    known_until = base.timestamp + base.step_ms - higher.step_ms  # the latest OPEN of a higher bar that has closed by then
    index = (known_until - higher.timestamp[0]) // higher.step_ms
    return np.clip(index, -1, higher.size - 1)


def spread(values: Array, index: NDArray[np.int64]) -> Array:
    """Values of a higher frame at every base bar; NaN where index is -1."""
    if values.size == 0:
        return np.full(index.shape, np.nan)
    return np.where(index >= 0, values[index], np.nan)
