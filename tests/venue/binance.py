"""Binance USD-M futures over HTTP, as its documentation and ccxt 4.5 have it
(https://developers.binance.com/docs/derivatives/usds-margined-futures).
"""

from collections.abc import Mapping
from typing import Any

from exchanges.timeframes import TIMEFRAME_MS, parse
from tests.venue import dialect
from tests.venue.dialect import Dialect, Query
from tests.venue.limits import Counters, Quota, whole_seconds
from tests.venue.state import Instrument, VenueState
from tests.venue.tape import UNTRADED, Bar

MAX_KLINES = 1500
MAX_FUNDING = 1000
DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
FAR_DELIVERY_MS = 4_133_404_800_000


class Refusal(dialect.Refusal):
    """Binance's own error: an HTTP 400 with a code and a message."""

    def __init__(self, code: int, message: str, *, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, {"code": code, "msg": message}, headers)


def time(state: VenueState, query: Query) -> Any:
    return {"serverTime": state.told_ms}


def exchange_info(state: VenueState, query: Query) -> Any:
    return {
        "timezone": "UTC",
        "serverTime": state.told_ms,
        "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}],
        "exchangeFilters": [],
        "assets": [],
        "symbols": [_symbol(instrument) for instrument in state.instruments.values()],
    }


def klines(state: VenueState, query: Query) -> Any:
    instrument = _instrument(state, query)
    interval = query.get("interval", "")
    if interval not in TIMEFRAME_MS:
        raise Refusal(-1120, "Invalid interval.")
    limit = _limit(query, default=500, most=MAX_KLINES)
    start_ms, end_ms = _whole(query, "startTime"), _whole(query, "endTime")
    bars = state.bars(instrument.wire_id, interval, start_ms or 0, end_ms, limit, newest=start_ms is None)
    return [kline(bar, parse(interval)) for bar in bars]


def funding_rate(state: VenueState, query: Query) -> Any:
    instrument = _instrument(state, query)
    limit = _limit(query, default=100, most=MAX_FUNDING)
    start_ms = _whole(query, "startTime")
    rates = state.funding_rates(instrument.wire_id, start_ms or 0, _whole(query, "endTime"))
    return [
        {"symbol": instrument.wire_id, "fundingTime": at_ms, "fundingRate": f"{rate:.8f}", "markPrice": "40000.00000000"}
        for at_ms, rate in (rates[-limit:] if start_ms is None else rates[:limit])
    ]


def premium_index(state: VenueState, query: Query) -> Any:
    return _of_one_or_all(state, query, _premium)


def ticker_24hr(state: VenueState, query: Query) -> Any:
    return _of_one_or_all(state, query, ticker)


def depth(state: VenueState, query: Query) -> Any:
    instrument = _instrument(state, query)
    limit = _limit(query, default=500, most=DEPTHS[-1])
    if limit not in DEPTHS:
        raise Refusal(-4021, f"{limit} is not valid depth limit.")
    book = state.book(instrument.wire_id)
    bids, asks = book.levels(limit) if book else ([], [])
    return {"lastUpdateId": book.update_id if book else 0, "E": state.told_ms, "T": state.told_ms, "bids": bids, "asks": asks}


def book_ticker(state: VenueState, query: Query) -> Any:
    return _of_one_or_all(state, query, _book_ticker)


ROUTES: dict[str, dialect.Handler] = {
    "/fapi/v1/depth": depth,
    "/fapi/v1/ticker/bookTicker": book_ticker,
    "/fapi/v1/time": time,
    "/fapi/v1/exchangeInfo": exchange_info,
    "/fapi/v1/klines": klines,
    "/fapi/v1/fundingRate": funding_rate,
    "/fapi/v1/premiumIndex": premium_index,
    "/fapi/v1/ticker/24hr": ticker_24hr,
}

WEIGHT, FUNDING = Quota(2400, 60), Quota(500, 300)
KLINE_WEIGHTS = ((99, 1), (499, 2), (1000, 5), (MAX_KLINES, 10))
DEPTH_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1000, 20))
PATIENCE = 5
BAN_S = 120.0


class BinanceLimits:
    """Weights per minute and address. Who goes on asking when told to wait is banned."""

    def __init__(self, scale: float) -> None:
        self.counters = Counters(scale, fixed=True)
        self._wait_until_s = self._banned_until_s = 0.0
        self._ignored = 0

    def admit(self, route: str, query: Mapping[str, str]) -> tuple[dict[str, str], Refusal | None]:
        if route == "/fapi/v1/fundingRate":
            used, wait_s = self.counters.spend("funding", FUNDING, 1)
            headers = {}
        else:
            used, wait_s = self.counters.spend("weight", WEIGHT, weight(route, query))
            headers = {"X-MBX-USED-WEIGHT-1M": f"{used:.0f}"}
        return headers, self._refusal(wait_s)

    def _refusal(self, wait_s: float) -> Refusal | None:
        now_s = self.counters.clock()
        if now_s < self._wait_until_s:
            self._ignored += 1
        elif wait_s:
            self._wait_until_s, self._ignored = now_s + wait_s, 0
        if self._ignored > PATIENCE:
            self._banned_until_s, self._ignored = now_s + BAN_S / self.counters.scale, 0
        if now_s < self._banned_until_s:
            after = {"Retry-After": whole_seconds(self._banned_until_s - now_s)}
            return Refusal(-1003, "Way too many requests; IP banned.", status=418, headers=after)
        if wait_s:
            return Refusal(-1003, "Too many requests.", status=429, headers={"Retry-After": whole_seconds(wait_s)})
        return None


