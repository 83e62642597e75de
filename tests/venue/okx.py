"""OKX perpetual swaps and spot over HTTP, as its documentation and ccxt 4.5 have it (https://www.okx.com/docs-v5/en/).

Pages come newest first: `after` asks for rows older than a time, `before` for newer ones, both for what lies between, and of more rows
than `limit` the newest are told. Swaps are counted in contracts.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from exchanges.timeframes import TIMEFRAME_MS, parse
from tests.venue import dialect
from tests.venue.book import Level
from tests.venue.dialect import Dialect, Query
from tests.venue.limits import Counters, Quota
from tests.venue.state import FUNDING_MS, Instrument, VenueState
from tests.venue.tape import Bar

MAX_CANDLES = 300
DEFAULT_CANDLES = 100
RECENT_BARS = 1440
MAX_FUNDING = 400
MAX_DEPTH = 400
SPELLED = {"1H": "1h", "2H": "2h", "4H": "4h", "6Hutc": "6h", "12Hutc": "12h", "1Dutc": "1d"} | {
    timeframe: timeframe for timeframe in TIMEFRAME_MS if timeframe.endswith("m")
}
"""OKX's names of the timeframes that begin with the day in UTC. Its 6H, 12H and 1D begin with the day in Hong Kong: not served."""


class Refusal(dialect.Refusal):
    """OKX's own error: mostly an HTTP 200 with a code and a message."""

    def __init__(self, code: int, message: str, *, status: int = 200) -> None:
        super().__init__(status, {"code": str(code), "msg": message, "data": []})


def wire_id(instrument: Instrument) -> str:
    return f"{instrument.base}-{instrument.quote}-SWAP"


def time(state: VenueState, query: Query) -> Any:
    return _data({"ts": str(state.told_ms)})


def instruments(state: VenueState, query: Query) -> Any:
    if query.get("instType") not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"):
        raise Refusal(51000, "Parameter instType error")
    if query["instType"] == "SPOT":
        return _data(*(_pair_row(one) for one in state.instruments.values()))
    listed = state.instruments.values() if query["instType"] == "SWAP" else ()
    return _data(*(_instrument_row(one) for one in listed if query.get("instId", wire_id(one)) == wire_id(one)))


def candles(state: VenueState, query: Query) -> Any:
    """The most recent 1,440 bars."""
    instrument, timeframe = _swap_or_pair(state, query), timeframe_of(query)
    return _page(state, instrument, timeframe, query, state.now_ms - RECENT_BARS * parse(timeframe))


def history_candles(state: VenueState, query: Query) -> Any:
    return _page(state, _swap_or_pair(state, query), timeframe_of(query), query, 0)


def ticker(state: VenueState, query: Query) -> Any:
    return _data(ticker_row(state, instrument_of(state, query)))


def tickers(state: VenueState, query: Query) -> Any:
    if query.get("instType") not in ("SPOT", "SWAP", "FUTURES", "OPTION"):
        raise Refusal(51000, "Parameter instType error")
    if query["instType"] == "SPOT":
        return _data(
            *(ticker_row(state, one) | {"instType": "SPOT", "instId": f"{one.base}-{one.quote}"} for one in state.instruments.values())
        )
    listed = state.instruments.values() if query["instType"] == "SWAP" else ()
    return _data(*(ticker_row(state, instrument) for instrument in listed))


def books(state: VenueState, query: Query) -> Any:
    instrument = _swap_or_pair(state, query)
    book = state.book(instrument.wire_id)
    bids, asks = book.levels(min(max(_whole(query, "sz", 1), 1), MAX_DEPTH)) if book else ([], [])
    counted = instrument if _is_swap(query) else replace(instrument, contract="1")
    return _data(book_sides(counted, bids, asks) | {"ts": str(state.told_ms), "seqId": book.update_id if book else 0})


def funding_rate(state: VenueState, query: Query) -> Any:
    instrument = instrument_of(state, query)
    at_ms, rate = state.next_funding(instrument.wire_id)
    return _data(
        {
            "instType": "SWAP",
            "instId": wire_id(instrument),
            "method": "current_period",
            "fundingRate": f"{rate:.10f}",
            "fundingTime": str(at_ms),
            "nextFundingRate": "",
            "nextFundingTime": str(at_ms + FUNDING_MS),
            "minFundingRate": "-0.00375",
            "maxFundingRate": "0.00375",
            "settState": "settled",
            "ts": str(state.told_ms),
        }
    )


