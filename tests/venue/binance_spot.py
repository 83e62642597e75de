"""Binance spot over HTTP, as its documentation and ccxt 4.5 have it (https://developers.binance.com/docs/binance-spot-api-docs).
Every instrument of the state is a pair here, with the same history.
"""

import json
from collections.abc import Mapping
from typing import Any

from exchanges.timeframes import TIMEFRAME_MS, parse
from tests.venue import binance, dialect
from tests.venue.dialect import Dialect, Query
from tests.venue.limits import Counters, Quota, whole_seconds
from tests.venue.state import Instrument, VenueState

MAX_KLINES, MAX_DEPTH = 1000, 5000
WEIGHT = Quota(6000, 60)


def exchange_info(state: VenueState, query: Query) -> Any:
    return {
        "timezone": "UTC",
        "serverTime": state.told_ms,
        "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
        "exchangeFilters": [],
        "symbols": [_symbol(instrument) for instrument in state.instruments.values()],
    }


def klines(state: VenueState, query: Query) -> Any:
    instrument = _instrument(state, query.get("symbol", ""))
    interval = query.get("interval", "")
    if interval not in TIMEFRAME_MS:
        raise binance.Refusal(-1120, "Invalid interval.")
    start_ms, end_ms = query.get("startTime"), query.get("endTime")
    limit = _limit(query, 500, MAX_KLINES)
    until_ms = int(end_ms) if end_ms else None
    bars = state.bars(instrument.wire_id, interval, int(start_ms or 0), until_ms, limit, newest=start_ms is None)
    return [binance.kline(bar, parse(interval)) for bar in bars]


def depth(state: VenueState, query: Query) -> Any:
    bids, asks = state.levels(_instrument(state, query.get("symbol", "")).wire_id, _limit(query, 100, MAX_DEPTH))
    return {"lastUpdateId": 1, "bids": bids, "asks": asks}


def ticker_24hr(state: VenueState, query: Query) -> Any:
    if "symbol" in query:
        return _ticker(state, _instrument(state, query["symbol"]))
    wanted = json.loads(query["symbols"]) if "symbols" in query else list(state.instruments)
    return [_ticker(state, _instrument(state, wire_id)) for wire_id in wanted]


ROUTES: dict[str, dialect.Handler] = {
    "/api/v3/time": binance.time,
    "/api/v3/exchangeInfo": exchange_info,
    "/api/v3/klines": klines,
    "/api/v3/depth": depth,
    "/api/v3/ticker/24hr": ticker_24hr,
}


class SpotLimits:
    """Weights per minute and address."""

    def __init__(self, scale: float) -> None:
        self.counters = Counters(scale, fixed=True)

    def admit(self, route: str, query: Mapping[str, str]) -> tuple[dict[str, str], dialect.Refusal | None]:
        used, wait_s = self.counters.spend("weight", WEIGHT, weight(route, query))
        refusal = (
            binance.Refusal(-1003, "Too many requests.", status=429, headers={"Retry-After": whole_seconds(wait_s)}) if wait_s else None
        )
        return {"X-MBX-USED-WEIGHT-1M": f"{used:.0f}"}, refusal


def weight(route: str, query: Mapping[str, str]) -> int:
    """What a request weighs; one that is not listed weighs 1."""
    if route == "/api/v3/ticker/24hr":
        named = 1 if "symbol" in query else query["symbols"].count(",") + 1 if "symbols" in query else 1000
        return 2 if named <= 20 else 40 if named <= 100 else 80
    if route == "/api/v3/depth":
        limit = int(query.get("limit", 100))
        return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250
    return {"/api/v3/exchangeInfo": 20, "/api/v3/klines": 2}.get(route, 1)


DIALECT = Dialect("binance spot", ROUTES, error=binance.DIALECT.error, limits=SpotLimits)


def _instrument(state: VenueState, wire_id: str) -> Instrument:
    try:
        return state.instruments[wire_id]
    except KeyError:
        raise binance.Refusal(-1121, "Invalid symbol.") from None


def _limit(query: Query, default: int, most: int) -> int:
    """Spot takes a limit beyond its largest for the largest."""
    value = query.get("limit", str(default))
    if not value.isdecimal() or value == "0":
        raise binance.Refusal(-1100, "Illegal characters found in parameter 'limit'.")
    return min(int(value), most)


def _ticker(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    bids, asks = state.levels(instrument.wire_id, 1)
    (bid, bid_qty), (ask, ask_qty) = bids[0] if bids else ("0", "0"), asks[0] if asks else ("0", "0")
    best = {"bidPrice": bid, "bidQty": bid_qty, "askPrice": ask, "askQty": ask_qty}
    return binance.ticker(state, instrument) | best


def _symbol(instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": instrument.wire_id,
        "status": instrument.status,
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": instrument.tick_size, "maxPrice": "1000000", "tickSize": instrument.tick_size},
            {"filterType": "LOT_SIZE", "minQty": instrument.step_size, "maxQty": "9000", "stepSize": instrument.step_size},
            {"filterType": "NOTIONAL", "minNotional": instrument.min_notional, "applyMinToMarket": True, "maxNotional": "9000000"},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }
