"""US shares through Alpaca's own client. Only exchanges.venues.registry imports this module, on first use: it needs the extra `alpaca`.

Bars are adjusted for splits, not for dividends: a raw history falls by half or nine tenths at every split, which no holder ever lost, while
prices adjusted for dividends are none that anybody could trade at. The newest bars and the live prices are then on one scale; a split
after a series was stored puts it on another than what follows, so that series has to be fetched anew.

Only bars that lie wholly in a regular session are kept: trade before and after it is thin, and one venue's feed (IEX, what is free) hardly
sees it. Sessions, half days and holidays are those of Alpaca's calendar. Longer bars than an hour are cut across sessions or at New York's
midnight, which is off this product's UTC grid, so they are not offered. Without a trade there is no bar.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from math import inf, isfinite
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest, StockLatestQuoteRequest, StockSnapshotRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, AssetStatus
from alpaca.trading.requests import GetAssetsRequest, GetCalendarRequest
from django.conf import settings

from exchanges import timeframes
from exchanges.ports import CandleFrame, FundingFrame, Levels, MarketSpec, NotConfigured, Ticker, VenueRefused
from exchanges.venues import sessions
from exchanges.venues.line import TIMEOUT_MS, Explained, Line, twice
from exchanges.venues.venue_clock import VenueClock
from traderai.lib import clock

ASSET = "/v2/assets/{symbol}"
NEW_YORK = ZoneInfo("America/New_York")
PAGE = 10_000
LEAST_ASKED = 1_000
"""Bars asked for at least: the venue has refused limits too small to make a bar of, and nights take part of them."""
SNAPSHOTS = 500
LISTED_S, REFUSED_S = 86_400.0, 300.0
EARLIEST_MS = 946_684_800_000
"""2000: Alpaca's history begins in 2016."""
FRAMES = {
    "1m": TimeFrame(1, TimeFrameUnit.Minute),
    "3m": TimeFrame(3, TimeFrameUnit.Minute),
    "5m": TimeFrame(5, TimeFrameUnit.Minute),
    "15m": TimeFrame(15, TimeFrameUnit.Minute),
    "30m": TimeFrame(30, TimeFrameUnit.Minute),
    "1h": TimeFrame(1, TimeFrameUnit.Hour),
}
CENT, SMALLEST_FRACTION = 0.01, 1e-9


