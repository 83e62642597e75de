"""Indian shares on the NSE through Zerodha's own client. Only exchanges.venues.registry imports this module, on first use: it needs the
extra `zerodha`, and the library starts a Twisted reactor's module for a socket that is not used here.

Candles come adjusted for splits and bonuses. The session begins at 9:15 in India, 03:45 UTC: bars of up to 15 minutes lie on this product's
UTC grid, half hours and hours cut from 9:15 on do not, so they are not offered; whole ones are derived from quarters. A list of holidays
is not to be had here: weekday holes are known to be none only once the venue was asked about them.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from math import isfinite
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings
from kiteconnect import KiteConnect
from kiteconnect import exceptions as kite_errors

from exchanges import timeframes
from exchanges.ports import CandleFrame, FundingFrame, Levels, MarketSpec, NotConfigured, Ticker, VenueRefused, VenueUnavailable
from exchanges.venues import sessions
from exchanges.venues.line import TIMEOUT_MS, Explained, Line, twice
from exchanges.venues.venue_clock import VenueClock
from traderai.lib import clock

INDIA = ZoneInfo("Asia/Kolkata")
OPENS, CLOSES = time(9, 15), time(15, 30)
SESSION_MS = 375 * timeframes.MINUTE_MS
PAGE = 5_000
DAY_MS = 86_400_000
EARLIEST_MS = 1_420_050_600_000
"""2015 in India: no candles of minutes are older."""
DAYS = {"1m": 60, "3m": 100, "5m": 100, "15m": 200}
"""What one request may span, https://kite.trade/forum/discussion/3105."""
INTERVALS = {"1m": "minute", "3m": "3minute", "5m": "5minute", "15m": "15minute"}
QUOTES = 500
RECHECK_S = 60.0
HISTORICAL = "/instruments/historical/{token}/{interval}"


