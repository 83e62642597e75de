"""Playing stored history as if it were live: prices and bars on the pages, labelled as a replay, and nothing else.

Nothing is stored, no bar is told as closed to whoever trades, and nobody can be filled at these prices: to traders a price counts by its
market time, and the newest stored bar is newer. That would not hold what a page shows of an open position, so markets with one are left alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event

import numpy as np
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections

from exchanges import candles, streams
from exchanges.live import Bar, Feed, Tick, Update
from exchanges.models import Candle, Market, Position
from exchanges.ports import CandleFrame
from exchanges.streams import path, publishing
from exchanges.streams.replay import ReplayClock
from traderai.lib import clock
from traderai.lib.errors import UserError

log = structlog.get_logger(__name__)

MINUTE = "1m"
DATABASE_PAUSE_S = 2.0
BEAT_S = 0.25
FEED_EVERY_MS = 10_000
DAY_MS = 86_400_000
WINDOW_MS = 7 * DAY_MS
"""History is read by the week: years of minutes do not fit into memory."""


class CannotReplay(UserError):
    """These markets, or this time, cannot be played."""


@dataclass
class Track:
    """One market's stored bars from start_ms to end_ms; `timeframes` are those that are stored, the finest first."""

    market: Market
    start_ms: int
    end_ms: int
    timeframes: tuple[str, ...]
    _frames: dict[str, CandleFrame] = field(default_factory=dict)
    _until_ms: int = 0

    def at(self, now_ms: int) -> list[Update]:
        """What a live stream would tell at this market time; nothing in a hole of the history."""
        if now_ms >= self._until_ms or not self._frames:
            self._load(now_ms)
        bars = list(self._bars(now_ms))
        if not bars:
            return []
        close = bars[0].close
        return [Tick(self.market.pk, self.market.symbol, close, now_ms, bars[0].source, self._change_pct(now_ms, close)), *bars]

    def _bars(self, now_ms: int) -> Iterator[Bar]:
        """The bars now_ms lies in, the finest first: it moves along its own prices, the longer ones go with it."""
        finest = None
        for timeframe in self.timeframes:
            frame, length_ms = self._frames[timeframe], candles.length_ms(timeframe)
            row = int(np.searchsorted(frame.timestamp, now_ms, side="right")) - 1
            if row < 0 or now_ms >= frame.timestamp[row] + length_ms:
                continue
            open_ms = int(frame.timestamp[row])
            if finest is None:
                bar = frame.slice(row, row + 1)
                now = path.forming(bar, (now_ms - open_ms) / length_ms, float(self.market.tick_size))
                finest = (timeframe, open_ms, now)
            else:
                inner = self._frames[finest[0]]
                first, last = np.searchsorted(inner.timestamp, [open_ms, finest[1]])
                now = path.joined(inner.slice(int(first), int(last)), finest[2])
            yield Bar(self.market.pk, self.market.symbol, timeframe, open_ms, *now, closed=False, source=source_of(self.market))

    def _load(self, now_ms: int) -> None:
        self._until_ms = now_ms + WINDOW_MS
        for timeframe in self.timeframes:
            back_ms = DAY_MS if timeframe == settings.BASE_TIMEFRAME else candles.length_ms(settings.BASE_TIMEFRAME)
            self._frames[timeframe] = candles.read(
                self.market, timeframe, start_ms=now_ms - back_ms, end_ms=min(self._until_ms, self.end_ms)
            )

    def _change_pct(self, now_ms: int, close: float) -> float | None:
        base = self._frames[settings.BASE_TIMEFRAME]
        row = int(np.searchsorted(base.timestamp, now_ms - DAY_MS))
        if row >= len(base) or base.timestamp[row] > now_ms - DAY_MS + candles.length_ms(settings.BASE_TIMEFRAME):
            return None
        return round((close / float(base.open[row]) - 1.0) * 100.0, 4)


def source_of(market: Market) -> str:
    """replay or simulated: never venue, whatever the history came from."""
    return streams.SIMULATED if market.is_simulated else streams.REPLAY


def tracks(markets: Sequence[Market], *, start_ms: int, until_ms: int | None = None) -> list[Track]:
    """The stored history of these markets from start_ms on. Raises CannotReplay."""
    held = _with_positions(markets)
    if held:
        raise CannotReplay(
            f"symbols: {', '.join(sorted(held))} {'has' if len(held) == 1 else 'have'} an open position, whose value a replay would show "
            f"wrong; close it first or name other markets with --symbols",
            field="symbols",
        )
    end_ms = min(until_ms or clock.now_ms(), clock.now_ms())
    if start_ms >= end_ms:
        raise CannotReplay("since: lies at or after the end of what is to be played; choose an earlier date", field="since")
    found = []
    for market in markets:
        stored = [name for name in (MINUTE, settings.BASE_TIMEFRAME) if Candle.objects.filter(market=market, timeframe=name).exists()]
        first = candles.read(market, settings.BASE_TIMEFRAME, start_ms=start_ms, end_ms=end_ms)
        if settings.BASE_TIMEFRAME in stored and len(first):
            begin_ms, last_ms = int(first.timestamp[0]), int(first.timestamp[-1]) + candles.length_ms(settings.BASE_TIMEFRAME)
            found.append(Track(market, begin_ms, min(last_ms, end_ms), tuple(stored)))
    if not found:
        raise CannotReplay(
            f"since: none of {len(markets)} markets has stored {settings.BASE_TIMEFRAME} bars in that time; choose another or backfill it",
            field="since",
        )
    return found


def play(
    playing: Sequence[Track],
    *,
    speed: float,
    stop: Event,
    say: Callable[[str], None] = lambda text: None,
    beat_s: float = BEAT_S,
    wall_ms: Callable[[], int] = clock.now_ms,
) -> int:
    """Play until the history ends or `stop` is set. Returns the market time reached. Whatever was told is forgotten in the end."""
    begin_ms, end_ms = min(track.start_ms for track in playing), max(track.end_ms for track in playing)
    clock_, active = ReplayClock(begin_ms, wall_ms(), speed), list(playing)
    told_ms, now_ms = wall_ms() - FEED_EVERY_MS, begin_ms
    try:
        while active and (now_ms := clock_.at(wall_ms())) < end_ms:
            is_feed_due = wall_ms() - told_ms >= FEED_EVERY_MS
            try:
                updates = [update for track in active if track.start_ms <= now_ms < track.end_ms for update in track.at(now_ms)]
                active = _unheld(active, say) if is_feed_due else active
            except DatabaseError as error:
                log.warning("history not read; trying again", error=str(error))
                close_old_connections()
                if stop.wait(DATABASE_PAUSE_S):
                    break
                continue
            if is_feed_due:
                told_ms = wall_ms()
                updates += [Feed(track.market.pk, track.market.symbol, "live", now_ms, source_of(track.market)) for track in active]
            publishing.publish(updates)
            if stop.wait(beat_s):
                break
    finally:
        publishing.forget([track.market.pk for track in playing])
    return min(now_ms, end_ms)


def _unheld(active: Sequence[Track], say: Callable[[str], None]) -> list[Track]:
    """Without the markets in which somebody has opened a position meanwhile."""
    held = _with_positions([track.market for track in active])
    if held:
        publishing.forget([track.market.pk for track in active if track.market.symbol in held])
        say(f"A position was opened in {', '.join(sorted(held))}: not played any further")
    return [track for track in active if track.market.symbol not in held]


def _with_positions(markets: Sequence[Market]) -> set[str]:
    ids = [market.pk for market in markets]
    return set(Position.objects.open().filter(market_id__in=ids).values_list("market__symbol", flat=True))