class AlpacaVenue:
    """exchanges.ports.MarketDataVenue of US shares, spelled AAPL/USD. Raises NotConfigured, VenueUnavailable or VenueRefused.

    Book sizes are what the feed tells: round lots, 100 shares for most.
    """

    def __init__(self, *, base_url: str = "", timeout_ms: int = TIMEOUT_MS) -> None:
        key, secret = settings.ALPACA_KEY_ID, settings.ALPACA_SECRET_KEY
        if not (key and secret):
            raise NotConfigured("alpaca is not configured: set ALPACA_KEY_ID and ALPACA_SECRET_KEY to the keys of an Alpaca account")
        self._feed = DataFeed(settings.ALPACA_FEED)
        self._line = Line("alpaca", timeout_ms=timeout_ms, explain=_explain, route=_route)
        url = base_url or None
        # Any: with raw_data the library hands on JSON, while its types speak of its models.
        self._data: Any = StockHistoricalDataClient(key, secret, raw_data=True, url_override=url)
        # Calendar and assets are the trading host's; a paper account's keys, which begin with PK, are good for its own host only.
        self._trading: Any = TradingClient(key, secret, paper=key.startswith("PK"), raw_data=True, url_override=url)
        for client in (self._data, self._trading):
            self._line.attach(client._session)
        self._clock = VenueClock("alpaca", self.time_ms)
        self._calendar: dict[int, tuple[date, list[sessions.Span]]] = {}
        self._assets: dict[str, tuple[str, float]] = {}

    def markets(self, kind: str) -> list[MarketSpec]:
        if kind != "equity":
            return []
        wanted = GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY)
        return self._line.ask(lambda: [_market_spec(asset) for asset in self._trading.get_all_assets(wanted)], "its instruments")

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def time_ms(self) -> int:
        """The venue's clock."""
        return self._line.ask(lambda: _ms(self._trading.get_clock()["timestamp"]), "its clock")

    def page(self, symbol: str) -> int:
        return PAGE

    def timeframes(self, symbol: str) -> tuple[str, ...]:
        self._insist_on(symbol)
        return tuple(FRAMES)

    def candles(self, symbol: str, timeframe: str, since_ms: int, limit: int) -> CandleFrame:
        self._insist_on(symbol)
        if timeframe not in FRAMES:
            raise VenueRefused(
                f"alpaca does not offer {timeframe} candles of {symbol}: it cuts longer bars at New York's midnight, off the UTC grid; use one of {', '.join(FRAMES)}"
            )
        limit, length_ms, now_ms = min(limit, PAGE), timeframes.parse(timeframe), self.now_ms()
        table = np.empty((0, 6))
        while since_ms + length_ms <= now_ms:
            asked = max(limit, LEAST_ASKED)
            ask = partial(self._line.ask, partial(self._bars, _share(symbol), timeframe, since_ms, asked), f"{symbol} {timeframe} candles")
            rows = twice(ask)
            table = rows[(rows[:, 0] >= since_ms) & (rows[:, 0] + length_ms <= now_ms)]
            table = table[self._regular(table[:, 0].astype(np.int64), length_ms)][:limit]
            if len(table) or len(rows) < asked:
                break
            since_ms = int(rows[-1, 0]) + length_ms  # all of it was night
        return CandleFrame(symbol, timeframe, table[:, 0].astype(np.int64), *(np.ascontiguousarray(table[:, i]) for i in range(1, 6)))

    def first_candle_ms(self, symbol: str, timeframe: str) -> int | None:
        found = self.candles(symbol, timeframe, EARLIEST_MS, 1)
        return int(found.timestamp[0]) if len(found) else None

    def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        """The change is since the close of the session before."""
        shares = {_share(symbol): symbol for symbol in symbols if not self._why_not(symbol)}
        names = list(shares)
        found: dict[str, Ticker] = {}
        for start in range(0, len(names), SNAPSHOTS):
            wanted = StockSnapshotRequest(symbol_or_symbols=names[start : start + SNAPSHOTS], feed=self._feed)
            found |= self._line.ask(partial(self._tickers, wanted), "last prices")
        return {shares[name]: ticker for name, ticker in found.items() if name in shares}

    def book(self, symbol: str, depth: int) -> tuple[Levels, Levels]:
        """The best of each side alone: Alpaca tells no more."""
        self._insist_on(symbol)
        share = _share(symbol)
        wanted = StockLatestQuoteRequest(symbol_or_symbols=share, feed=self._feed)
        what = f"the order book of {symbol}"
        quote = self._line.ask(lambda: dict(self._data.get_stock_latest_quote(wanted) or {}).get(share) or {}, what)
        bids, asks = self._line.ask(lambda: (_side(quote, "bp", "bs"), _side(quote, "ap", "as")), what)
        return bids[:depth], asks[:depth]

    def funding(self, symbol: str, since_ms: int) -> Iterator[FundingFrame]:
        """Shares have none."""
        self._insist_on(symbol)
        return iter(())

    def closed(self, symbol: str, first_ms: int, until_ms: int) -> tuple[sessions.Span, ...]:
        """The spans of first_ms <= t < until_ms in which no regular session was: nothing can be missing there."""
        return sessions.between(first_ms, until_ms, self._sessions(first_ms, until_ms))

    def _bars(self, share: str, timeframe: str, since_ms: int, limit: int) -> np.ndarray:
        """(timestamp, open, high, low, close, volume) rows in order; the library turns the pages."""
        wanted = StockBarsRequest(
            symbol_or_symbols=share,
            timeframe=FRAMES[timeframe],
            start=clock.from_ms(since_ms),
            limit=limit,
            adjustment=Adjustment.SPLIT,
            feed=self._feed,
        )
        bars = dict(self._data.get_stock_bars(wanted)).get(share) or []
        rows = [(_ms(bar["t"]), bar["o"], bar["h"], bar["l"], bar["c"], bar["v"]) for bar in bars]
        table = np.array(rows, np.float64).reshape(-1, 6)
        table = table[np.argsort(table[:, 0], kind="stable")]
        return table[np.append(table[1:, 0] != table[:-1, 0], True)] if len(table) else table

    def _regular(self, opens_ms: np.ndarray, length_ms: int) -> np.ndarray:
        if not len(opens_ms):
            return np.zeros(0, bool)
        return sessions.inside(opens_ms, length_ms, self._sessions(int(opens_ms[0]), int(opens_ms[-1]) + length_ms))

    def _sessions(self, first_ms: int, until_ms: int) -> list[sessions.Span]:
        """Regular sessions of the years that the span touches."""
        years = range(_new_york(first_ms).year, _new_york(until_ms).year + 1)
        return [span for year in years for span in self._year(year)]

    def _year(self, year: int) -> list[sessions.Span]:
        """The past does not change; the calendar of this year and the next is asked for once a day, for days of mourning and of storms."""
        today = _new_york(clock.now_ms()).date()
        known = self._calendar.get(year)
        if known is None or (known[0] != today and year >= known[0].year):
            wanted = GetCalendarRequest(start=date(year, 1, 1), end=date(year, 12, 31))
            spans = self._line.ask(lambda: sorted(_span(day) for day in self._trading.get_calendar(wanted)), f"its calendar of {year}")
            self._calendar[year] = known = (today, spans)
        return known[1]

    def _tickers(self, wanted: StockSnapshotRequest) -> dict[str, Ticker]:
        """By the venue's names; nothing of those that nobody has traded yet."""
        told = {name: each for name, each in dict(self._data.get_stock_snapshot(wanted) or {}).items() if each}
        found = {name: _ticker(each) for name, each in told.items()}
        return {name: ticker for name, ticker in found.items() if ticker is not None}

    def _insist_on(self, symbol: str) -> None:
        """An unknown symbol has no bars, as a known one on a holiday: the list of assets tells them apart. Raises VenueRefused."""
        why_not = self._why_not(symbol)
        if why_not:
            raise VenueRefused(why_not)

    def _why_not(self, symbol: str) -> str:
        """Why nothing can be asked about a symbol; "" when it trades. A yes is believed for a day, a no for minutes."""
        told, asked_s = self._assets.get(symbol, ("", -inf))
        if monotonic() - asked_s > (REFUSED_S if told else LISTED_S):
            told = self._line.ask(partial(self._look_up, symbol), "its instruments")
            self._assets[symbol] = (told, monotonic())
        return told

    def _look_up(self, symbol: str) -> str:
        share, _, quote = symbol.partition("/")
        if not share or quote != "USD":
            return f"alpaca does not list {symbol}: check the spelling, which for US shares is like AAPL/USD"
        try:
            asset = self._trading.get_asset(share)
        except APIError as error:
            if error.status_code != 404:
                raise
            return f"alpaca does not list {symbol} (any more): check the spelling, or choose another market"
        if asset["status"] == "active" and asset["tradable"]:
            return ""
        return f"alpaca has delisted or halted {symbol} (its status is {asset['status']}): choose another market"