class KiteVenue:
    """exchanges.ports.MarketDataVenue of shares on the NSE, spelled RELIANCE/INR. Raises NotConfigured, VenueUnavailable or VenueRefused."""

    def __init__(self, *, base_url: str = "", timeout_ms: int = TIMEOUT_MS) -> None:
        key, token = settings.KITE_API_KEY, settings.KITE_ACCESS_TOKEN
        if not (key and token):
            raise NotConfigured(
                "zerodha is not configured: set KITE_API_KEY and KITE_ACCESS_TOKEN, which a sign-in at Kite Connect gives each day"
            )
        self._line = Line("zerodha", timeout_ms=timeout_ms, explain=_explain, unreadable=(kite_errors.DataException,), route=_route)
        self._kite = _Kite(key, token, root=base_url or None)
        self._line.attach(self._kite.reqsession)
        self._clock = VenueClock("zerodha", self.time_ms)
        self._reading = threading.Lock()
        self._instruments: Mapping[str, Mapping[str, Any]] = {}
        self._read: tuple[date | None, float] = (None, 0.0)

    def markets(self, kind: str) -> list[MarketSpec]:
        if kind != "equity":
            return []
        listed = self._list(fresh_s=RECHECK_S)
        return self._line.ask(lambda: [_market_spec(symbol, instrument) for symbol, instrument in listed.items()], "its instruments")

    def timeframes(self, symbol: str) -> tuple[str, ...]:
        self._instrument(symbol)
        return tuple(INTERVALS)

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def time_ms(self) -> int:
        """The venue's clock, to the second below: Kite tells it in the head of its replies only."""
        self._line.ask(lambda: self._kite.ltp("NSE:NIFTY 50"), "its clock")
        return clock.now_ms() if self._line.dated_ms is None else self._line.dated_ms

    def page(self, symbol: str) -> int:
        return PAGE

    def candles(self, symbol: str, timeframe: str, since_ms: int, limit: int) -> CandleFrame:
        instrument = self._instrument(symbol)
        if timeframe not in INTERVALS:
            raise VenueRefused(
                f"zerodha does not offer {timeframe} candles of {symbol}: from 9:15 in India on they are off the UTC grid; use one of {', '.join(INTERVALS)}"
            )
        limit, length_ms, now_ms = min(limit, PAGE), timeframes.parse(timeframe), self.now_ms()
        last_ms = min(since_ms + _span_ms(timeframe, limit), now_ms)
        table = np.empty((0, 6))
        if since_ms + length_ms <= now_ms:
            token = instrument["instrument_token"]
            ask = partial(self._line.ask, partial(self._bars, token, timeframe, since_ms, last_ms), f"{symbol} {timeframe} candles")
            table = twice(ask)
        table = table[(table[:, 0] >= since_ms) & (table[:, 0] + length_ms <= now_ms)][:limit]
        return CandleFrame(symbol, timeframe, table[:, 0].astype(np.int64), *(np.ascontiguousarray(table[:, i]) for i in range(1, 6)))

    def first_candle_ms(self, symbol: str, timeframe: str) -> int | None:
        """A handful of requests: windows are empty up to the first that holds a bar."""
        starts = range(EARLIEST_MS, self.now_ms(), _span_ms(timeframe, PAGE))
        first = bisect_left(starts, True, key=lambda start_ms: len(self.candles(symbol, timeframe, start_ms, PAGE)) > 0)
        found = self.candles(symbol, timeframe, starts[min(first, len(starts) - 1)], PAGE)
        return int(found.timestamp[0]) if len(found) else None

    def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        """The change is since the close of the session before."""
        listed = self._list() if symbols else {}
        quotes = self._quotes([symbol for symbol in symbols if symbol in listed])
        found = self._line.ask(lambda: {symbol: _ticker(quote) for symbol, quote in quotes.items()}, "last prices")
        return {symbol: ticker for symbol, ticker in found.items() if ticker is not None}

    def book(self, symbol: str, depth: int) -> tuple[Levels, Levels]:
        """Five levels at most."""
        self._instrument(symbol)
        quote = self._quotes([symbol]).get(symbol, {})
        bids, asks = self._line.ask(lambda: [_levels(quote, side)[:depth] for side in ("buy", "sell")], f"the order book of {symbol}")
        return bids, asks

    def funding(self, symbol: str, since_ms: int) -> Iterator[FundingFrame]:
        """Shares have none."""
        self._instrument(symbol)
        return iter(())

    def closed(self, symbol: str, first_ms: int, until_ms: int) -> tuple[sessions.Span, ...]:
        """The spans of first_ms <= t < until_ms outside the hours of Monday to Friday. Holidays are not among them, and a session on a
        holiday's evening or a Saturday, held a few times a year, lies in one: its candles are kept like any others."""
        return sessions.between(first_ms, until_ms, _weekdays(first_ms, until_ms))

    def _bars(self, token: int, timeframe: str, since_ms: int, last_ms: int) -> np.ndarray:
        """(timestamp, open, high, low, close, volume) rows in order."""
        first, last = (clock.from_ms(ms).astimezone(INDIA).replace(tzinfo=None) for ms in (since_ms, last_ms))
        rows = [(_ms(row[0]), *row[1:6]) for row in self._kite.historical_data(token, first, last, INTERVALS[timeframe])]
        table = np.array(rows, np.float64).reshape(-1, 6)
        table = table[np.argsort(table[:, 0], kind="stable")]
        return table[np.append(table[1:, 0] != table[:-1, 0], True)] if len(table) else table

    def _quotes(self, symbols: Sequence[str]) -> dict[str, Any]:
        names = {f"NSE:{symbol.partition('/')[0]}": symbol for symbol in symbols}
        asked = list(names)
        found: dict[str, Any] = {}
        for start in range(0, len(asked), QUOTES):
            found |= self._line.ask(partial(self._kite.quote, asked[start : start + QUOTES]), "last prices")
        return {names[name]: quote for name, quote in found.items() if name in names}

    def _instrument(self, symbol: str) -> Mapping[str, Any]:
        """A list that says no is read again, lest somebody waits a day for a new listing. Raises VenueRefused."""
        for listed in (self._list, partial(self._list, fresh_s=RECHECK_S)):
            if symbol in (known := listed()):
                return known[symbol]
        raise VenueRefused(
            f"zerodha does not list {symbol} on the NSE (any more): check the spelling (like RELIANCE/INR), or choose another market"
        )

    def _list(self, *, fresh_s: float | None = None) -> Mapping[str, Mapping[str, Any]]:
        """Shares on the NSE by symbol. Zerodha makes the list anew each morning; it is read once a day, or when older than fresh_s."""
        with self._reading:
            day, read_s = self._read
            today = clock.now().astimezone(INDIA).date()
            if day != today or (fresh_s is not None and monotonic() - read_s > fresh_s):
                rows = self._line.ask(lambda: self._kite.instruments(KiteConnect.EXCHANGE_NSE), "its instruments")
                if not rows:
                    raise VenueUnavailable("zerodha sent an empty list when asked for its instruments")
                self._instruments = {
                    f"{row['tradingsymbol']}/INR": row for row in rows if (row["segment"], row["instrument_type"]) == ("NSE", "EQ")
                }
                self._read = (today, monotonic())
            return self._instruments


