"""Binance USD-M market streams (https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams).

Served on /ws and /stream (combined: each event in {"stream", "data"}), alone, under /market or /public, with anything or the names of
streams behind them. As on the venue a stream that does not exist is taken without a word and tells nothing.
"""

import json
from collections.abc import Mapping
from typing import Any

from exchanges.timeframes import TIMEFRAME_MS, parse
from tests.venue.binance import kline
from tests.venue.limits import Counters, Quota
from tests.venue.sockets import Exchange, Frame, SentAway
from tests.venue.state import Instrument
from tests.venue.tape import UNTRADED, Bar

MANY_CLOSED = 100
MESSAGES = Quota(10, 1)


class BinanceSession:
    """A client and its streams. Of each stream it is remembered how far it was told: a book's update id, a kline's open."""

    ping_s = 180.0

    def __init__(self, exchange: Exchange, path: str, query: Mapping[str, str]) -> None:
        parts = path.strip("/").split("/")
        kind = next(index for index, part in enumerate(parts) if part in ("ws", "stream"))
        self.route = "/" + "/".join(parts[: kind + 1])
        self._combined = parts[kind] == "stream"
        self._exchange = exchange
        self._counters = Counters(exchange.limits_scale, fixed=False)
        self._streams: dict[str, int | None] = {}
        named = query.get("streams", "").split("/") if self._combined else parts[kind + 1 :]
        self._streams |= {name: self._from(name) for name in named if "@" in name or name.startswith("!")}

    def hear(self, text: str) -> list[Frame]:
        if self._exchange.is_too_much(self._counters, "binance messages", MESSAGES):
            raise SentAway(1008, "Too many requests")
        try:
            asked = json.loads(text)
            method, names, number = asked["method"], asked.get("params", []), asked.get("id")
        except (ValueError, KeyError, TypeError, AttributeError):
            return [_error(None, 2, "Invalid request: request must be an object with a method")]
        self._exchange.note(self.route, {"method": str(method), "params": ",".join(map(str, names))})
        if method == "LIST_SUBSCRIPTIONS":
            return [Frame(json.dumps({"result": list(self._streams), "id": number}))]
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE") or not all(isinstance(name, str) for name in names):
            return [_error(number, 2, f"Invalid request: unknown variant `{method}`")]
        for name in names:
            if method == "UNSUBSCRIBE":
                self._streams.pop(name, None)
            elif self._exchange.faults.strike(self.route, {"symbol": _market(name)}, among=("refuse",)):
                return [_error(number, 2, "Invalid request: invalid stream")]
            else:
                self._streams.setdefault(name, self._from(name))
        return [Frame(json.dumps({"result": None, "id": number}))]

    def beat(self) -> list[Frame]:
        frames: list[Frame] = []
        for name in list(self._streams):
            market, _, channel = name.partition("@")
            if name.startswith("!"):
                texts = self._everything(name[1:])
            else:
                instrument = self._exchange.state.instruments.get(market.upper())
                texts = self._told(name, instrument, channel) if instrument else []
            wrapped = (f'{{"stream":"{name}","data":{text}}}' if self._combined else text for text in texts)
            frames += (Frame(text, market.upper(), name) for text in wrapped)
        return frames

    def _from(self, name: str) -> int | None:
        """Where a stream begins: a book where it is now, so that a snapshot taken from here on meets the events."""
        market, _, channel = name.partition("@")
        known = channel.startswith("depth") and market.upper() in self._exchange.state.instruments
        book = self._exchange.state.book(market.upper()) if known else None
        return book.update_id if book else None

    def _told(self, name: str, instrument: Instrument, channel: str) -> list[str]:
        if channel.startswith("kline_"):
            return self._klines(name, instrument, channel.removeprefix("kline_"))
        if channel == "depth" or channel.startswith("depth@"):
            return self._depth(name, instrument)
        if channel.startswith("markPrice") and not self._exchange.every(1.0 if channel.endswith("@1s") else 3.0):
            return []
        event = EVENTS.get(channel.partition("@")[0])
        return [self._event(event, instrument)] if event else []

    def _event(self, event: Any, instrument: Instrument) -> str:
        text: str = self._exchange.once((event, instrument), lambda: json.dumps(event(self._exchange, instrument)))
        return text

    def _everything(self, channel: str) -> list[str]:
        """A stream of all markets, once a second; of best bids and asks each by itself."""
        event = EVENTS.get(channel.partition("@")[0])
        if event is None or not self._exchange.every(1.0):
            return []
        events = [self._event(event, instrument) for instrument in self._exchange.state.instruments.values()]
        return events if event is book_ticker else [f"[{','.join(events)}]"]

    def _klines(self, name: str, instrument: Instrument, interval: str) -> list[str]:
        """The open bar, and before it the last word on those that closed since the last one."""
        if interval not in TIMEFRAME_MS:
            return []
        state, since_ms = self._exchange.state, self._streams[name]

        def make() -> tuple[list[str], int | None]:
            now_ms = state.now_ms  # before the bars are read: a bar called closed has all that was traded in it
            bars = state.bars(instrument.wire_id, interval, 0 if since_ms is None else since_ms, None, MANY_CLOSED, newest=True)
            bars = bars[-1:] if since_ms is None else bars
            texts = [_kline(instrument, interval, bar, state.told_ms, closed=bar[0] + parse(interval) <= now_ms) for bar in bars]
            if not bars:
                return [], since_ms
            newest_ms = int(bars[-1][0])
            return texts, newest_ms + parse(interval) if newest_ms + parse(interval) <= now_ms else newest_ms

        texts, self._streams[name] = self._exchange.once((interval, instrument, since_ms), make)
        return list(texts)

    def _depth(self, name: str, instrument: Instrument) -> list[str]:
        """What changed since the last event: `pu` is the last `u`, so a client sees when it missed one."""
        state = self._exchange.state
        book = self._exchange.once(("book", instrument), lambda: state.book(instrument.wire_id, stir=True))
        if book is None:
            return []
        after_id = self._streams[name]
        self._streams[name] = book.update_id
        if after_id is None or after_id == book.update_id:
            return []

        def make() -> str:
            change = book.since(after_id)
            return json.dumps(
                {
                    "e": "depthUpdate",
                    "E": state.told_ms,
                    "T": state.told_ms,
                    "s": instrument.wire_id,
                    "U": change.after_id + 1,
                    "u": change.last_id,
                    "pu": change.after_id,
                    "b": change.bids,
                    "a": change.asks,
                }
            )

        return [self._exchange.once(("depth", instrument, after_id), make)]


