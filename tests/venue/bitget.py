"""Bitget v2 USDT perpetuals over HTTP, as its documentation and ccxt 4.5 have it (https://www.bitget.com/api-doc/contract/intro).

Candles come oldest first, but a page is the newest of what lies before `endTime`; the route of recent ones knows a month of the short
timeframes and takes 1,000, the one of history takes 200 and does not heed `startTime`. Funding rates come in numbered pages, newest first.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.venue import dialect
from tests.venue.dialect import Dialect, Query
from tests.venue.limits import Counters, Quota
from tests.venue.state import Instrument, VenueState
from tests.venue.tape import DAY_MS, UNTRADED, Bars

PRODUCT = "USDT-FUTURES"
PRODUCTS = (PRODUCT, "COIN-FUTURES", "USDC-FUTURES", "SUSDT-FUTURES", "SCOIN-FUTURES", "SUSDC-FUTURES")
MAX_RECENT, MAX_HISTORY, MAX_FUNDING, LONGEST_DAYS = 1000, 200, 100, 90
DEPTHS = ("1", "5", "15", "50", "max")
SPELLED = {"1H": "1h", "2H": "2h", "4H": "4h", "6Hutc": "6h", "12Hutc": "12h", "1Dutc": "1d"} | {
    timeframe: timeframe for timeframe in ("1m", "3m", "5m", "15m", "30m")
}
RECENT_DAYS = dict.fromkeys(("1m", "3m", "5m", "15m", "30m"), 30) | {"1h": 60, "2h": 120, "4h": 240, "6h": 360, "12h": 720, "1d": 1440}


class Refusal(dialect.Refusal):
    """Bitget's own error: an HTTP 400 with a code and a message."""

    def __init__(self, code: int, message: str, *, status: int = 400) -> None:
        super().__init__(status, {"code": str(code), "msg": message, "requestTime": 0, "data": None})


def time(state: VenueState, query: Query) -> Any:
    return reply(state, {"serverTime": str(state.told_ms)})


def contracts(state: VenueState, query: Query) -> Any:
    listed = state.instruments.values() if _product(query) == PRODUCT else ()
    return reply(state, [_contract(each) for each in listed])


def candles(state: VenueState, query: Query) -> Any:
    timeframe = _timeframe(query)
    oldest_ms = state.now_ms - RECENT_DAYS[timeframe] * DAY_MS
    start_ms = max(whole(query, "startTime", 0), oldest_ms)
    return page(state, instrument_of(state, query), timeframe, query, start_ms, limit_of(query, "limit", 100, MAX_RECENT))


def history_candles(state: VenueState, query: Query) -> Any:
    start_ms, end_ms = whole(query, "startTime", 0), whole(query, "endTime", state.now_ms)
    if start_ms and end_ms - start_ms > LONGEST_DAYS * DAY_MS:
        raise Refusal(40017, "Parameter verification failed startTime")
    return page(state, instrument_of(state, query), _timeframe(query), query, 0, limit_of(query, "limit", 100, MAX_HISTORY))


def tickers(state: VenueState, query: Query) -> Any:
    listed = state.instruments.values() if _product(query) == PRODUCT else ()
    return reply(state, [_ticker(state, each) for each in listed])


def merge_depth(state: VenueState, query: Query) -> Any:
    wanted = query.get("limit", "100")
    if wanted not in (*DEPTHS, "100"):
        raise Refusal(40017, "Parameter verification failed limit")
    instrument = instrument_of(state, query)
    bids, asks = state.levels(instrument.wire_id, 200 if wanted == "max" else int(wanted))
    numbers = [[[float(price), float(size)] for price, size in side] for side in (bids, asks)]
    told = {"bids": numbers[0], "asks": numbers[1], "ts": str(state.told_ms), "scale": instrument.tick_size}
    return reply(state, told | {"precision": "scale0", "isMaxPrecision": "YES"})


def history_fund_rate(state: VenueState, query: Query) -> Any:
    instrument = instrument_of(state, query)
    size, number = limit_of(query, "pageSize", 20, MAX_FUNDING), limit_of(query, "pageNo", 1, 10_000)
    rates = state.funding_rates(instrument.wire_id, 0)[::-1][(number - 1) * size : number * size]
    rows = [{"symbol": instrument.wire_id, "fundingRate": f"{rate:.8f}", "fundingTime": str(at_ms)} for at_ms, rate in rates]
    return reply(state, rows)


ROUTES: dict[str, dialect.Handler] = {
    "/api/v2/public/time": time,
    "/api/v2/mix/market/contracts": contracts,
    "/api/v2/mix/market/candles": candles,
    "/api/v2/mix/market/history-candles": history_candles,
    "/api/v2/mix/market/tickers": tickers,
    "/api/v2/mix/market/merge-depth": merge_depth,
    "/api/v2/mix/market/history-fund-rate": history_fund_rate,
}