class _Kite(KiteConnect):
    """Hands candles on as they come: parsing every date by dateutil takes longer than the request."""

    def _format_historical(self, data: dict[str, Any]) -> list[list[Any]]:
        return list(data["candles"])


def _route(path: str) -> str:
    return HISTORICAL if path.startswith("/instruments/historical/") else path


def _explain(error: Exception) -> Explained | None:
    """What Kite means by its own kinds of error; None for errors that are not its own."""
    if isinstance(error, kite_errors.TokenException):
        return "does not accept KITE_ACCESS_TOKEN, which ends every morning,", "sign in at Kite Connect for a new one, set it and restart"
    if isinstance(error, kite_errors.KiteException):
        return f"refused ({error})", ""
    return None


def _market_spec(symbol: str, instrument: Mapping[str, Any]) -> MarketSpec:
    base, _, quote = symbol.partition("/")
    lot = float(instrument["lot_size"])
    tick = float(instrument["tick_size"])
    return MarketSpec(symbol, base, quote, "equity", tick, lot, min_notional=0.0, max_leverage=1, min_qty=lot)


def _ticker(quote: Mapping[str, Any]) -> Ticker | None:
    last, before = float(quote["last_price"]), float(quote["ohlc"]["close"] or 0.0)
    if not (isfinite(last) and last > 0.0):
        return None
    bid, ask = (next((price for price, _ in _levels(quote, side)), None) for side in ("buy", "sell"))
    change_pct = (last / before - 1.0) * 100.0 if before > 0.0 else None
    traded = quote.get("last_trade_time")
    return Ticker(last, change_pct, bid, ask, clock.to_ms(traded.replace(tzinfo=INDIA)) if traded else None)


def _levels(quote: Mapping[str, Any], side: str) -> Levels:
    """Empty levels are told as zeros."""
    levels = ((float(level["price"]), float(level["quantity"])) for level in quote.get("depth", {}).get(side, []))
    return tuple(level for level in levels if level[0] > 0.0)


def _span_ms(timeframe: str, limit: int) -> int:
    """What a request for `limit` bars has to span, weekends included, as far as it may."""
    session_days = -(-limit // (SESSION_MS // timeframes.parse(timeframe)))
    return min(DAYS[timeframe], session_days * 7 // 5 + 4) * DAY_MS - 1_000


def _weekdays(first_ms: int, until_ms: int) -> Iterator[sessions.Span]:
    day, last = (clock.from_ms(ms).astimezone(INDIA).date() for ms in (first_ms, until_ms))
    while day <= last:
        if day.weekday() < 5:
            opens, closes = (clock.to_ms(datetime.combine(day, at, INDIA)) for at in (OPENS, CLOSES))
            yield opens, closes
        day += timedelta(days=1)


def _ms(told: str) -> int:
    at = datetime.fromisoformat(told)
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return clock.to_ms(at)
