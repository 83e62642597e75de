"""Live markets of one venue in one process: its sockets kept up, what they tell published, what has closed stored."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from math import isfinite
from time import monotonic
from typing import Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from exchanges import funding
from exchanges.live import Bar, Book, Feed, FeedHealth, Tick, Update
from exchanges.models import Candle, Market, Provenance, Venue
from exchanges.ports import BarUpdate, BookUpdate, Channel, LiveUpdate, LiveVenue, MarketDataVenue, Quote, VenueError, VenueRefused
from exchanges.streams import VENUE, health, publishing, repair
from exchanges.streams.closing import Closer
from exchanges.streams.lines import Line
from exchanges.streams.shards import Claim
from traderai.lib import clock, threads

log = structlog.get_logger(__name__)

MINUTE = "1m"
BEAT_S = 0.25
FEED_EVERY_S = 10.0
CHOOSE_EVERY_S = 60.0
CLOCK_EVERY_S = 60.0
RATES_AFTER_MS = 90_000
"""Venues publish an hour's funding rate some seconds after it; the bar that waits for it closes a quarter of an hour later."""
BOOK_IS_FRESH_MS = 10_000
END_WITHIN_S = 2.0
FAILED_PAUSE_S = 5.0


class Streams:
    """One process's part of a venue. `say` is told what a person who watches the process should know."""

    def __init__(
        self,
        venue: Venue,
        live: LiveVenue,
        rest: MarketDataVenue,
        *,
        claim: Claim,
        symbols: Sequence[str] = (),
        say: Callable[[str], None],
        silent_s: float = health.SILENT_S,
    ) -> None:
        self.venue, self.live, self.rest, self.claim = venue, live, rest, claim
        self._symbols, self._say, self._silent_s = frozenset(symbols), say, silent_s
        minutes = settings.STREAM_STORE_1M and "bars" in live.channels
        self.closer = Closer(rest, (settings.BASE_TIMEFRAME, MINUTE) if minutes else (settings.BASE_TIMEFRAME,), self._closed)
        self._lines: dict[Line, asyncio.Task[None]] = {}
        self._pending: dict[tuple[object, ...], Update] = {}
        self._quotes: dict[str, Quote] = {}
        self._books: dict[str, BookUpdate] = {}
        self._moved_s: dict[str, float] = {}
        self._heard_s: dict[str, float] = {}
        self._heard_ms: dict[str, int] = {}
        self._states: dict[str, FeedHealth] = {}
        self._told_feeds_s = 0.0
        self._behind_ms = 0
        self._rates_hour = clock.now_ms() // funding.HOUR_MS
        self._note = ""

    def now_ms(self) -> int:
        """The venue's clock or ours, whichever is behind, as of the last comparison."""
        return clock.now_ms() + self._behind_ms

    async def run(self, stop: asyncio.Event) -> None:
        """Stream until `stop` is set. Raises shards.Claimed when another process has taken the claim."""
        works: list[Coroutine[Any, Any, Any]] = [
            self._repeat(self._choose, CHOOSE_EVERY_S),
            self._repeat(self._compare_clocks, CLOCK_EVERY_S),
            self._repeat(self._publish, BEAT_S),
            self._repeat(self._close, BEAT_S),
            self._repeat(self._fetch_rates, CLOCK_EVERY_S),
            self.claim.keep(),
            stop.wait(),
        ]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await self._end(tasks)

    async def _repeat(self, step: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            pause_s = every_s
            try:
                await step()
            except Exception:  # one step's failure costs that step; the sockets and the bars go on
                log.exception("a step failed; it comes again", step=step.__name__)
                pause_s = max(every_s, FAILED_PAUSE_S)
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError  # a client on the way took it for its own time-out
            await asyncio.sleep(pause_s)

    async def _end(self, tasks: "Sequence[asyncio.Task[Any]]") -> None:
        for task in (*tasks, *self._lines.values()):
            task.cancel()
        ending = [*tasks, *self._lines.values(), asyncio.create_task(self.closer.close())]
        await asyncio.wait(ending, timeout=END_WITHIN_S)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.exception()  # told by run already
        feeds = [self._feed(market, "down") for market in self.closer.markets.values()]
        try:
            await asyncio.wait_for(publishing.apublish(feeds), END_WITHIN_S / 4)
        except TimeoutError:
            log.warning("the end of the streams was not published in time")

    # --- which markets

    async def _choose(self) -> None:
        """Stream what is there now: a market that was backfilled meanwhile joins, one that was switched off leaves."""
        try:
            chosen, base_missing = await threads.run(choose, self.venue, self._symbols)
        except DatabaseError as error:
            log.warning("markets not read; trying again", error=str(error))
            return
        wanted = {market.symbol: market for market in chosen if self.claim.shard.holds(market.symbol)}
        self._note_choice(len(chosen), wanted, base_missing)
        gone = self.closer.markets.keys() - wanted.keys()
        self.closer.remove(gone)
        for line in [line for line in self._lines if not set(line.symbols) & wanted.keys()]:
            self._lines.pop(line).cancel()
        added = sorted(wanted.keys() - self.closer.markets.keys())
        if added:
            await self.closer.add([wanted[symbol] for symbol in added], self.now_ms())
            for start in range(0, len(added), self.live.most_symbols):
                for channel in self.live.channels:
                    self._connect(channel, added[start : start + self.live.most_symbols])

    def _connect(self, channel: Channel, symbols: Sequence[str]) -> None:
        line = Line(self.live, channel, symbols, self._deliver, on_break=self._on_break, moves=self._moves, silent_s=self._silent_s)
        self._lines[line] = asyncio.ensure_future(line.keep())

    def _note_choice(self, of: int, wanted: dict[str, Market], base_missing: Sequence[str]) -> None:
        slug = self.venue.slug
        if wanted:
            note = f"LIVE prices of {len(wanted)} markets of {slug}"
            note += f" (part {self.claim.shard} of {of})" if self.claim.shard.count > 1 else ""
        elif of:
            note = f"None of the {of} markets of {slug} is in part {self.claim.shard} yet; looking again every minute."
        else:
            note = f"No market of {slug} has history from its public API: run `manage.py backfill --symbols ... --since ...`; looking again every minute."
        if base_missing:
            note += f"; without {settings.BASE_TIMEFRAME} history from its public API, so not streamed: {', '.join(base_missing)}"
        if note != self._note:
            self._note = note
            self._say(note)

    # --- what is heard

    def _deliver(self, update: LiveUpdate) -> None:
        market = self.closer.markets.get(update.symbol)
        if market is None:
            return
        if isinstance(update, BookUpdate):
            self._books[update.symbol] = update
            self._put(Book(market.pk, *update, source=VENUE))
            return
        self._heard_s[update.symbol], self._heard_ms[update.symbol] = monotonic(), self.now_ms()
        if isinstance(update, Quote):
            self._quote(market, update)
        elif self.closer.hear(update):
            self._put(Bar(market.pk, *update[:-1], closed=False, source=VENUE))

    def _quote(self, market: Market, quote: Quote) -> None:
        """Keep the newest price; what a source leaves out stays as another told it."""
        if not (isfinite(quote.price) and quote.price > 0.0):
            return
        known = self._quotes.get(quote.symbol)
        if known is not None:
            if quote.ts_ms < known.ts_ms:
                return
            if quote.price != known.price:
                self._moved_s[quote.symbol] = monotonic()
            told = {name: value for name, value in quote._asdict().items() if value is not None}
            quote = known._replace(**told)
        self._quotes[quote.symbol] = quote
        bid, ask = quote.bid, quote.ask
        book = self._books.get(quote.symbol)
        if book and book.bids and book.asks and (bid is None or ask is None) and quote.ts_ms - book.ts_ms <= BOOK_IS_FRESH_MS:
            bid, ask = book.bids[0][0], book.asks[0][0]
        self._put(Tick(market.pk, quote.symbol, quote.price, quote.ts_ms, VENUE, quote.change_pct, bid, ask))

    def _closed(self, market: Market, bar: BarUpdate) -> None:
        """A stored bar is published as closed, unless its successor is already on its way out."""
        update = Bar(market.pk, *bar[:-1], closed=True, source=VENUE)
        pending = self._pending.get(update.key)
        if not isinstance(pending, Bar) or pending.timestamp <= update.timestamp:
            self._put(update)

    def _put(self, update: Update) -> None:
        self._pending[update.key] = update

    def _on_break(self, line: Line, reason: str) -> None:
        if line.channel == "bars":
            self.closer.broken(line.symbols)
        if not any(other.pulse.is_open for other in self._lines):
            self._say(f"{reason}; prices stay as they are until the connection is back")

    async def _moves(self, line: Line) -> bool:
        """Whether the line misses something: another stream or REST knows a price that this one should have told, or nothing can be reached."""
        if any(self._moved_s.get(symbol, 0.0) > line.pulse.last_s for symbol in line.symbols):
            return True
        known = {symbol: self._quotes[symbol].price for symbol in line.symbols if symbol in self._quotes}
        try:
            return not known or await threads.run(repair.prices_moved, self.rest, known)
        except VenueError:
            return True

    # --- what is told and stored

    async def _publish(self) -> None:
        now_s = monotonic()
        repeat = now_s - self._told_feeds_s >= FEED_EVERY_S
        if repeat:
            self._told_feeds_s = now_s
        for market in self.closer.markets.values():
            state = self._state(market.symbol, now_s)
            if repeat or state != self._states.get(market.symbol):
                self._states[market.symbol] = state
                self._put(self._feed(market, state))
        pending, self._pending = self._pending, {}
        await publishing.apublish(list(pending.values()))

    def _state(self, symbol: str, now_s: float) -> FeedHealth:
        is_open = any(line.pulse.is_open for line in self._lines if line.channel != "book" and symbol in line.symbols)
        return health.state(is_open=is_open, heard_s=self._heard_s.get(symbol, 0.0), now_s=now_s)

    def _feed(self, market: Market, state: FeedHealth) -> Feed:
        return Feed(market.pk, market.symbol, state, self._heard_ms.get(market.symbol, 0), VENUE)

    async def _close(self) -> None:
        self.closer.beat(self.now_ms())

    async def _compare_clocks(self) -> None:
        """Bars end by the venue's clock. One of ours that is wrong is told where it is compared."""
        try:
            self._behind_ms = min(0, await threads.run(self.rest.now_ms) - clock.now_ms())
        except VenueError as error:
            log.warning("the venue's clock is not known", reason=str(error))
            if isinstance(error, VenueRefused):
                self._say(str(error))

    async def _fetch_rates(self) -> None:
        """Funding rates of the hour that has begun, before its first bar closes."""
        hour, into_ms = divmod(self.now_ms(), funding.HOUR_MS)
        if hour == self._rates_hour or into_ms < RATES_AFTER_MS:
            return
        self._rates_hour = hour
        for market in list(self.closer.markets.values()):
            await threads.run(repair.rates, market, self.rest, hour * funding.HOUR_MS, hour * funding.HOUR_MS)


def choose(venue: Venue, symbols: frozenset[str] = frozenset()) -> tuple[list[Market], list[str]]:
    """Active markets whose history came from the venue, by symbol; and the symbols that were wanted and have no base frame to continue."""
    found = Market.objects.with_candles().filter(venue=venue, provenance=Provenance.VENUE).select_related("venue").order_by("symbol")
    if symbols:
        found = found.filter(symbol__in=symbols)
    based = [market for market in found if Candle.objects.filter(market=market, timeframe=settings.BASE_TIMEFRAME).exists()]
    asked_for = symbols | {market.symbol for market in found}
    return based, sorted(asked_for - {market.symbol for market in based})