def _share(symbol: str) -> str:
    """Alpaca's name of a symbol that was looked up."""
    return symbol.partition("/")[0]


def _route(path: str) -> str:
    return ASSET if path.startswith("/v2/assets/") else path


def _explain(error: Exception) -> Explained | None:
    """What Alpaca says with a status of 400 to 499; None for errors that are not its own."""
    if not isinstance(error, APIError):
        return None
    try:
        said = str(error.message)
    except (ValueError, KeyError, TypeError):
        said = f"status {error.status_code}"
    if error.status_code == 401 or (error.status_code == 403 and "subscription" not in said):
        return f"does not accept ALPACA_KEY_ID with ALPACA_SECRET_KEY ({said})", "set the keys of an Alpaca account and restart"
    if error.status_code == 403:
        return f"refused ({said})", "set ALPACA_FEED to a feed of the subscription and restart"
    return f"refused ({said})", ""


def _market_spec(asset: dict[str, Any]) -> MarketSpec:
    return MarketSpec(
        symbol=f"{asset['symbol']}/USD",
        base=str(asset["symbol"]),
        quote="USD",
        kind="equity",
        tick_size=CENT,
        step_size=SMALLEST_FRACTION if asset["fractionable"] else 1.0,
        min_notional=1.0,
        max_leverage=1,
        is_trading=bool(asset["tradable"]),
    )


def _ticker(told: dict[str, Any]) -> Ticker | None:
    """From a snapshot; a part that it lacks is None there."""
    last = _positive(told, "latestTrade", "p")
    if last is None:
        return None
    before = _positive(told, "prevDailyBar", "c")
    change_pct = None if before is None else (last / before - 1.0) * 100.0
    return Ticker(
        last, change_pct, _positive(told, "latestQuote", "bp"), _positive(told, "latestQuote", "ap"), _ms(told["latestTrade"]["t"])
    )


def _side(quote: dict[str, Any], price: str, size: str) -> Levels:
    """A side that nobody quotes is told as zeros."""
    return ((float(quote[price]), float(quote[size])),) if quote and quote[price] else ()


def _positive(told: dict[str, Any], part: str, name: str) -> float | None:
    value = float((told.get(part) or {}).get(name) or 0.0)
    return value if isfinite(value) and value > 0.0 else None


def _span(day: dict[str, str]) -> sessions.Span:
    """Of a day like {"date": "2024-07-03", "open": "09:30", "close": "13:00"}, New York's time."""
    midnight = datetime.combine(date.fromisoformat(day["date"]), time(), NEW_YORK)
    opens, closes = (midnight + timedelta(hours=int(told[:2]), minutes=int(told[3:])) for told in (day["open"], day["close"]))
    return clock.to_ms(opens), clock.to_ms(closes)


def _new_york(ms: int) -> datetime:
    return clock.from_ms(ms).astimezone(NEW_YORK)


def _ms(told: str) -> int:
    at = datetime.fromisoformat(told)
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return clock.to_ms(at)
