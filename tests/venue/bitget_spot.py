"""Bitget v2 spot over HTTP, as its documentation and ccxt 4.5 have it (https://www.bitget.com/api-doc/spot/intro).
Every instrument of the state is a pair here, with the same history; pages are as those of its perpetuals.
"""

from decimal import Decimal
from typing import Any

from tests.venue import bitget, dialect
from tests.venue.bitget import Refusal, limit_of, page, reply, whole
from tests.venue.dialect import Dialect, Query
from tests.venue.state import Instrument, VenueState
from tests.venue.tape import DAY_MS, UNTRADED

MAX_DEPTH = 150
SPELLED = {f"{minutes}min": f"{minutes}m" for minutes in (1, 3, 5, 15, 30)} | {"1h": "1h", "4h": "4h"}
SPELLED |= {"6Hutc": "6h", "12Hutc": "12h", "1Dutc": "1d"}


def symbols(state: VenueState, query: Query) -> Any:
    return reply(state, [_pair(each) for each in state.instruments.values()])


def margin_currencies(state: VenueState, query: Query) -> Any:
    """ccxt asks for them with the pairs. None can be borrowed here."""
    return reply(state, [])


def candles(state: VenueState, query: Query) -> Any:
    timeframe = _timeframe(query)
    oldest_ms = state.now_ms - bitget.RECENT_DAYS[timeframe] * DAY_MS
    start_ms = max(whole(query, "startTime", 0), oldest_ms)
    return page(state, _instrument(state, query), timeframe, query, start_ms, limit_of(query, "limit", 100, bitget.MAX_RECENT))


def history_candles(state: VenueState, query: Query) -> Any:
    if "endTime" not in query:
        raise Refusal(40019, "Parameter endTime cannot be empty")
    return page(state, _instrument(state, query), _timeframe(query), query, 0, limit_of(query, "limit", 100, bitget.MAX_HISTORY))


def tickers(state: VenueState, query: Query) -> Any:
    return reply(state, [_ticker(state, each) for each in state.instruments.values()])


def orderbook(state: VenueState, query: Query) -> Any:
    bids, asks = state.levels(_instrument(state, query).wire_id, limit_of(query, "limit", MAX_DEPTH, MAX_DEPTH))
    return reply(state, {"bids": bids, "asks": asks, "ts": str(state.told_ms)})


ROUTES: dict[str, dialect.Handler] = {
    "/api/v2/spot/public/symbols": symbols,
    "/api/v2/margin/currencies": margin_currencies,
    "/api/v2/spot/market/candles": candles,
    "/api/v2/spot/market/history-candles": history_candles,
    "/api/v2/spot/market/tickers": tickers,
    "/api/v2/spot/market/orderbook": orderbook,
}
DIALECT = Dialect(
    "bitget spot", ROUTES, error=bitget.DIALECT.error, empty=bitget.DIALECT.empty, rows=bitget.DIALECT.rows, limits=bitget.BitgetLimits
)


def _instrument(state: VenueState, query: Query) -> Instrument:
    return bitget.instrument_of(state, query | {"productType": bitget.PRODUCT})


def _timeframe(query: Query) -> str:
    try:
        return SPELLED[query.get("granularity", "")]
    except KeyError:
        raise Refusal(400171, "Parameter verification failed granularity") from None


def _ticker(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    day = state.last_day(instrument.wire_id) or UNTRADED
    bids, asks = state.levels(instrument.wire_id, 1)
    return {
        "symbol": instrument.wire_id,
        "open": repr(day.open),
        "high24h": repr(day.high),
        "low24h": repr(day.low),
        "lastPr": repr(day.last),
        "bidPr": bids[0][0] if bids else "",
        "bidSz": bids[0][1] if bids else "",
        "askPr": asks[0][0] if asks else "",
        "askSz": asks[0][1] if asks else "",
        "baseVolume": repr(day.volume),
        "quoteVolume": repr(day.turnover),
        "change24h": f"{day.last / day.open - 1.0 if day.open else 0.0:.6f}",
        "ts": str(state.told_ms),
    }


def _pair(instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": instrument.wire_id,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "minTradeAmount": instrument.step_size,
        "maxTradeAmount": "10000000000",
        "takerFeeRate": "0.002",
        "makerFeeRate": "0.002",
        "pricePrecision": str(_places(instrument.tick_size)),
        "quantityPrecision": str(_places(instrument.step_size)),
        "quotePrecision": "6",
        "status": "online" if instrument.status == "TRADING" else "offline",
        "minTradeUSDT": instrument.min_notional,
    }


def _places(step: str) -> int:
    return max(0, -int(Decimal(step).normalize().as_tuple().exponent))
