"""Sockets of any venue ccxt.pro speaks to. ccxt.pro connects, subscribes and keeps order books whole; what it hears is tapped where it
hands it on, because waiting for it symbol by symbol costs a future per symbol and message, and drops what comes in between.

Whatever REST is needed (instruments, a book's snapshot) is asked through the venue's CcxtVenue, so that it is counted in the one budget.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import ccxt
import ccxt.pro
import structlog

from exchanges.ports import BookUpdate, Channel, LiveUpdate, Quote, VenueError, VenueRefused, VenueUnavailable
from exchanges.venues.ccxt_client import PARSER_ERRORS, REASONS, RECHECK_S, Clients, point
from exchanges.venues.ccxt_venue import CcxtVenue
from exchanges.venues.live_frames import READERS, Reader, bar_of
from exchanges.venues.specs import Client
from traderai.lib import threads

log = structlog.get_logger(__name__)

Deliver = Callable[[LiveUpdate], None]
TIMEFRAMES = ("1m", "15m")
DEPTH = 20
BOOK_EVERY_S = 0.25
"""Books change hundreds of times a second; nobody looks more often."""
CLOSE_WITHIN_S = 1.0
KEEP_ALIVE_MS = 10_000
BOOK_LEVELS = {"binance": 100, "okx": 400, "bybit": 50, "bitget": 15}
"""What is subscribed to: enough levels that twenty are left after prices have moved, in the sizes each venue offers."""
OUT_OF_STEP = ((ccxt.InvalidNonce, "left changes out"),)
MOST_SYMBOLS = {"bitget": 25}
"""Bitget advises at most 50 channels a connection."""


class CcxtLive:
    """exchanges.ports.LiveVenue. Messages of what it raises carry no URL."""

    channels: tuple[Channel, ...] = ("quotes", "bars", "book")

    def __init__(self, venue: CcxtVenue, *, base_url: str = "") -> None:
        self.venue = venue
        self.slug = venue.spec.slug
        self.most_symbols = MOST_SYMBOLS.get(self.slug, 50)
        self._base_url = base_url

    async def watch(self, channel: Channel, symbols: Sequence[str], deliver: Deliver) -> None:
        kinds = {kind: [symbol for symbol in symbols if (":" in symbol) == (kind == "perpetual")] for kind in ("perpetual", "spot")}
        await _until_one_fails([self._watch(channel, kind, wanted, deliver) for kind, wanted in kinds.items() if wanted])

    async def _watch(self, channel: Channel, kind: str, symbols: Sequence[str], deliver: Deliver) -> None:
        clients = self.venue.clients(kind)
        listing = await threads.run(clients.listed, fresh_s=RECHECK_S)
        listed = [symbol for symbol in symbols if listing.get(symbol, {}).get("active") is not False and symbol in listing]
        if len(listed) < len(symbols):
            log.warning("not listed or halted, so not streamed", venue=self.slug, symbols=sorted(set(symbols) - set(listed)))
        if not listed:
            raise VenueRefused(f"{self.slug} does not trade {', '.join(symbols)}")
        tap = _tap(getattr(self.venue.spec, kind), clients, kind, self._base_url)
        await threads.run(clients.ask, tap.set_markets_from_exchange, "its instruments")
        tap.begin({listing[symbol]["id"]: symbol for symbol in listed}, deliver, READERS.get(self.slug))
        try:
            await _until_one_fails([tap.tell_books(), *_subscriptions(tap, channel, listed, BOOK_LEVELS[self.slug])])
        except ccxt.BaseError as error:
            raise self._translate(error, tap, channel) from error
        except PARSER_ERRORS as error:
            log.warning("unreadable message", venue=self.slug, channel=channel, error=repr(error))
            raise VenueUnavailable(f"{self.slug} sent something unreadable on its {channel} stream") from error
        finally:
            await _close(tap)

    def _translate(self, error: ccxt.BaseError, tap: Any, channel: str) -> VenueError:
        reason = next((text for kind, text in (*OUT_OF_STEP, *REASONS) if isinstance(error, kind)), "refuses us")
        message = f"{self.slug} {reason} on its {channel} stream"
        if not isinstance(error, ccxt.OperationFailed):
            return VenueRefused(message)
        failure = VenueUnavailable(message)
        failure.retry_after_s = tap.retry_after_s
        return failure


class Tap:
    """Mixed into a ccxt.pro class: hands on what is heard, at once, as updates of exchanges.ports."""

    rest: Clients
    kind: str
    clients: dict[str, Any] | None
    retry_after_s: float | None = None

    def begin(self, names: dict[str, str], deliver: Deliver, read: Reader | None) -> None:
        self._names, self._deliver, self._read = names, deliver, read
        self._wanted = frozenset(names.values())
        self._books: dict[str, Any] = {}

    def client(self, url: str) -> Any:
        """A socket's client whose results come here instead of to futures. These stay pending until the connection fails."""
        known = url in (self.clients or {})
        client = super().client(url)  # type: ignore[misc]
        if not known:
            client.resolve = self.heard
            client.handle_message = partial(self._receive, client, client.handle_message)
        return client

    def handle_message(self, client: Any, message: Any) -> None:
        updates = None if self._read is None else self._read(message, self._names)
        if updates is None:
            super().handle_message(client, message)  # type: ignore[misc]
            return
        for update in updates:
            self._deliver(update)

    def heard(self, result: Any, message_hash: str) -> Any:
        """What ccxt has parsed: a ticker, tickers by symbol, an order book, or bars with the newest last."""
        if isinstance(result, dict) and "bids" in result and "asks" in result:
            symbol = result.get("symbol") or message_hash.rpartition("::")[2]
            if symbol in self._wanted:
                self._books[symbol] = result
        elif isinstance(result, dict):
            for ticker in [result] if "last" in result else result.values():
                self._tell_ticker(ticker)
        elif isinstance(result, list):
            self._tell_bars(result, message_hash)
        return result

    async def tell_books(self) -> None:
        """Hand on the books that changed, a few times a second."""
        while True:
            await asyncio.sleep(BOOK_EVERY_S)
            changed, self._books = self._books, {}
            for symbol, book in changed.items():
                coins = float(self.market(symbol)["contractSize"] or 1.0)  # type: ignore[attr-defined]
                levels = [tuple((float(row[0]), float(row[1]) * coins) for row in book[side][:DEPTH]) for side in ("bids", "asks")]
                self._deliver(BookUpdate(symbol, int(book["timestamp"] or 0), levels[0], levels[1]))

    async def fetch_rest_order_book_safe(self, symbol: str, limit: int | None = None, params: dict[str, Any] | None = None) -> Any:
        return await threads.run(self.rest.ask, lambda client: client.fetch_order_book(symbol, limit), f"the order book of {symbol}")

    def is_spot_url(self, client: Any) -> bool:
        """ccxt goes by the host's name, which a gateway's is not."""
        return self.kind == "spot"

    def on_error(self, client: Any, error: Any) -> None:
        self.retry_after_s = client.last_retry_after
        super().on_error(client, error)  # type: ignore[misc]

    def _receive(self, client: Any, handle: Callable[[Any], None], message: Any) -> None:
        """A message nobody can read ends the connection. ccxt would go on with a socket that it has stopped reading."""
        try:
            handle(message)
        except (ccxt.BaseError, *PARSER_ERRORS) as error:
            log.warning("unreadable message", venue=self.rest.venue, error=repr(error))
            client.on_error(ccxt.BadResponse("not readable"))

    def _tell_ticker(self, ticker: dict[str, Any]) -> None:
        if ticker["symbol"] in self._wanted and ticker["last"]:
            told = (float(ticker[name]) if ticker[name] is not None else None for name in ("percentage", "bid", "ask"))
            self._deliver(Quote(ticker["symbol"], float(ticker["last"]), int(ticker["timestamp"] or 0), *told))

    def _tell_bars(self, result: list[Any], message_hash: str) -> None:
        """[symbol, timeframe, bars], or bars alone under a hash that ends with timeframe:symbol. The last two: one may just have ended."""
        if len(result) == 3 and isinstance(result[0], str):
            symbol, timeframe, rows = result
        else:
            timeframe, symbol = message_hash.split(":", 2)[1:]
            rows = result
        if symbol in self._wanted:
            for row in rows[-2:]:
                self._deliver(bar_of(symbol, timeframe, row[0], row[1:6], final=False))