def weight(route: str, query: Mapping[str, str]) -> int:
    """What a request weighs; one that is not listed weighs 1."""
    limit = query.get("limit", "")
    if route == "/fapi/v1/klines":
        return _step(KLINE_WEIGHTS, int(limit) if limit.isdecimal() else 500)
    if route == "/fapi/v1/depth":
        return _step(DEPTH_WEIGHTS, int(limit) if limit.isdecimal() else 500)
    everything = {"/fapi/v1/ticker/24hr": 40, "/fapi/v1/premiumIndex": 10, "/fapi/v1/ticker/bookTicker": 5}
    return everything.get(route, 1) if "symbol" not in query else 2 if route.endswith("bookTicker") else 1


def _step(steps: tuple[tuple[int, int], ...], value: int) -> int:
    return next((cost for most, cost in steps if value <= most), steps[-1][1])


def _error(status: int) -> Any:
    if status in (418, 429):
        return {"code": -1003, "msg": "Too many requests."}
    return {"code": -1000, "msg": "An unknown error occurred."}


DIALECT = Dialect("binance", ROUTES, error=_error, limits=BinanceLimits)


def _instrument(state: VenueState, query: Query) -> Instrument:
    try:
        return state.instruments[query["symbol"]]
    except KeyError:
        raise Refusal(-1121, "Invalid symbol.") from None


def _of_one_or_all(state: VenueState, query: Query, describe: Any) -> Any:
    if "symbol" in query:
        return describe(state, _instrument(state, query))
    return [describe(state, instrument) for instrument in state.instruments.values()]


def _whole(query: Query, name: str) -> int | None:
    if name not in query:
        return None
    if not query[name].isdecimal():
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(query[name])


def _limit(query: Query, *, default: int, most: int) -> int:
    limit = _whole(query, "limit")
    if limit is None:
        return default
    if not 1 <= limit <= most:
        raise Refusal(-1130, f"Data sent for parameter 'limit' is not valid, max {most}.")
    return limit


def kline(bar: Bar, length_ms: int) -> list[Any]:
    at_ms, opened, high, low, close, volume = bar
    prices = [repr(price) for price in (opened, high, low, close, volume)]
    return [int(at_ms), *prices, int(at_ms) + length_ms - 1, repr(volume * close), 100, repr(volume / 2), repr(volume * close / 2), "0"]


def _premium(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    price = repr(state.price(instrument.wire_id) or 0.0)
    at_ms, rate = state.next_funding(instrument.wire_id)
    return {
        "symbol": instrument.wire_id,
        "markPrice": price,
        "indexPrice": price,
        "estimatedSettlePrice": price,
        "lastFundingRate": f"{rate:.8f}",
        "interestRate": "0.00010000",
        "nextFundingTime": at_ms,
        "time": state.told_ms,
    }


def _book_ticker(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    book = state.book(instrument.wire_id)
    bid, ask = book.best() if book else (("0", "0"), ("0", "0"))
    return {
        "symbol": instrument.wire_id,
        "bidPrice": bid[0],
        "bidQty": bid[1],
        "askPrice": ask[0],
        "askQty": ask[1],
        "time": state.told_ms,
        "lastUpdateId": book.update_id if book else 0,
    }


def ticker(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    """An instrument that nobody has traded in a day has zeros, as on the venue."""
    day = state.last_day(instrument.wire_id) or UNTRADED
    return {
        "symbol": instrument.wire_id,
        "priceChange": repr(day.last - day.open),
        "priceChangePercent": f"{(day.last / day.open - 1.0) * 100.0 if day.open else 0.0:.3f}",
        "weightedAvgPrice": repr(day.turnover / day.volume if day.volume else 0.0),
        "lastPrice": repr(day.last),
        "lastQty": "0.010",
        "openPrice": repr(day.open),
        "highPrice": repr(day.high),
        "lowPrice": repr(day.low),
        "volume": repr(day.volume),
        "quoteVolume": repr(day.turnover),
        "openTime": day.first_ms,
        "closeTime": state.told_ms,
        "firstId": 1,
        "lastId": 100,
        "count": 100,
    }


def _symbol(instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": instrument.wire_id,
        "pair": instrument.wire_id,
        "contractType": "PERPETUAL",
        "deliveryDate": FAR_DELIVERY_MS,
        "onboardDate": 1_569_398_400_000,
        "status": instrument.status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": instrument.tick_size, "minPrice": instrument.tick_size, "maxPrice": "4529764"},
            {"filterType": "LOT_SIZE", "stepSize": instrument.step_size, "minQty": instrument.step_size, "maxQty": "1000"},
            {"filterType": "MARKET_LOT_SIZE", "stepSize": instrument.step_size, "minQty": instrument.step_size, "maxQty": "120"},
            {"filterType": "MIN_NOTIONAL", "notional": instrument.min_notional},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }
