"""Public market data of any venue ccxt speaks to. Only exchanges.venues.registry imports this module, on first use: ccxt is heavy."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import inf, isfinite
from typing import Any

import ccxt
import numpy as np
import structlog
from numpy.typing import NDArray

from exchanges import timeframes
from exchanges.ports import CandleFrame, FundingFrame, Levels, MarketSpec, Ticker, VenueRefused, VenueUnavailable
from exchanges.venues.ccxt_client import PARSER_ERRORS, RECHECK_S, TIMEOUT_MS, Clients
from exchanges.venues.specs import Client, VenueSpec
from exchanges.venues.venue_clock import VenueClock

log = structlog.get_logger(__name__)

EARLIEST_MS = 1_230_768_000_000
"""2009: no market of coins is older."""
FUNDING_CHUNK = 1000
NO_BARS = np.empty((0, 6))


class CcxtVenue:
    """exchanges.ports.MarketDataVenue through ccxt. Messages of its failures carry no URL."""

    def __init__(self, spec: VenueSpec, *, base_url: str = "", timeout_ms: int = TIMEOUT_MS) -> None:
        self.spec = spec
        self._clients = {
            kind: Clients(spec.slug, described, passing=spec.passing, base_url=base_url, timeout_ms=timeout_ms)
            for kind, described in (("perpetual", spec.perpetual), ("spot", spec.spot))
        }
        self._clock = VenueClock(spec.slug, self.time_ms)

    def markets(self, kind: str) -> list[MarketSpec]:
        listed = self._clients[kind].listed(fresh_s=RECHECK_S)
        return [market_spec(market, kind) for market in listed.values() if _is_of(market, kind)]

    def clients(self, kind: str) -> Clients:
        """For the venue's sockets: whoever asks through these shares the instruments and the budget."""
        return self._clients[kind]

    def timeframes(self, symbol: str) -> tuple[str, ...]:
        self._listed(symbol)
        offered = self._of(symbol).ask(lambda client: set(client.timeframes), "its timeframes")
        return tuple(name for name in timeframes.TIMEFRAME_MS if name in offered - self._described(symbol).lacks)

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def time_ms(self) -> int:
        """The venue's clock."""
        return self._clients["perpetual"].ask(lambda client: int(client.fetch_time()), "its clock", about_instruments=False)

    def page(self, symbol: str) -> int:
        return self._described(symbol).page

    def candles(self, symbol: str, timeframe: str, since_ms: int, limit: int) -> CandleFrame:
        self._check(symbol, timeframe)
        length_ms = timeframes.parse(timeframe)
        closed_ms = self.now_ms() // length_ms * length_ms
        start_ms = -(-since_ms // length_ms) * length_ms
        count = min(limit, self.page(symbol), (closed_ms - start_ms) // length_ms)
        reach = self._described(symbol).reach.get(timeframe, count)
        table = NO_BARS
        while count > 0 and not len(table):
            table = self._bars(symbol, timeframe, start_ms, min(count, reach))
            start_ms, count = start_ms + reach * length_ms, count - reach
        table = table[(table[:, 0] >= since_ms) & (table[:, 0] < closed_ms)][:limit]
        return CandleFrame(symbol, timeframe, table[:, 0].astype(np.int64), *(np.ascontiguousarray(table[:, i]) for i in range(1, 6)))

    def first_candle_ms(self, symbol: str, timeframe: str) -> int | None:
        """One request where the venue seeks; elsewhere about twelve, for pages are empty up to the first that holds a bar."""
        described = self._described(symbol)
        count = described.reach.get(timeframe, described.page)
        if described.seeks:
            found = self.candles(symbol, timeframe, 0, 1)
        else:
            span_ms = count * timeframes.parse(timeframe)
            pages = range(EARLIEST_MS, self.now_ms(), span_ms)
            first = bisect_left(pages, True, key=lambda start_ms: len(self.candles(symbol, timeframe, start_ms, count)) > 0)
            found = self.candles(symbol, timeframe, pages[min(first, len(pages) - 1)], count)
        return int(found.timestamp[0]) if len(found) else None

    def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        found: dict[str, Ticker] = {}
        for kind in ("perpetual", "spot"):
            clients, described = self._clients[kind], getattr(self.spec, kind)
            wanted = [symbol for symbol in symbols if _kind(symbol) == kind]
            # ccxt refuses the whole question for one symbol that the venue does not list any more, so that is not asked for.
            listed = clients.listed() if wanted else {}
            by_settle: dict[str, list[str]] = {}
            for symbol in (symbol for symbol in wanted if symbol in listed):
                by_settle.setdefault(str(listed[symbol]["settle"]) if described.tickers_by_settle else "", []).append(symbol)
            for group in by_settle.values():
                found |= clients.ask(partial(_tickers, symbols=group), "last prices")
        return found

    def book(self, symbol: str, depth: int) -> tuple[Levels, Levels]:
        market = self._listed(symbol)
        depths = self._described(symbol).depths
        size = next((size for size in depths if size >= depth), depths[-1])
        coins = float(market.get("contractSize") or 1.0)
        told = self._of(symbol).ask(lambda client: client.fetch_order_book(symbol, size), f"the order book of {symbol}")
        try:
            bids, asks = (tuple((float(level[0]), float(level[1]) * coins) for level in told[side][:depth]) for side in ("bids", "asks"))
        except PARSER_ERRORS as error:
            raise VenueUnavailable(f"{self.spec.slug} sent something unreadable when asked for the order book of {symbol}") from error
        return bids, asks

    def closed(self, symbol: str, first_ms: int, until_ms: int) -> tuple[tuple[int, int], ...]:
        """Coins trade round the clock."""
        return ()

    def funding(self, symbol: str, since_ms: int) -> Iterator[FundingFrame]:
        self._listed(symbol)
        if _kind(symbol) == "spot":
            return iter(())
        return self._funding_back(symbol, since_ms) if self._described(symbol).funding_older else self._funding_on(symbol, since_ms)

    def _funding_on(self, symbol: str, since_ms: int) -> Iterator[FundingFrame]:
        while found := {at_ms: rate for at_ms, rate in self._rates(symbol, since_ms, {}).items() if at_ms >= since_ms}:
            yield _frame(found)
            since_ms = max(found) + 1

    def _funding_back(self, symbol: str, since_ms: int) -> Iterator[FundingFrame]:
        """Pages from the newest rate back to since_ms, each asked for by the oldest rate known, or by its number."""
        older = self._described(symbol).funding_older
        found = self._rates(symbol, None, {})
        number, grown = 1, bool(found)
        while grown and min(found) > since_ms:
            number += 1
            cursor = number if older == "pageNo" else min(found) - (older == "endTime")
            page = self._rates(symbol, None, {older: cursor})
            grown = not found.keys() >= page.keys()
            found |= page
        wanted = {at_ms: found[at_ms] for at_ms in sorted(found) if at_ms >= since_ms}
        moments = list(wanted)
        for start in range(0, len(moments), FUNDING_CHUNK):
            yield _frame({at_ms: wanted[at_ms] for at_ms in moments[start : start + FUNDING_CHUNK]})

    def _rates(self, symbol: str, since_ms: int | None, cursor: Mapping[str, Any]) -> dict[int, float]:
        """One page of funding rates. A venue under load may answer with nothing: only a second empty page is believed."""
        limit = self._described(symbol).funding_page

        def ask(client: ccxt.Exchange) -> dict[int, float]:
            told = client.fetch_funding_rate_history(symbol, since_ms, limit, dict(cursor))
            return {int(entry["timestamp"]): float(entry["fundingRate"]) for entry in told}

        clients, what = self._of(symbol), f"{symbol} funding rates"
        return clients.ask(ask, what) or clients.ask(ask, what)

    def _bars(self, symbol: str, timeframe: str, start_ms: int, count: int) -> NDArray[np.float64]:
        """What the venue has in `count` bars from start_ms on (or, where it seeks, the first `count` from there on).

        A venue under load may answer with nothing: only a second empty page is believed. Where a venue fills its page from the other end,
        or brings less than it says, bars at the start are missing: they are asked for until there are none, so a hole in the answer is
        one in the venue's history.
        """
        table = self._ask_bars(symbol, timeframe, start_ms, count)
        if not len(table):
            table = self._ask_bars(symbol, timeframe, start_ms, count)
        while len(table) and not self._described(symbol).seeks:
            missing = (int(table[0, 0]) - start_ms) // timeframes.parse(timeframe)
            head = self._ask_bars(symbol, timeframe, start_ms, missing) if missing > 0 else NO_BARS
            head = head[head[:, 0] < table[0, 0]]
            if not len(head):
                break
            table = np.concatenate((head, table))
        return table

    def _ask_bars(self, symbol: str, timeframe: str, start_ms: int, count: int) -> NDArray[np.float64]:
        """float64[n, 6], oldest first; of a bar that was sent twice the later one counts."""
        what = f"{symbol} {timeframe} candles"
        rows = self._of(symbol).ask(lambda client: client.fetch_ohlcv(symbol, timeframe, start_ms, count), what)
        try:
            table = np.array(rows, np.float64).reshape(-1, 6)
        except PARSER_ERRORS as error:
            raise VenueUnavailable(f"{self.spec.slug} sent something unreadable when asked for {what}") from error
        if np.isnan(table[:, 0]).any():
            raise VenueUnavailable(f"{self.spec.slug} sent candles without time when asked for {symbol}")
        table = table[np.argsort(table[:, 0], kind="stable")]
        return table[np.append(table[1:, 0] != table[:-1, 0], True)] if len(table) else table

    def _check(self, symbol: str, timeframe: str) -> None:
        offered = self.timeframes(symbol)
        if timeframe not in offered:
            raise VenueRefused(f"{self.spec.slug} does not offer {timeframe} candles of {symbol}; use one of {', '.join(offered)}")

    def _listed(self, symbol: str) -> Mapping[str, Any]:
        """The instrument, as long as it trades. A list that says no is read again, lest somebody waits a day for a new listing."""
        kind = _kind(symbol)
        market: Mapping[str, Any] = {}
        for listed in (self._of(symbol).listed, partial(self._of(symbol).listed, fresh_s=RECHECK_S)):
            market = listed().get(symbol, {})
            if market and _is_of(market, kind) and market["active"] is not False:
                return market
        if not market or not _is_of(market, kind):
            raise VenueRefused(f"{self.spec.slug} does not list {symbol} (any more): check the spelling, or choose another market")
        status = next((market["info"][key] for key in ("status", "state", "symbolStatus") if market["info"].get(key)), "not trading")
        raise VenueRefused(f"{self.spec.slug} has delisted or halted {symbol} (its status is {status}): choose another market")

    def _described(self, symbol: str) -> Client:
        return self.spec.perpetual if _kind(symbol) == "perpetual" else self.spec.spot

    def _of(self, symbol: str) -> Clients:
        return self._clients[_kind(symbol)]


def market_spec(market: Mapping[str, Any], kind: str) -> MarketSpec:
    """ccxt counts derivatives in contracts, this product in coins: where a contract is not one coin, its step is not one either."""
    precision, limits = market["precision"], market["limits"]
    contract_size = float(market.get("contractSize") or 1.0)
    return MarketSpec(
        symbol=market["symbol"],
        base=market["base"],
        quote=market["quote"],
        kind=kind,
        tick_size=float(precision["price"] or 1e-8),
        step_size=float(precision["amount"] or 1e-8) * contract_size,
        min_notional=float((limits.get("cost") or {}).get("min") or 0.0),
        contract_size=contract_size,
        max_leverage=int((limits.get("leverage") or {}).get("max") or (1 if kind == "spot" else 20)),
        min_qty=float((limits.get("amount") or {}).get("min") or 0.0) * contract_size,
        is_trading=market.get("active") is not False,
    )


def _kind(symbol: str) -> str:
    return "perpetual" if ":" in symbol else "spot"


def _is_of(market: Mapping[str, Any], kind: str) -> bool:
    return bool(market.get("spot")) if kind == "spot" else bool(market.get("swap") and market.get("linear"))


def _tickers(client: ccxt.Exchange, symbols: list[str]) -> dict[str, Ticker]:
    """A market that nobody has traded yet has no price."""
    told = client.fetch_tickers(symbols)
    found = {
        symbol: Ticker(float(each["last"] or 0.0), _number(each["percentage"]), _number(each["bid"]), _number(each["ask"]))
        for symbol, each in told.items()
    }
    return {symbol: ticker for symbol, ticker in found.items() if 0.0 < ticker.last < inf}


def _number(value: Any) -> float | None:
    number = float("nan") if value is None else float(value)
    return number if isfinite(number) else None


def _frame(rates: Mapping[int, float]) -> FundingFrame:
    moments = sorted(rates)
    return FundingFrame(np.array(moments, np.int64), np.array([rates[at_ms] for at_ms in moments]))
