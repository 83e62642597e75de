"""One instrument's trading as its venue has it: bars of any timeframe, the open one, the last price and the last day, at any instant."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from exchanges.ports import CandleFrame
from exchanges.timeframes import aggregate, derives, parse
from tests.venue import path

DAY_MS = 86_400_000
Bar = tuple[float, ...]
Bars = list[Bar]


class Day(NamedTuple):
    """The last 24 hours of an instrument: `last` is its price, `first_ms` the open of the oldest bar, `turnover` in quote currency."""

    first_ms: int
    open: float
    high: float
    low: float
    last: float
    volume: float
    turnover: float


UNTRADED = Day(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""What venues tell of an instrument nobody traded in a day."""


class Tape:
    """The frames of an instrument, not empty. The finest of them says what is traded; in a market that `walks` the price goes through
    each of its bars (path.py), else the open bar is there as a whole from the start.
    """

    def __init__(self, frames: Iterable[CandleFrame], tick: float, *, walks: bool) -> None:
        self.frames = {frame.timeframe: frame for frame in frames}
        self.base = min(self.frames.values(), key=lambda frame: parse(frame.timeframe))
        self.tick, self.walks = tick, walks
        self._length_ms = parse(self.base.timeframe)
        self._made: dict[str, CandleFrame] = {}
        self._day: tuple[tuple[int, int], Day] | None = None

    def bars(self, timeframe: str, start_ms: int, end_ms: int, limit: int, now_ms: int, *, newest: bool) -> Bars:
        """(timestamp, open, high, low, close, volume) whose open is in start_ms..end_ms, oldest first, the open bar included. Of more
        than `limit` the oldest ones, or the `newest`."""
        opened_ms = now_ms // parse(timeframe) * parse(timeframe)
        forming = self.forming(timeframe, now_ms) if start_ms <= opened_ms <= end_ms else None
        frame = self._frame(timeframe, start_ms, end_ms)
        if frame is None:
            return [] if forming is None else [forming]
        first, stop = np.searchsorted(frame.timestamp, (start_ms, min(end_ms + 1, opened_ms))).tolist()
        room = limit if forming is None or (not newest and stop - first >= limit) else limit - 1
        first, stop = (max(first, stop - room), stop) if newest else (first, min(stop, first + room))
        rows: Bars = list(zip(*(column[first:stop].tolist() for column in frame[2:]), strict=True))
        return rows if forming is None or room == limit else [*rows, forming]

    def forming(self, timeframe: str, now_ms: int) -> Bar | None:
        """The open bar as it stands; None where nothing has been traded in it."""
        length_ms = parse(timeframe)
        opened_ms = now_ms // length_ms * length_ms
        if timeframe in self.frames and not self.walks:
            return _row(self.frames[timeframe], opened_ms)
        if length_ms < self._length_ms and not (self.walks and self._length_ms % length_ms == 0):
            return None
        begun_ms = now_ms // self._length_ms * self._length_ms
        first, stop = np.searchsorted(self.base.timestamp, (opened_ms, begun_ms)).tolist()
        rows = [tuple(column[i].item() for column in self.base[3:]) for i in range(first, stop)]
        newest = _row(self.base, begun_ms)
        if newest is not None:
            rows.append(self._seen(newest, max(opened_ms, begun_ms), now_ms))
        if not rows:
            return None
        opens, highs, lows, closes, volumes = zip(*rows, strict=True)
        return (opened_ms, opens[0], max(highs), min(lows), closes[-1], sum(volumes))

    def price(self, now_ms: int) -> float | None:
        """The last traded price; None before anybody traded."""
        newest = int(np.searchsorted(self.base.timestamp, now_ms, side="right")) - 1
        if newest < 0:
            return None
        begun_ms = self.base.timestamp[newest].item()
        if not self.walks or begun_ms + self._length_ms <= now_ms:
            return float(self.base.close[newest])
        bar = tuple(column[newest].item() for column in self.base[3:7])
        return path.price_at(bar, (now_ms - begun_ms) / self._length_ms, self.tick)

    def day(self, now_ms: int) -> Day | None:
        """Of the bars that opened in the last 24 hours; None where there are none."""
        begun_ms = now_ms // self._length_ms * self._length_ms
        first, stop = np.searchsorted(self.base.timestamp, (now_ms - DAY_MS + 1, begun_ms)).tolist()
        if first < stop and (self._day is None or self._day[0] != (first, stop)):
            self._day = ((first, stop), _summed(self.base.slice(first, stop)))
        closed = self._day[1] if first < stop and self._day is not None else None
        forming = self.forming(self.base.timeframe, now_ms)
        if forming is None:
            return closed
        at_ms, opened, high, low, close, volume = forming
        if closed is None:
            return Day(int(at_ms), opened, high, low, close, volume, close * volume)
        high, low = max(closed.high, high), min(closed.low, low)
        return Day(closed.first_ms, closed.open, high, low, close, closed.volume + volume, closed.turnover + close * volume)

    def _frame(self, timeframe: str, start_ms: int, end_ms: int) -> CandleFrame | None:
        """Bars that cover start_ms..end_ms as far as there are any."""
        if timeframe in self.frames:
            return self.frames[timeframe]
        if derives(self.base.timeframe, timeframe):
            if timeframe not in self._made:
                self._made[timeframe] = aggregate(self.base, timeframe)
            return self._made[timeframe]
        if not self.walks or self._length_ms % parse(timeframe):
            return None
        first, stop = np.searchsorted(self.base.timestamp, (start_ms - self._length_ms + 1, end_ms + 1)).tolist()
        return path.split(self.base.slice(first, stop), timeframe, self.tick)

    def _seen(self, bar: Bar, since_ms: int, until_ms: int) -> Bar:
        """(open, high, low, close, volume) of the part of a base bar between two instants."""
        if not self.walks:
            return bar[1:]
        since, until = (since_ms - bar[0]) / self._length_ms, (until_ms - bar[0]) / self._length_ms
        opened, high, low, close = bar[1:5]
        return (*path.seen((opened, high, low, close), since, until, self.tick), bar[5] * (until - since))


