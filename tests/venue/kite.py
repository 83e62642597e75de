"""Kite Connect 3, as kiteconnect 5.2 and https://kite.trade/docs/connect/v3 have it. Whatever the state lists is a share in INR on the NSE,
unless it is quoted in USD."""

from collections.abc import Mapping
from datetime import UTC, datetime, time
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

from exchanges.timeframes import parse
from tests.venue import dialect
from tests.venue.dialect import Dialect, Query
from tests.venue.limits import Counters, Quota
from tests.venue.state import Instrument, VenueState

KEY, TOKEN = "kite-test-key", "kite-test-token"
INDIA = ZoneInfo("Asia/Kolkata")
INTERVALS = {"minute": ("1m", 60), "3minute": ("3m", 100), "5minute": ("5m", 100), "15minute": ("15m", 200)}
"""The timeframe and the most days of a request."""
COLUMNS = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange"
FIRST_TOKEN = 408_065
DAY_S = 86_400
QUOTAS = {"historical": Quota(3, 1), "quote": Quota(1, 1)}


class Refusal(dialect.Refusal):
    """Kite's own error: a kind, which its client turns into an exception of that name, and a message."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, {"status": "error", "message": message, "data": None, "error_type": kind})


def instruments(state: VenueState, query: Query) -> Any:
    """The list has indices and government bonds among its shares."""
    _check_token(query)
    rows = [COLUMNS, '256265,1001,NIFTY 50,"NIFTY 50",0,,0,0,0,EQ,INDICES,NSE']
    for token, instrument in _listed(state).items():
        tick, lot = instrument.tick_size, int(float(instrument.step_size)) or 1
        rows.append(f'{token},{token // 256},{instrument.base},"{instrument.base} LIMITED",0,,0,{tick},{lot},EQ,NSE,NSE')
    return ("\n".join(rows) + "\n").encode()


def historical(state: VenueState, query: Query) -> Any:
    """Both ends count; the bar that is open is told like any other."""
    _check_token(query)
    if query["interval"] not in INTERVALS:
        raise Refusal(400, "InputException", "invalid interval")
    timeframe, days = INTERVALS[query["interval"]]
    first, last = (datetime.strptime(query[name], "%Y-%m-%d %H:%M:%S").replace(tzinfo=INDIA) for name in ("from", "to"))
    if (last - first).total_seconds() > days * DAY_S:
        raise Refusal(400, "InputException", f"interval exceeds max limit: {days} days")
    instrument = _listed(state).get(int(query["token"]))
    if instrument is None:
        raise Refusal(400, "InputException", "invalid token")
    rows = state.bars(instrument.wire_id, timeframe, _ms(first), _ms(last), 100_000)
    return _data({"candles": [[f"{_at(int(row[0])):%Y-%m-%dT%H:%M:%S%z}", *row[1:6]] for row in rows]})


def quotes(state: VenueState, query: Query) -> Any:
    """What is not listed is left out of the answer."""
    _check_token(query)
    by_name = {f"NSE:{instrument.base}": (token, instrument) for token, instrument in _listed(state).items()}
    return _data({name: _quote(state, *by_name[name]) for name in query["i"].split(",") if name in by_name})


def last_prices(state: VenueState, query: Query) -> Any:
    _check_token(query)
    return _data({name: {"instrument_token": 256265, "last_price": 21_731.4} for name in query["i"].split(",")})


class KiteLimits:
    """Candles, quotes and everything else count by themselves, by the second."""

    def __init__(self, scale: float) -> None:
        self.counters = Counters(scale, fixed=False)

    def admit(self, route: str, query: Mapping[str, str]) -> tuple[dict[str, str], Refusal | None]:
        bucket = "historical" if "historical" in route else route.split("/")[1]
        _, wait_s = self.counters.spend(bucket, QUOTAS.get(bucket, Quota(10, 1)), 1)
        return {}, Refusal(429, "NetworkException", "Too many requests") if wait_s else None


DIALECT = Dialect(
    "kite",
    {
        "/instruments/NSE": instruments,
        "/instruments/historical/{token}/{interval}": historical,
        "/quote": quotes,
        "/quote/ltp": last_prices,
    },
    error=lambda status: {
        "status": "error",
        "message": "Too many requests" if status == 429 else "Gateway timed out",
        "data": None,
        "error_type": "NetworkException",
    },
    empty=lambda: _data({"candles": []}),
    rows=lambda payload: payload["data"]["candles"],
    limits=KiteLimits,
    head=lambda state: {"Date": format_datetime(datetime.fromtimestamp(state.told_ms // 1000, UTC), usegmt=True)},
)


def opened(day: Any) -> int:
    """When the session of a day begins, ms UTC."""
    return _ms(datetime.combine(day, time(9, 15), INDIA))


def token_of(state: VenueState, base: str) -> int:
    return next(token for token, instrument in _listed(state).items() if instrument.base == base)


def _listed(state: VenueState) -> dict[int, Instrument]:
    """A share that is delisted is not in the list any more."""
    shares = [instrument for instrument in state.instruments.values() if instrument.quote != "USD"]
    return {FIRST_TOKEN + 256 * number: share for number, share in enumerate(shares) if share.status == "TRADING"}


def _check_token(query: Query) -> None:
    if query.get("header:x-kite-version") != "3":
        raise Refusal(400, "InputException", "X-Kite-Version header is missing")
    if query.get("header:authorization") != f"token {KEY}:{TOKEN}":
        raise Refusal(403, "TokenException", "Incorrect `api_key` or `access_token`.")


def _quote(state: VenueState, token: int, instrument: Instrument) -> dict[str, Any]:
    """The last trade is that of the finest bar, a second before it ended, or now. Of five levels those that nobody offers are zeros."""
    finest = state.finest(instrument.wire_id)
    newest = state.bars(instrument.wire_id, finest, 0, None, 1, newest=True) if finest else []
    if not newest or finest is None:
        traded, last, before, side = None, 0, 0, [_level(0, 0)] * 5
        depth = {"buy": side, "sell": side}
    else:
        traded_ms, last = min(int(newest[0][0]) + parse(finest) - 1000, state.now_ms), newest[0][4]
        traded = f"{_at(traded_ms):%Y-%m-%d %H:%M:%S}"
        midnight_ms = _ms(datetime.combine(_at(traded_ms).date(), time(), INDIA))
        earlier = state.bars(instrument.wire_id, finest, 0, midnight_ms - 1, 1, newest=True)
        before = earlier[0][4] if earlier else 0
        step = float(instrument.tick_size)
        depth = {
            "buy": [_level(round(last - step * number, 2), 10 * number) for number in (1, 2, 3)] + [_level(0, 0)] * 2,
            "sell": [_level(round(last + step * number, 2), 10 * number) for number in (1, 2, 3)] + [_level(0, 0)] * 2,
        }
    return {
        "instrument_token": token,
        "timestamp": f"{_at(state.now_ms):%Y-%m-%d %H:%M:%S}",
        "last_trade_time": traded,
        "last_price": last,
        "ohlc": {"open": last, "high": last, "low": last, "close": before},
        "depth": depth,
    }


def _level(price: float, quantity: int) -> dict[str, Any]:
    return {"price": price, "quantity": quantity, "orders": 1 if quantity else 0}


def _data(payload: Any) -> Any:
    return {"status": "success", "data": payload}


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, INDIA)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
