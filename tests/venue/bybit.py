"""Bybit v5 linear perpetuals and spot over HTTP, as its documentation and ccxt 4.5 have it (https://bybit-exchange.github.io/docs/v5/intro).

Rows come newest first. Candles are those of `limit` bars from `start` on; instruments that do not trade are not listed.
"""

from collections.abc import Mapping
from typing import Any

from exchanges.timeframes import parse
from tests.venue import dialect
from tests.venue.dialect import Dialect, Query
from tests.venue.limits import Counters, Quota
from tests.venue.state import Instrument, VenueState
from tests.venue.tape import UNTRADED

MAX_KLINES, MAX_FUNDING, MAX_DEPTH = 1000, 200, 500
INTERVALS = {"1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "240": "4h", "360": "6h", "720": "12h"}
INTERVALS |= {"D": "1d"}


class Refusal(dialect.Refusal):
    """Bybit's own error: an HTTP 200 with a code and a message."""

    def __init__(self, code: int, message: str, *, status: int = 200) -> None:
        super().__init__(status, {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": 0})


def time(state: VenueState, query: Query) -> Any:
    return _reply(state, {"timeSecond": str(state.told_ms // 1000), "timeNano": str(state.told_ms * 1_000_000)})


def instruments_info(state: VenueState, query: Query) -> Any:
    wanted = query.get("status", "Trading")
    if _category(query) == "spot":
        return _listing(state, query, [_pair_row(each) for each in state.instruments.values() if each.status == "TRADING"])
    listed = state.instruments.values() if query["category"] == "linear" else ()
    rows = [_instrument_row(each) for each in listed if (each.status == "TRADING") == (wanted == "Trading")]
    return _listing(state, query, [] if wanted == "PreLaunch" else rows, nextPageCursor="")


def kline(state: VenueState, query: Query) -> Any:
    instrument = _instrument(state, query)
    timeframe = INTERVALS.get(query.get("interval", ""))
    if timeframe is None:
        raise Refusal(10001, "Invalid period!")
    limit = _limit(query, default=200, most=MAX_KLINES)
    start_ms = _whole(query, "start")
    end_ms = _whole(query, "end")
    if start_ms is not None and end_ms is None:
        end_ms = start_ms + limit * parse(timeframe) - 1
    bars = state.bars(instrument.wire_id, timeframe, start_ms or 0, end_ms, limit, newest=True)
    rows = [[str(int(bar[0])), *(repr(value) for value in bar[1:]), repr(bar[4] * bar[5])] for bar in reversed(bars)]
    return _listing(state, query, rows, symbol=instrument.wire_id)


def tickers(state: VenueState, query: Query) -> Any:
    describe = _pair_ticker if _category(query) == "spot" else _ticker
    wanted = [_instrument(state, query)] if query.get("symbol") else list(state.instruments.values())
    return _listing(state, query, [describe(state, each) for each in wanted if each.status == "TRADING"])


def orderbook(state: VenueState, query: Query) -> Any:
    instrument = _instrument(state, query)
    bids, asks = state.levels(instrument.wire_id, _limit(query, default=25, most=MAX_DEPTH))
    at_ms = state.told_ms
    return _reply(state, {"s": instrument.wire_id, "b": bids, "a": asks, "ts": at_ms, "u": 1, "seq": 1, "cts": at_ms})


def funding_history(state: VenueState, query: Query) -> Any:
    instrument = _instrument(state, query)
    start_ms, end_ms = _whole(query, "startTime"), _whole(query, "endTime")
    if start_ms is not None and end_ms is None:
        raise Refusal(10001, "params error: endTime is required when startTime is given")
    rates = state.funding_rates(instrument.wire_id, start_ms or 0, end_ms)[-_limit(query, default=200, most=MAX_FUNDING) :]
    rows = [
        {"symbol": instrument.wire_id, "fundingRate": f"{rate:.8f}", "fundingRateTimestamp": str(at_ms)} for at_ms, rate in reversed(rates)
    ]
    return _listing(state, query, rows)


ROUTES: dict[str, dialect.Handler] = {
    "/v5/market/time": time,
    "/v5/market/instruments-info": instruments_info,
    "/v5/market/kline": kline,
    "/v5/market/tickers": tickers,
    "/v5/market/orderbook": orderbook,
    "/v5/market/funding/history": funding_history,
}


class BybitLimits:
    """One counter per address."""

    def __init__(self, scale: float) -> None:
        self.counters = Counters(scale, fixed=False)

    def admit(self, route: str, query: Mapping[str, str]) -> tuple[dict[str, str], Refusal | None]:
        _, wait_s = self.counters.spend("all", Quota(600, 5), 1)
        return {}, Refusal(10018, "Access too frequent.", status=403) if wait_s else None


def _error(status: int) -> Any:
    code, message = (10006, "Too many visits!") if status in (403, 418, 429) else (10016, "Server error.")
    return {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": 0}


def _empty() -> Any:
    return {"retCode": 0, "retMsg": "OK", "result": {"category": "linear", "list": []}, "retExtInfo": {}, "time": 0}


def _rows(payload: Any) -> Any:
    return payload["result"]["list"]


DIALECT = Dialect("bybit", ROUTES, error=_error, empty=_empty, rows=_rows, limits=BybitLimits)


def _reply(state: VenueState, result: dict[str, Any]) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": state.told_ms}


def _listing(state: VenueState, query: Query, rows: list[Any], **more: str) -> dict[str, Any]:
    return _reply(state, {"category": query["category"], "list": rows, **more})


def _category(query: Query) -> str:
    if query.get("category") not in ("spot", "linear", "inverse", "option"):
        raise Refusal(10001, "params error: Category is invalid")
    return query["category"]


def _instrument(state: VenueState, query: Query) -> Instrument:
    instrument = state.instruments.get(query.get("symbol", ""))
    if _category(query) not in ("linear", "spot") or instrument is None or instrument.status != "TRADING":
        raise Refusal(10001, "Not supported symbols")
    return instrument


def _whole(query: Query, name: str) -> int | None:
    if name not in query:
        return None
    if not query[name].isdecimal():
        raise Refusal(10001, f"params error: {name} is invalid")
    return int(query[name])


def _limit(query: Query, *, default: int, most: int) -> int:
    """Bybit takes a limit beyond its largest for the largest."""
    limit = _whole(query, "limit")
    return default if limit is None else min(max(limit, 1), most)


def _pair_ticker(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    day = state.last_day(instrument.wire_id) or UNTRADED
    bids, asks = state.levels(instrument.wire_id, 1)
    return {
        "symbol": instrument.wire_id,
        "lastPrice": repr(day.last),
        "prevPrice24h": repr(day.open),
        "price24hPcnt": f"{day.last / day.open - 1.0 if day.open else 0.0:.6f}",
        "highPrice24h": repr(day.high),
        "lowPrice24h": repr(day.low),
        "turnover24h": repr(day.turnover),
        "volume24h": repr(day.volume),
        "bid1Price": bids[0][0] if bids else "",
        "bid1Size": bids[0][1] if bids else "",
        "ask1Price": asks[0][0] if asks else "",
        "ask1Size": asks[0][1] if asks else "",
    }


def _ticker(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    """A perpetual's: what a pair's tells, and more."""
    told = _pair_ticker(state, instrument)
    at_ms, rate = state.next_funding(instrument.wire_id)
    more = {"indexPrice": told["lastPrice"], "markPrice": told["lastPrice"], "openInterest": "1000", "openInterestValue": "40000000"}
    return told | more | {"fundingRate": f"{rate:.8f}", "nextFundingTime": str(at_ms)}


def _pair_row(instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": instrument.wire_id,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "lotSizeFilter": {
            "basePrecision": instrument.step_size,
            "quotePrecision": "0.0000001",
            "minOrderQty": instrument.step_size,
            "maxOrderQty": "100",
            "minOrderAmt": instrument.min_notional,
            "maxOrderAmt": "4000000",
        },
        "priceFilter": {"tickSize": instrument.tick_size},
    }


def _instrument_row(instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": instrument.wire_id,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "settleCoin": instrument.quote,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": instrument.tick_size, "maxPrice": "1999999.80", "tickSize": instrument.tick_size},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000",
            "minOrderQty": instrument.step_size,
            "qtyStep": instrument.step_size,
            "postOnlyMaxOrderQty": "1190.000",
            "maxMktOrderQty": "500.000",
            "minNotionalValue": instrument.min_notional,
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "copyTrading": "both",
    }
