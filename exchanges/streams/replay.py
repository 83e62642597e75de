"""Playing a feed as the live market: prices along each bar, then the closed bar, on a clock that runs faster than ours until it has caught up."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import NamedTuple

import numpy as np
import structlog
from django.db import Error as DatabaseError
from django.db import close_old_connections

from exchanges import candles, streams
from exchanges.live import Bar, Feed, Tick, Update
from exchanges.models import Market
from exchanges.ports import CandleFrame
from exchanges.streams import path, publishing
from traderai.lib import clock
from traderai.lib.errors import UserError

log = structlog.get_logger(__name__)

TICKS_PER_SECOND = 2.0
DATABASE_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """Market time by wall time: `speed` times as fast until it reaches the wall clock, with it from then on."""

    market_ms: int
    wall_ms: int
    speed: float

    def __post_init__(self) -> None:
        if not 0.1 <= self.speed <= 100_000:
            raise UserError(f"speed: {self.speed:g} is not between 0.1 and 100,000; 60 plays a 15m bar in 15 seconds", field="speed")

    def at(self, wall_ms: int) -> int:
        """Market time now; a feed that begins in the future waits for it."""
        return min(int(self.market_ms + (wall_ms - self.wall_ms) * self.speed), wall_ms)


class Track(NamedTuple):
    """One market and its bars to play."""

    market: Market
    frame: CandleFrame


def tracks(frames: Sequence[CandleFrame], *, venue: str | None = None) -> list[Track]:
    """What is left to play: bars newer than each market's newest stored one. Raises UnknownSymbol, NoHistory."""
    left = []
    for frame in frames:
        market = candles.find_market(frame.symbol, venue=venue)
        newest = candles.last_open_ms(market, frame.timeframe)
        if newest is None:
            raise streams.NoHistory(
                f"symbol: {market.symbol} has no {frame.timeframe} history to continue; import it first", field="symbol"
            )
        start = int(np.searchsorted(frame.timestamp, newest, side="right"))
        if start < len(frame):
            left.append(Track(market, frame.slice(start, len(frame))))
    return left


def play(
    playing: Sequence[Track],
    *,
    speed: float,
    stop: Event,
    ticks_per_second: float = TICKS_PER_SECOND,
    on_bar: Callable[[int], None] | None = None,
    wall_ms: Callable[[], int] = clock.now_ms,
) -> int:
    """Play until the feed ends or `stop` is set; returns the number of moments (bars of all markets) closed. on_bar hears each moment's close time."""
    moments = list(_moments(playing))
    if not moments:
        return 0
    clock_ = ReplayClock(moments[0][0], wall_ms(), speed)
    length_ms = candles.length_ms(playing[0].frame.timeframe)
    played = 0
    for open_ms, bars in moments:
        while (now_ms := clock_.at(wall_ms())) < open_ms + length_ms:
            if now_ms >= open_ms:
                _publish(bars, (now_ms - open_ms) / length_ms, now_ms)
            if stop.wait(1.0 / ticks_per_second):
                return played
        if not _stored(bars, stop):
            return played
        _publish(bars, 1.0, open_ms + length_ms)
        played += 1
        if on_bar:
            on_bar(open_ms + length_ms)
        if stop.is_set():
            return played
    return played


def _stored(bars: Sequence[tuple[Market, CandleFrame]], stop: Event) -> bool:
    """Store what has closed; a database that is away or busy holds the feed up. False when `stop` was set before it came back."""
    while True:
        try:
            streams.close_bars(bars)
        except DatabaseError as error:
            log.warning("bars not stored; trying again", error=str(error))
            close_old_connections()
            if stop.wait(DATABASE_PAUSE_S):
                return False
        else:
            return True


def _moments(playing: Sequence[Track]) -> Iterator[tuple[int, list[tuple[Market, CandleFrame]]]]:
    """Bars by their common open, oldest first: (open_ms, [(market, frame of one bar)])."""
    if not playing:
        return
    position = [0] * len(playing)
    for open_ms in np.unique(np.concatenate([track.frame.timestamp for track in playing])).tolist():
        bars = []
        for i, (market, frame) in enumerate(playing):
            at = position[i]
            if at < len(frame) and frame.timestamp[at] == open_ms:
                bars.append((market, frame.slice(at, at + 1)))
                position[i] += 1
        yield open_ms, bars


def _publish(bars: Sequence[tuple[Market, CandleFrame]], share: float, ts_ms: int) -> None:
    publishing.publish([update for market, bar in bars for update in _along(market, bar, share, ts_ms)])


def _along(market: Market, bar: CandleFrame, share: float, ts_ms: int) -> list[Update]:
    """The market at a share of the bar's time: its price, the bar so far, and that its stream is live."""
    now, source = path.forming(bar, share, float(market.tick_size)), streams.source_of(market)
    forming = Bar(market.pk, market.symbol, bar.timeframe, int(bar.timestamp[0]), *now, closed=share >= 1.0, source=source)
    return [Tick(market.pk, market.symbol, now.close, ts_ms, source), forming, Feed(market.pk, market.symbol, "live", ts_ms, source)]
