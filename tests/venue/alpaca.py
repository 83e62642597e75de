"""Alpaca's market data and the few routes of its trading host that go with it, as alpaca-py 0.44 and https://docs.alpaca.markets have them.

Whatever the state lists is a share in USD, unless it is quoted in INR. Bars are told as the state has them, before and after the session, too. The calendar knows the
holidays and half days of 2024; other years have weekends only.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from time import time as now_s
from typing import Any
from zoneinfo import ZoneInfo

from exchanges.timeframes import parse
from tests.venue import dialect
from tests.venue.dialect import Dialect, Query
from tests.venue.limits import Counters, Quota
from tests.venue.state import Instrument, VenueState

KEY, SECRET = "PKTESTKEY", "test-secret"
NEW_YORK = ZoneInfo("America/New_York")
FRAMES = {"1Min": "1m", "3Min": "3m", "5Min": "5m", "15Min": "15m", "30Min": "30m", "1Hour": "1h"}
MAX_BARS = 10_000
DEFAULT_BARS = 1_000
A_MINUTE = Quota(200, 60)
HOLIDAYS = frozenset(
    date(2024, month, day) for month, day in ((1, 1), (1, 15), (2, 19), (3, 29), (5, 27), (6, 19), (7, 4), (9, 2), (11, 28), (12, 25))
)
HALF_DAYS = frozenset((date(2024, 7, 3), date(2024, 11, 29), date(2024, 12, 24)))


class Refusal(dialect.Refusal):
    """The trading host adds a code to its message, the data host does not."""

    def __init__(self, status: int, message: str, code: int | None = None) -> None:
        super().__init__(status, {"message": message} if code is None else {"code": code, "message": message})


def bars(state: VenueState, query: Query) -> Any:
    _check_data_key(query)
    limit = int(query.get("limit", DEFAULT_BARS))
    if not 1 <= limit <= 10_000:
        raise Refusal(400, f"invalid limit: {limit}")
    if query.get("timeframe") not in FRAMES:
        raise Refusal(400, f"invalid timeframe: {query.get('timeframe')}")
    if query.get("adjustment") not in ("raw", "split", "dividend", "all"):
        raise Refusal(400, "invalid adjustment")
    _check_feed(query)
    (name,) = query["symbols"].split(",")
    instrument = _find(state, name)
    if instrument is None:
        return {"bars": {}, "next_page_token": None}
    token = query.get("page_token")
    start_ms = int(b64decode(token)) if token else _ms(query["start"])
    if start_ms > state.now_ms:
        raise Refusal(400, "end should not be before start")
    length_ms = parse(FRAMES[query["timeframe"]])
    found = state.bars(instrument.wire_id, FRAMES[query["timeframe"]], start_ms, None, min(limit, MAX_BARS) + 1)
    page, more = found[: min(limit, MAX_BARS)], len(found) > min(limit, MAX_BARS)
    following = b64encode(str(int(page[-1][0]) + length_ms).encode()).decode() if more else None
    return {"bars": {name: [_bar(row) for row in page]} if page else {}, "next_page_token": following}


def snapshots(state: VenueState, query: Query) -> Any:
    _check_data_key(query)
    _check_feed(query)
    found = {name: _find(state, name) for name in query["symbols"].split(",")}
    return {name: None if instrument is None else _snapshot(state, instrument) for name, instrument in found.items()}


def latest_quotes(state: VenueState, query: Query) -> Any:
    _check_data_key(query)
    _check_feed(query)
    found = {name: _find(state, name) for name in query["symbols"].split(",")}
    return {"quotes": {name: _quote(state, instrument) for name, instrument in found.items() if instrument is not None}}


def clock(state: VenueState, query: Query) -> Any:
    _check_trading_key(query)
    now = _at(state.told_ms).astimezone(NEW_YORK)
    return {"timestamp": now.isoformat(), "is_open": False, "next_open": now.isoformat(), "next_close": now.isoformat()}


def calendar(state: VenueState, query: Query) -> Any:
    _check_trading_key(query)
    day, last = date.fromisoformat(query["start"]), date.fromisoformat(query["end"])
    days = []
    while day <= last:
        if day.weekday() < 5 and day not in HOLIDAYS:
            close = "13:00" if day in HALF_DAYS else "16:00"
            days.append({"date": day.isoformat(), "open": "09:30", "close": close, "session_open": "0400", "session_close": "2000"})
        day += timedelta(days=1)
    return days


def always_open(state: VenueState, query: Query) -> Any:
    """A calendar for tests that know no nights."""
    _check_trading_key(query)
    first, last = date.fromisoformat(query["start"]), date.fromisoformat(query["end"])
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [{"date": day.isoformat(), "open": "00:00", "close": "24:00"} for day in days]


def assets(state: VenueState, query: Query) -> Any:
    _check_trading_key(query)
    listed = [_asset(instrument) for instrument in state.instruments.values() if instrument.quote != "INR"]
    return [asset for asset in listed if query.get("status") in (None, asset["status"])]


def asset(state: VenueState, query: Query) -> Any:
    _check_trading_key(query)
    instrument = _find(state, query["symbol"])
    if instrument is None:
        raise Refusal(404, f"asset not found for {query['symbol']}", 40410000)
    return _asset(instrument)


def _rows(payload: Any) -> Any:
    return next(iter(payload["bars"].values()), [])


class AlpacaLimits:
    """The data host and the trading host count by themselves, and say in seconds since 1970 when the minute is over."""

    def __init__(self, scale: float) -> None:
        self.counters = Counters(scale, fixed=True)

    def admit(self, route: str, query: Mapping[str, str]) -> tuple[dict[str, str], Refusal | None]:
        used, wait_s = self.counters.spend("data" if route.startswith("/v2/stocks") else "trading", A_MINUTE, 1)
        reset_s = now_s() + (wait_s or A_MINUTE.per_s)
        head = {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": f"{max(0, 200 - used):.0f}", "X-RateLimit-Reset": f"{reset_s:.0f}"}
        return head, Refusal(429, "too many requests.") if wait_s else None


DIALECT = Dialect(
    "alpaca",
    {
        "/v2/stocks/bars": bars,
        "/v2/stocks/snapshots": snapshots,
        "/v2/stocks/quotes/latest": latest_quotes,
        "/v2/clock": clock,
        "/v2/calendar": calendar,
        "/v2/assets": assets,
        "/v2/assets/{symbol}": asset,
    },
    error=lambda status: {"message": "too many requests." if status == 429 else "internal server error occurred"},
    empty=lambda: {"bars": {}, "next_page_token": None},
    rows=_rows,
    limits=AlpacaLimits,
)


def opened(day: date) -> int:
    """When the session of a day begins, ms UTC."""
    return int(datetime.combine(day, time(9, 30), NEW_YORK).timestamp() * 1000)


def _find(state: VenueState, name: str) -> Instrument | None:
    if name != name.upper():
        raise Refusal(400, f"invalid symbol: {name}")
    return next((each for each in state.instruments.values() if each.base == name and each.quote != "INR"), None)


def _check_data_key(query: Query) -> None:
    if (query.get("header:apca-api-key-id"), query.get("header:apca-api-secret-key")) != (KEY, SECRET):
        raise Refusal(403, "forbidden.")


def _check_trading_key(query: Query) -> None:
    if (query.get("header:apca-api-key-id"), query.get("header:apca-api-secret-key")) != (KEY, SECRET):
        raise Refusal(401, "request is not authorized.", 40110000)


def _check_feed(query: Query) -> None:
    """A free account may ask IEX for everything, the consolidated feed for what is older than 15 minutes: here, always to the present."""
    if query.get("feed") not in ("iex", "sip"):
        raise Refusal(400, f"invalid feed: {query.get('feed')}")
    if query["feed"] == "sip":
        raise Refusal(403, "subscription does not permit querying recent SIP data")


def _bar(row: tuple[float, ...]) -> dict[str, Any]:
    at_ms, opened_at, high, low, close, volume = row
    return {"t": _told(int(at_ms)), "o": opened_at, "h": high, "l": low, "c": close, "v": volume, "n": 100, "vw": close}


def _snapshot(state: VenueState, instrument: Instrument) -> dict[str, Any] | None:
    """The last trade is the last one of the finest bar, a second before that ended, or now."""
    finest = state.finest(instrument.wire_id)
    newest = state.bars(instrument.wire_id, finest, 0, None, 1, newest=True) if finest else []
    if not newest or finest is None:
        return None
    traded_ms = min(int(newest[0][0]) + parse(finest) - 1000, state.now_ms)
    midnight = datetime.combine(_at(traded_ms).astimezone(NEW_YORK).date(), time(), NEW_YORK)
    before = state.bars(instrument.wire_id, finest, 0, int(midnight.timestamp() * 1000) - 1, 1, newest=True)
    return {
        "latestTrade": {"t": _told(traded_ms, nanos=True), "x": "V", "p": newest[0][4], "s": 100, "c": ["@"], "i": 1, "z": "C"},
        "latestQuote": _quote(state, instrument),
        "minuteBar": _bar(newest[0]),
        "dailyBar": _bar(newest[0]),
        "prevDailyBar": _bar(before[0]) if before else None,
    }


def _quote(state: VenueState, instrument: Instrument) -> dict[str, Any]:
    """Nobody asks a price before the first trade."""
    price = state.price(instrument.wire_id)
    ask = {"ap": 0, "as": 0} if price is None else {"ap": round(price + 0.01, 2), "as": 3}
    bid = {"bp": 1.0, "bs": 1} if price is None else {"bp": round(price - 0.01, 2), "bs": 2}
    return {"t": _told(state.now_ms, nanos=True), "ax": "V", **ask, "bx": "V", **bid, "c": ["R"], "z": "C"}


def _asset(instrument: Instrument) -> dict[str, Any]:
    trades = instrument.status == "TRADING"
    return {
        "id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
        "class": "us_equity",
        "exchange": "NASDAQ",
        "symbol": instrument.base,
        "name": f"{instrument.base} Inc. Common Stock",
        "status": "active" if trades else "inactive",
        "tradable": trades,
        "marginable": True,
        "shortable": True,
        "easy_to_borrow": True,
        "fractionable": instrument.step_size != "1",
        "attributes": [],
    }


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _told(ms: int, *, nanos: bool = False) -> str:
    return _at(ms).strftime("%Y-%m-%dT%H:%M:%S") + (".123456789Z" if nanos else "Z")


def _ms(told: str) -> int:
    return int(datetime.fromisoformat(told).timestamp() * 1000)
