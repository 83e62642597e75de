"""OKX's public sockets (https://www.okx.com/docs-v5/en/#overview-websocket): /public for tickers, books and funding, /business for candles.

Candles are those of days in UTC, as over HTTP.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from exchanges.timeframes import parse
from tests.venue import okx
from tests.venue.limits import Counters, Quota
from tests.venue.sockets import Exchange, Frame
from tests.venue.state import Instrument

DEPTHS = {"books": 400, "books5": 5, "bbo-tbt": 1}
MANY_CLOSED = 100
SUBSCRIPTIONS = Quota(480, 3600)
Topic = tuple[str, str]


class OkxSession:
    """A client and its channels. Of each (channel, instId) it is remembered how far it was told: a book's update id, a candle's open.
    OKX does not ping: its clients do, in text."""

    ping_s = 0.0

    def __init__(self, exchange: Exchange, path: str, query: Mapping[str, str]) -> None:
        self.route = path.rstrip("/")
        self._exchange = exchange
        self._counters = Counters(exchange.limits_scale, fixed=False)
        self._channels: dict[Topic, int | None] = {}

    def hear(self, text: str) -> list[Frame]:
        if text == "ping":
            return [Frame("pong")]
        try:
            asked = json.loads(text)
            operation, topics = asked["op"], [(arg["channel"], arg["instId"]) for arg in asked["args"]]
        except (ValueError, KeyError, TypeError):
            return [_error(60012, f"Illegal request: {text}")]
        if operation not in ("subscribe", "unsubscribe"):
            return [_error(60012, f"Illegal request: {text}")]
        if self._exchange.is_too_much(self._counters, "okx subscriptions", SUBSCRIPTIONS):
            return [_error(60014, "Requests too frequent")]
        return [self._asked(operation, topic) for topic in topics]

    def beat(self) -> list[Frame]:
        frames: list[Frame] = []
        for topic in list(self._channels):
            instrument = okx.instrument_of(self._exchange.state, {"instId": topic[1]})
            frames += (Frame(text, topic[1], topic) for text in self._told(topic, instrument))
        return frames

    def _asked(self, operation: str, topic: Topic) -> Frame:
        channel, name = topic
        self._exchange.note(self.route, {"op": operation, "channel": channel, "instId": name})
        arg = {"channel": channel, "instId": name}
        if operation == "unsubscribe":
            self._channels.pop(topic, None)
        elif self._exchange.faults.strike(self.route, {"symbol": name}, among=("refuse",)):
            return _error(60018, f"Wrong URL or channel:{channel},instId:{name} doesn't exist.")
        else:
            try:
                okx.instrument_of(self._exchange.state, {"instId": name})
            except okx.Refusal:
                return _error(60018, f"Wrong URL or channel:{channel},instId:{name} doesn't exist.")
            if not self._serves(channel):
                return _error(60018, f"Wrong URL or channel:{channel},instId:{name} doesn't exist.")
            self._channels[topic] = None
        return Frame(json.dumps({"event": operation, "arg": arg, "connId": "a4d3ae55"}))

    def _serves(self, channel: str) -> bool:
        if self.route.endswith("/business"):
            return channel.removeprefix("candle") in okx.SPELLED and channel.startswith("candle")
        return channel in DEPTHS or channel in EVENTS

    def _told(self, topic: Topic, instrument: Instrument) -> list[str]:
        channel = topic[0]
        if channel == "books":
            return self._book(topic, instrument)
        if channel in DEPTHS:
            return [self._exchange.once((channel, instrument), lambda: self._top(topic, instrument))]
        if channel.startswith("candle"):
            return self._candles(topic, instrument, okx.SPELLED[channel.removeprefix("candle")])
        every_s, event = EVENTS[channel]
        if self._channels[topic] is not None and not self._exchange.every(every_s):
            return []
        self._channels[topic] = 0
        return [self._exchange.once((channel, instrument), lambda: _event(topic, event(self._exchange, instrument)))]

    def _candles(self, topic: Topic, instrument: Instrument, timeframe: str) -> list[str]:
        """The open bar, and before it the last word on those that closed since the last one."""
        state, since_ms = self._exchange.state, self._channels[topic]

        def make() -> tuple[list[str], int | None]:
            bars = state.bars(instrument.wire_id, timeframe, 0 if since_ms is None else since_ms, None, MANY_CLOSED, newest=True)
            bars = bars[-1:] if since_ms is None else bars
            if not bars:
                return [], since_ms
            newest_ms, length_ms = int(bars[-1][0]), parse(timeframe)
            texts = [_event(topic, okx.candle(state, instrument, timeframe, bar)) for bar in bars]
            return texts, newest_ms + length_ms if newest_ms + length_ms <= state.now_ms else newest_ms

        texts, self._channels[topic] = self._exchange.once((topic, since_ms), make)
        return list(texts)

    def _book(self, topic: Topic, instrument: Instrument) -> list[str]:
        """A snapshot, then what changed: `prevSeqId` is the last `seqId`, so a client sees when it missed one."""
        book = _stirred(self._exchange, instrument)
        if book is None:
            return []
        after_id = self._channels[topic]
        self._channels[topic] = book.update_id
        if after_id == book.update_id:
            return []

        def make() -> str:
            change = book.since(after_id) if after_id is not None else None
            action, bids, asks = ("update", change.bids, change.asks) if change else ("snapshot", *book.levels(DEPTHS["books"]))
            ids = {
                "prevSeqId": after_id if change else -1,
                "seqId": book.update_id,
                "checksum": _checksum(okx.book_sides(instrument, *book.levels(25))),
            }
            row = okx.book_sides(instrument, bids, asks) | {"ts": str(self._exchange.state.told_ms)} | ids
            return json.dumps({"arg": _arg(topic), "action": action, "data": [row]})

        return [self._exchange.once(("book text", instrument, after_id), make)]

    def _top(self, topic: Topic, instrument: Instrument) -> str:
        book = _stirred(self._exchange, instrument)
        bids, asks = book.levels(DEPTHS[topic[0]]) if book else ([], [])
        ids = {"instId": topic[1], "ts": str(self._exchange.state.told_ms), "seqId": book.update_id if book else 0}
        return _event(topic, okx.book_sides(instrument, bids, asks) | ids)


def ticker(exchange: Exchange, instrument: Instrument) -> Any:
    return okx.ticker_row(exchange.state, instrument)


def funding_rate(exchange: Exchange, instrument: Instrument) -> Any:
    return okx.funding_rate(exchange.state, {"instId": okx.wire_id(instrument)})["data"][0]


def mark_price(exchange: Exchange, instrument: Instrument) -> Any:
    price = exchange.state.price(instrument.wire_id) or 0.0
    return {"instType": "SWAP", "instId": okx.wire_id(instrument), "markPx": repr(price), "ts": str(exchange.state.told_ms)}


EVENTS: dict[str, tuple[float, Callable[[Exchange, Instrument], Any]]] = {
    "tickers": (0.0, ticker),
    "mark-price": (0.2, mark_price),
    "funding-rate": (30.0, funding_rate),
}
"""How often a channel tells, in seconds, and what; once when subscribed to."""


def _stirred(exchange: Exchange, instrument: Instrument) -> Any:
    return exchange.once(("book", instrument), lambda: exchange.state.book(instrument.wire_id, stir=True))


def _checksum(sides: dict[str, list[list[str]]]) -> int:
    """CRC-32 (signed) of the best 25 levels of both sides in turn, as "price:quantity" text."""
    parts = [f"{level[0]}:{level[1]}" for pair in zip(sides["bids"][:25], sides["asks"][:25], strict=False) for level in pair]
    value = zlib.crc32(":".join(parts).encode())
    return value - (1 << 32) if value >= 1 << 31 else value


def _arg(topic: Topic) -> dict[str, str]:
    return {"channel": topic[0], "instId": topic[1]}


def _event(topic: Topic, row: Any) -> str:
    return json.dumps({"arg": _arg(topic), "data": [row]})


def _error(code: int, message: str) -> Frame:
    return Frame(json.dumps({"event": "error", "code": str(code), "msg": message, "connId": "a4d3ae55"}))


SOCKETS = {"/ws/v5/public": OkxSession, "/ws/v5/business": OkxSession}