def funding_rate_history(state: VenueState, query: Query) -> Any:
    instrument = instrument_of(state, query)
    before_ms, after_ms = _whole(query, "before", -1), _whole(query, "after", state.now_ms + 1)
    rates = state.funding_rates(instrument.wire_id, before_ms + 1, after_ms - 1)
    limit = min(_whole(query, "limit", MAX_FUNDING), MAX_FUNDING)
    return _data(
        *(
            {
                "instType": "SWAP",
                "instId": wire_id(instrument),
                "fundingRate": f"{rate:.10f}",
                "realizedRate": f"{rate:.10f}",
                "fundingTime": str(at_ms),
                "method": "current_period",
                "formulaType": "noRate",
            }
            for at_ms, rate in reversed(rates[-limit:])
        )
    )


ROUTES: dict[str, dialect.Handler] = {
    "/api/v5/public/time": time,
    "/api/v5/public/instruments": instruments,
    "/api/v5/market/candles": candles,
    "/api/v5/market/history-candles": history_candles,
    "/api/v5/market/ticker": ticker,
    "/api/v5/market/tickers": tickers,
    "/api/v5/market/books": books,
    "/api/v5/public/funding-rate": funding_rate,
    "/api/v5/public/funding-rate-history": funding_rate_history,
}

PER_TWO_SECONDS = {
    "/api/v5/public/time": 10,
    "/api/v5/public/instruments": 20,
    "/api/v5/market/candles": 40,
    "/api/v5/market/history-candles": 20,
    "/api/v5/market/ticker": 20,
    "/api/v5/market/tickers": 20,
    "/api/v5/market/books": 40,
    "/api/v5/public/funding-rate": 10,
    "/api/v5/public/funding-rate-history": 10,
}
BY_INSTRUMENT = ("/api/v5/public/funding-rate", "/api/v5/public/funding-rate-history")


class OkxLimits:
    """Each endpoint counts by itself, the two of funding rates by instrument."""

    def __init__(self, scale: float) -> None:
        self.counters = Counters(scale, fixed=False)

    def admit(self, route: str, query: Mapping[str, str]) -> tuple[dict[str, str], Refusal | None]:
        bucket = f"{route} {query.get('instId', '')}" if route in BY_INSTRUMENT else route
        _, wait_s = self.counters.spend(bucket, Quota(PER_TWO_SECONDS.get(route, 20), 2), 1)
        return {}, Refusal(50011, "Too Many Requests", status=429) if wait_s else None


def _error(status: int) -> Any:
    code, message = (
        ("50011", "Too Many Requests") if status == 429 else ("50001", "Service temporarily unavailable, please try again later.")
    )
    return {"code": code, "msg": message, "data": []}


def _empty() -> Any:
    return {"code": "0", "msg": "", "data": []}


DIALECT = Dialect("okx", ROUTES, error=_error, empty=_empty, rows=lambda payload: payload["data"], limits=OkxLimits)


def _data(*rows: Any) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": list(rows)}


def _whole(query: Query, name: str, default: int) -> int:
    value = query.get(name) or str(default)
    if not value.lstrip("-").isdecimal():
        raise Refusal(51000, f"Parameter {name} error")
    return int(value)