def traded(frame: CandleFrame, price: float, now_ms: int, forming: Bar | None) -> CandleFrame:
    """The frame up to now with a trade at this price in its open bar, which was `forming`; what was to come is dropped."""
    frame = lengthened(frame, now_ms)
    frame = frame.slice(0, int(np.searchsorted(frame.timestamp, now_ms, side="right")))
    high, low, close, volume = (column.copy() for column in frame[4:8])
    if forming is not None and forming[0] == frame.timestamp[-1]:
        high[-1], low[-1], close[-1], volume[-1] = forming[2:]
    high[-1], low[-1], close[-1], volume[-1] = max(high[-1], price), min(low[-1], price), price, volume[-1] + 1.0
    return CandleFrame(frame.symbol, frame.timeframe, frame.timestamp, frame.open, high, low, close, volume)


def lengthened(frame: CandleFrame, now_ms: int) -> CandleFrame:
    """The frame with bars at its last price until now."""
    length_ms = parse(frame.timeframe)
    missing = np.arange(frame.timestamp[-1] + length_ms, now_ms + 1, length_ms, dtype=np.int64)
    if not len(missing):
        return frame
    still = np.full(len(missing), frame.close[-1])
    columns = (missing, still, still, still, still, np.zeros(len(missing)))
    return CandleFrame(frame.symbol, frame.timeframe, *(np.concatenate(pair) for pair in zip(frame[2:], columns, strict=True)))


def _row(frame: CandleFrame, at_ms: int) -> Bar | None:
    index = int(np.searchsorted(frame.timestamp, at_ms))
    if index == len(frame) or frame.timestamp[index] != at_ms:
        return None
    return tuple(column[index].item() for column in frame[2:])


def _summed(frame: CandleFrame) -> Day:
    turnover = float((frame.close * frame.volume).sum())
    last, volume = float(frame.close[-1]), float(frame.volume.sum())
    return Day(int(frame.timestamp[0]), float(frame.open[0]), float(frame.high.max()), float(frame.low.min()), last, volume, turnover)
