"""Binance USD-M futures over HTTP, as its documentation and ccxt 4.5 have it
(https://developers.binance.com/docs/derivatives/usds-margined-futures).
"""

from collections.abc import Callable
from typing import Any

from exchanges.timeframes import TIMEFRAME_MS, parse
from tests.venue.state import Instrument, VenueState

Query = dict[str, str]
MAX_KLINES = 1500
MAX_FUNDING = 1000
FAR_DELIVERY_MS = 4_133_404_800_000


class Refusal(Exception):
    """Binance's own error: an HTTP 400 with a code and a message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.body = {"code": code, "msg": message}


def time(state: VenueState, query: Query) -> Any:
    return {"serverTime": state.now_ms}


def exchange_info(state: VenueState, query: Query) -> Any:
    return {
        "timezone": "UTC",
        "serverTime": state.now_ms,
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
    start_ms, end_ms = int(query.get("startTime", 0)), query.get("endTime")
    bars = state.bars(instrument.wire_id, interval, start_ms, int(end_ms) if end_ms else None, limit)
    return [_kline(bar, parse(interval)) for bar in bars]


def funding_rate(state: VenueState, query: Query) -> Any:
    instrument = _instrument(state, query)
    limit = _limit(query, default=100, most=MAX_FUNDING)
    start_ms = int(query.get("startTime", 0))
    rates = state.funding.get(instrument.wire_id)
    pairs = (
        []
        if rates is None
        else [pair for pair in zip(rates.timestamp.tolist(), rates.rate.tolist(), strict=True) if start_ms <= pair[0] <= state.now_ms]
    )
    return [
        {"symbol": instrument.wire_id, "fundingTime": at_ms, "fundingRate": f"{rate:.8f}", "markPrice": "40000.00000000"}
        for at_ms, rate in pairs[:limit]
    ]


def ticker_24hr(state: VenueState, query: Query) -> Any:
    if "symbol" in query:
        return _ticker(state, _instrument(state, query))
    return [_ticker(state, instrument) for instrument in state.instruments.values()]


ROUTES: dict[str, Callable[[VenueState, Query], Any]] = {
    "/fapi/v1/time": time,
    "/fapi/v1/exchangeInfo": exchange_info,
    "/fapi/v1/klines": klines,
    "/fapi/v1/fundingRate": funding_rate,
    "/fapi/v1/ticker/24hr": ticker_24hr,
}


def _instrument(state: VenueState, query: Query) -> Instrument:
    try:
        return state.instruments[query["symbol"]]
    except KeyError:
        raise Refusal(-1121, "Invalid symbol.") from None


def _limit(query: Query, *, default: int, most: int) -> int:
    limit = int(query.get("limit", default))
    if not 1 <= limit <= most:
        raise Refusal(-1130, f"Data sent for parameter 'limit' is not valid, max {most}.")
    return limit


def _kline(bar: tuple[float, ...], length_ms: int) -> list[Any]:
    at_ms, opened, high, low, close, volume = bar
    prices = [repr(price) for price in (opened, high, low, close, volume)]
    return [int(at_ms), *prices, int(at_ms) + length_ms - 1, repr(volume * close), 100, repr(volume / 2), repr(volume * close / 2), "0"]


def _ticker(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    """An instrument that nobody has traded yet has zeros, as on the venue."""
    bars = state.last_day(instrument.wire_id) or [(state.now_ms, 0.0, 0.0, 0.0, 0.0, 0.0)]
    opened, last = bars[0][1], bars[-1][4]
    volume, turnover = sum(bar[5] for bar in bars), sum(bar[4] * bar[5] for bar in bars)
    return {
        "symbol": instrument.wire_id,
        "priceChange": repr(last - opened),
        "priceChangePercent": f"{(last / opened - 1.0) * 100.0 if opened else 0.0:.3f}",
        "weightedAvgPrice": repr(turnover / volume if volume else 0.0),
        "lastPrice": repr(last),
        "lastQty": "0.010",
        "openPrice": repr(opened),
        "highPrice": repr(max(bar[2] for bar in bars)),
        "lowPrice": repr(min(bar[3] for bar in bars)),
        "volume": repr(volume),
        "quoteVolume": repr(turnover),
        "openTime": int(bars[0][0]),
        "closeTime": state.now_ms,
        "firstId": 1,
        "lastId": 100 * len(bars),
        "count": 100 * len(bars),
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