def _tap(described: Client, rest: Clients, kind: str, base_url: str) -> Any:
    base = getattr(ccxt.pro, described.exchange)
    made = type(f"Tapped{base.__name__}", (Tap, base), {"rest": rest, "kind": kind})(
        {"options": dict(described.options), "enableRateLimit": False, "streaming": {"keepAlive": KEEP_ALIVE_MS}}
    )
    return point(made, base_url) if base_url else made


def _subscriptions(tap: Any, channel: Channel, symbols: Sequence[str], levels: int) -> list[Any]:
    """Coroutines that subscribe and then wait for the connection's end: one for all symbols where ccxt.pro has that, else one for each."""
    if channel == "quotes":
        return [tap.watch_tickers(list(symbols))]
    if channel == "book":
        return [tap.watch_order_book_for_symbols(list(symbols), levels)]
    if tap.has.get("watchOHLCVForSymbols"):
        return [tap.watch_ohlcv_for_symbols([[symbol, timeframe] for symbol in symbols for timeframe in TIMEFRAMES])]
    return [tap.watch_ohlcv(symbol, timeframe) for symbol in symbols for timeframe in TIMEFRAMES]


async def _until_one_fails(waits: Sequence[Any]) -> None:
    """Run all until one ends, which only a failure does; the others end with it."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise VenueUnavailable("a stream ended without a reason")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(tap: Any) -> None:
    """A peer that is gone does not answer a farewell: after a moment the sockets are cut."""
    try:
        await asyncio.wait_for(tap.close(), CLOSE_WITHIN_S)
    except (TimeoutError, ccxt.BaseError):
        for client in cast("dict[str, Any]", tap.clients).values():
            if client.ping_looper:
                client.ping_looper.cancel()
        if tap.session is not None:
            await tap.session.close()