class BitgetLimits:
    """Each endpoint counts by itself."""

    def __init__(self, scale: float) -> None:
        self.counters = Counters(scale, fixed=False)

    def admit(self, route: str, query: Mapping[str, str]) -> tuple[dict[str, str], Refusal | None]:
        _, wait_s = self.counters.spend(route, Quota(20, 1), 1)
        return {}, Refusal(429, "Too Many Requests", status=429) if wait_s else None


def _error(status: int) -> Any:
    code, message = ("429", "Too Many Requests") if status in (418, 429) else ("40725", "service return an error")
    return {"code": code, "msg": message, "requestTime": 0, "data": None}


def _empty() -> Any:
    return {"code": "00000", "msg": "success", "requestTime": 0, "data": []}


DIALECT = Dialect("bitget", ROUTES, error=_error, empty=_empty, rows=lambda payload: payload["data"], limits=BitgetLimits)


def reply(state: VenueState, data: Any) -> dict[str, Any]:
    return {"code": "00000", "msg": "success", "requestTime": state.told_ms, "data": data}


def _product(query: Query) -> str:
    product = query.get("productType", "").upper()
    if product not in PRODUCTS:
        raise Refusal(40034, "Parameter productType does not exist")
    return product


def instrument_of(state: VenueState, query: Query) -> Instrument:
    wanted = query.get("symbol", "")
    instrument = state.instruments.get(wanted) if _product(query) == PRODUCT else None
    if instrument is None:
        raise Refusal(40034, f"Parameter {wanted} does not exist")
    if instrument.status != "TRADING":
        raise Refusal(40309, "The contract has been removed")
    return instrument


def _timeframe(query: Query) -> str:
    try:
        return SPELLED[query.get("granularity", "")]
    except KeyError:
        raise Refusal(40034, "Parameter granularity does not exist") from None


def whole(query: Query, name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not value.isdecimal():
        raise Refusal(40019, f"Parameter {name} cannot be empty")
    return int(value)


def limit_of(query: Query, name: str, default: int, most: int) -> int:
    limit = whole(query, name, default)
    if not 1 <= limit <= most:
        raise Refusal(40017, f"Parameter verification failed {name}")
    return limit


def page(state: VenueState, instrument: Instrument, timeframe: str, query: Query, start_ms: int, limit: int) -> Any:
    """The newest `limit` bars from start_ms on and before the query's endTime, oldest first."""
    end_ms = whole(query, "endTime", state.now_ms + 1)
    bars: Bars = state.bars(instrument.wire_id, timeframe, start_ms, end_ms - 1, limit, newest=True)
    return reply(state, [[str(int(bar[0])), *(repr(value) for value in bar[1:]), repr(bar[4] * bar[5])] for bar in bars])


def _ticker(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    day = state.last_day(instrument.wire_id) or UNTRADED
    bids, asks = state.levels(instrument.wire_id, 1)
    return {
        "symbol": instrument.wire_id,
        "lastPr": repr(day.last),
        "bidPr": bids[0][0] if bids else "",
        "bidSz": bids[0][1] if bids else "",
        "askPr": asks[0][0] if asks else "",
        "askSz": asks[0][1] if asks else "",
        "high24h": repr(day.high),
        "low24h": repr(day.low),
        "ts": str(state.told_ms),
        "change24h": f"{day.last / day.open - 1.0 if day.open else 0.0:.6f}",
        "baseVolume": repr(day.volume),
        "quoteVolume": repr(day.turnover),
        "indexPrice": repr(day.last),
        "markPrice": repr(day.last),
        "fundingRate": f"{state.next_funding(instrument.wire_id)[1]:.8f}",
        "holdingAmount": "1000",
        "open24h": repr(day.open),
    }


def _contract(instrument: Instrument) -> dict[str, Any]:
    tick = Decimal(instrument.tick_size).normalize().as_tuple()
    places = max(0, -int(tick.exponent))
    return {
        "symbol": instrument.wire_id,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "makerFeeRate": "0.0002",
        "takerFeeRate": "0.0006",
        "supportMarginCoins": [instrument.quote],
        "minTradeNum": instrument.step_size,
        "priceEndStep": "".join(map(str, tick.digits)),
        "pricePlace": str(places),
        "volumePlace": str(max(0, -int(Decimal(instrument.step_size).normalize().as_tuple().exponent))),
        "sizeMultiplier": instrument.step_size,
        "symbolType": "perpetual",
        "minTradeUSDT": instrument.min_notional,
        "symbolStatus": "normal" if instrument.status == "TRADING" else "off",
        "offTime": "-1",
        "deliveryTime": "",
        "launchTime": "",
        "fundInterval": "8",
        "minLever": "1",
        "maxLever": "125",
    }