def mini_ticker(exchange: Exchange, instrument: Instrument) -> dict[str, Any]:
    state = exchange.state
    day = state.last_day(instrument.wire_id) or UNTRADED
    prices = {"c": repr(day.last), "o": repr(day.open), "h": repr(day.high), "l": repr(day.low)}
    head = {"e": "24hrMiniTicker", "E": state.told_ms, "s": instrument.wire_id}
    return head | prices | {"v": repr(day.volume), "q": repr(day.turnover)}


def ticker(exchange: Exchange, instrument: Instrument) -> dict[str, Any]:
    state = exchange.state
    day = state.last_day(instrument.wire_id) or UNTRADED
    return mini_ticker(exchange, instrument) | {
        "e": "24hrTicker",
        "p": repr(day.last - day.open),
        "P": f"{(day.last / day.open - 1.0) * 100.0 if day.open else 0.0:.3f}",
        "w": repr(day.turnover / day.volume if day.volume else 0.0),
        "Q": "0.010",
        "O": day.first_ms,
        "C": state.told_ms,
        "F": 1,
        "L": 100,
        "n": 100,
    }


def mark_price(exchange: Exchange, instrument: Instrument) -> dict[str, Any]:
    state = exchange.state
    price = repr(state.price(instrument.wire_id) or 0.0)
    at_ms, rate = state.next_funding(instrument.wire_id)
    head = {"e": "markPriceUpdate", "E": state.told_ms, "s": instrument.wire_id}
    return head | {"p": price, "i": price, "P": price, "r": f"{rate:.8f}", "T": at_ms}


def book_ticker(exchange: Exchange, instrument: Instrument) -> dict[str, Any]:
    state = exchange.state
    book = exchange.once(("book", instrument), lambda: state.book(instrument.wire_id, stir=True))
    bid, ask = book.best() if book else (("0", "0"), ("0", "0"))
    head = {"e": "bookTicker", "u": book.update_id if book else 0, "s": instrument.wire_id}
    return head | {"b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1], "T": state.told_ms, "E": state.told_ms}


EVENTS = {"miniTicker": mini_ticker, "ticker": ticker, "markPrice": mark_price, "bookTicker": book_ticker}


def _kline(instrument: Instrument, interval: str, bar: Bar, at_ms: int, *, closed: bool) -> str:
    fields = kline(bar, parse(interval))
    names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
    told = {"s": instrument.wire_id, "i": interval, "f": 1, "L": 100, "x": closed} | dict(zip(names, fields, strict=True))
    return json.dumps({"e": "kline", "E": at_ms, "s": instrument.wire_id, "k": told})


def _market(name: str) -> str:
    return name.partition("@")[0].upper()


def _error(number: Any, code: int, message: str) -> Frame:
    return Frame(json.dumps({"error": {"code": code, "msg": message}, "id": number}))


SOCKETS = {f"{folder}/{kind}": BinanceSession for folder in ("", "/market", "/public") for kind in ("ws", "stream")}
"""Whatever lies below these paths."""