def instrument_of(state: VenueState, query: Query) -> Instrument:
    """The instrument asked for. Raises Refusal."""
    wanted = query.get("instId", "")
    base, _, rest = wanted.partition("-")
    quote = rest.removesuffix("-SWAP")
    instrument = state.instruments.get(f"{base}{quote}") if rest.endswith("-SWAP") else None
    if instrument is None:
        raise Refusal(51001, "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
    return instrument


def timeframe_of(query: Query) -> str:
    """The timeframe asked for, in our spelling. Raises Refusal."""
    try:
        return SPELLED[query.get("bar", "1m")]
    except KeyError:
        raise Refusal(51000, "Parameter bar error") from None


def _page(state: VenueState, instrument: Instrument, timeframe: str, query: Query, oldest_ms: int) -> Any:
    before_ms, after_ms = _whole(query, "before", -1), _whole(query, "after", state.now_ms + 1)
    limit = min(_whole(query, "limit", DEFAULT_CANDLES), MAX_CANDLES)
    if limit < 1:
        raise Refusal(51000, "Parameter limit error")
    bars = state.bars(instrument.wire_id, timeframe, max(before_ms + 1, oldest_ms), after_ms - 1, limit, newest=True)
    rows = [candle(state, instrument, timeframe, bar) for bar in reversed(bars)]
    return _data(*(rows if _is_swap(query) else ([*row[:5], row[6], row[7], *row[7:]] for row in rows)))


def candle(state: VenueState, instrument: Instrument, timeframe: str, bar: Bar) -> list[str]:
    """ts, o, h, l, c, volume in contracts, in coins, in quote currency, and whether the bar is final."""
    at_ms, opened, high, low, close, volume = bar
    prices = [repr(value) for value in (opened, high, low, close, volume / float(instrument.contract), volume, volume * close)]
    return [str(int(at_ms)), *prices, "1" if at_ms + parse(timeframe) <= state.now_ms else "0"]


def ticker_row(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    """An instrument that nobody has traded in a day has empty fields, as on the venue."""
    day, book = state.last_day(instrument.wire_id), state.book(instrument.wire_id)
    bid, ask = book.best() if book else (("", ""), ("", ""))
    contract = float(instrument.contract)
    return {
        "instType": "SWAP",
        "instId": wire_id(instrument),
        "last": repr(day.last) if day else "",
        "lastSz": "1",
        "askPx": ask[0],
        "askSz": contracts(instrument, ask[1]),
        "bidPx": bid[0],
        "bidSz": contracts(instrument, bid[1]),
        "open24h": repr(day.open) if day else "",
        "high24h": repr(day.high) if day else "",
        "low24h": repr(day.low) if day else "",
        "vol24h": repr(day.volume / contract) if day else "",
        "volCcy24h": repr(day.volume) if day else "",
        "ts": str(state.told_ms),
        "sodUtc0": "",
        "sodUtc8": "",
    }


def contracts(instrument: Instrument, quantity: str) -> str:
    """A quantity in base coins, in contracts."""
    return format((Decimal(quantity) / Decimal(instrument.contract)).normalize(), "f") if quantity else ""


def book_sides(instrument: Instrument, bids: list[Level], asks: list[Level]) -> dict[str, list[list[str]]]:
    """Levels as [price, contracts, "0", orders]."""
    sides = {"asks": asks, "bids": bids}
    return {side: [[price, contracts(instrument, size), "0", "1" if size != "0" else "0"] for price, size in sides[side]] for side in sides}


def _is_swap(query: Query) -> bool:
    return query.get("instId", "").endswith("-SWAP")


def _swap_or_pair(state: VenueState, query: Query) -> Instrument:
    return instrument_of(state, query if _is_swap(query) else {"instId": f"{query.get('instId', '')}-SWAP"})


def _pair_row(instrument: Instrument) -> dict[str, Any]:
    pair = {"instType": "SPOT", "instId": f"{instrument.base}-{instrument.quote}", "instFamily": "", "uly": "", "settleCcy": ""}
    pair |= {"baseCcy": instrument.base, "quoteCcy": instrument.quote, "ctVal": "", "ctMult": "", "ctValCcy": "", "ctType": ""}
    return _instrument_row(instrument) | pair | {"lever": "10", "lotSz": instrument.step_size, "minSz": instrument.step_size}


def _instrument_row(instrument: Instrument) -> dict[str, Any]:
    lot = contracts(instrument, instrument.step_size)
    return {
        "instType": "SWAP",
        "instId": wire_id(instrument),
        "instFamily": f"{instrument.base}-{instrument.quote}",
        "uly": f"{instrument.base}-{instrument.quote}",
        "category": "1",
        "baseCcy": "",
        "quoteCcy": "",
        "settleCcy": instrument.quote,
        "ctVal": instrument.contract,
        "ctMult": "1",
        "ctValCcy": instrument.base,
        "ctType": "linear",
        "alias": "",
        "optType": "",
        "stk": "",
        "listTime": "1573557408000",
        "expTime": "",
        "lever": "100",
        "tickSz": instrument.tick_size,
        "lotSz": lot,
        "minSz": lot,
        "maxLmtSz": "100000000",
        "maxMktSz": "85000",
        "ruleType": "normal",
        "state": "live" if instrument.status == "TRADING" else "suspend",
    }
