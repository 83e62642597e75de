"""The venue's WebSocket face: connections that speak a dialect, one beat that moves them all, and what can go wrong with them.

A dialect gives a Session per path: what it answers to a message, and the frames it owes its client at each beat. A frame is made once a
beat, however many clients are sent it.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from tests.venue.faults import FRAME_KINDS, FaultScript
from tests.venue.limits import Counters, Quota
from tests.venue.state import VenueState

log = logging.getLogger(__name__)

MOST_UNANSWERED = 3
GARBAGE = '{"e":"kline","E":17040672'


class Frame(NamedTuple):
    """A message to the client. `symbol` is what faults know its market by; `topic` what it is about."""

    text: str
    symbol: str = ""
    topic: Hashable = None


class SentAway(Exception):
    """The venue ends the connection, with a close code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Session(Protocol):
    """One client's side of a dialect. `route` is what faults and calls know the socket by; every `ping_s` seconds the venue pings, and
    ends with a client that left three pings unanswered (0: never)."""

    route: str
    ping_s: float

    def hear(self, text: str) -> list[Frame]:
        """Replies to a message. Raises SentAway."""
        ...

    def beat(self) -> list[Frame]:
        """What is due now."""
        ...


SessionMaker = Callable[["Exchange", str, Mapping[str, str]], Session]


class Exchange:
    """What sessions share: the state, the faults, the number of the beat and what was already made for it.

    `rate` is how often a second each market of each stream tells; `peaks` are the most messages one client sent within a window.
    """

    def __init__(self, state: VenueState, faults: FaultScript, note: Callable[[str, dict[str, str]], None], limits_scale: float) -> None:
        self.state, self.faults, self.note = state, faults, note
        self.limits_scale, self.enforce_limits = limits_scale, False
        self.rate = 10.0
        self.peaks: dict[str, float] = {}
        self.number, self.at_ms = 0, state.now_ms
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once a beat."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def is_too_much(self, counters: Counters, bucket: str, quota: Quota) -> bool:
        """Count a client's message; whether the venue has had enough of it."""
        used, wait_s = counters.spend(bucket, quota, 1)
        self.peaks[bucket] = max(self.peaks.get(bucket, 0.0), used)
        return bool(wait_s) and self.enforce_limits

    def every(self, seconds: float) -> bool:
        """Whether this is a beat of something that goes out less often."""
        return self.number % max(1, round(seconds * self.rate)) == 0

    def next(self) -> None:
        self.number, self.at_ms = self.number + 1, self.state.now_ms
        self._made.clear()


class Sockets:
    """All connections. `connections` and `sent` (frames) are for whoever wants to know how many there are."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.connections: set[Connection] = set()
        self.sent = 0
        self._beat = asyncio.Event()

    async def serve(self, request: web.Request, session: Session) -> web.StreamResponse:
        """Speak with one client until it goes or is sent away."""
        socket = web.WebSocketResponse(autoping=False, compress=False)
        await socket.prepare(request)
        connection = Connection(self, request, socket, session)
        self.connections.add(connection)
        writer = asyncio.create_task(connection.write())
        try:
            await connection.read()
        finally:
            writer.cancel()
            self.connections.discard(connection)
        return socket

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + 1.0 / self.exchange.rate, loop.time())
            await asyncio.sleep(due - loop.time())
            self.exchange.next()
            self._beat.set()
            self._beat = asyncio.Event()

    async def wait(self) -> None:
        """Until the next beat."""
        await self._beat.wait()

    def drop(self, route: str = "") -> None:
        """Cut connections (of a route) without a word, as when a cable is cut: the client sees code 1006."""
        for connection in self._of(route):
            connection.drop()

    def silence(self, route: str = "") -> None:
        """Keep connections (of a route) open and tell them nothing more, not even that their pings arrive."""
        for connection in self._of(route):
            connection.silent = True

    async def disconnect(self, route: str = "") -> None:
        """Close connections (of a route) in order, as a venue does after 24 hours."""
        await asyncio.gather(*(connection.close() for connection in self._of(route)))

    def _of(self, route: str) -> list["Connection"]:
        return [connection for connection in self.connections if route in ("", connection.session.route)]


class Connection:
    """One client, until it goes, is dropped or closed; once `silent` it is told nothing more."""

    def __init__(self, sockets: Sockets, request: web.Request, socket: web.WebSocketResponse, session: Session) -> None:
        self.session, self.silent = session, False
        self._unanswered = 0
        self._sockets, self._request, self._socket = sockets, request, socket
        self._last: dict[Hashable, str] = {}

    async def read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.PING and not self.silent:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._unanswered = 0
            elif message.type is WSMsgType.TEXT:
                try:
                    replies = self.session.hear(message.data)
                except SentAway as end:
                    await self.close(end.code, end.reason)
                    return
                for frame in replies:
                    await self._send(frame)

    async def write(self) -> None:
        """Send what is due at each beat; a client that reads too slowly misses beats, no other is held up."""
        exchange = self._sockets.exchange
        try:
            while True:
                await self._sockets.wait()
                await self._ping()
                with exchange.state.at(exchange.at_ms):
                    frames = self.session.beat()
                for frame in frames:
                    await self._send(frame)
        except ConnectionError as error:
            log.debug("a client left: %s", error)
        except Exception:
            log.exception("a session failed")
            self.drop()

    async def _ping(self) -> None:
        if not self.session.ping_s or self.silent or not self._sockets.exchange.every(self.session.ping_s):
            return
        if self._unanswered == MOST_UNANSWERED:
            await self.close(WSCloseCode.POLICY_VIOLATION, "Pong timeout")
            return
        self._unanswered += 1
        await self._socket.ping()

    def drop(self) -> None:
        """Cut the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self, code: int = WSCloseCode.OK, reason: str = "") -> None:
        """The orderly end."""
        await self._socket.close(code=code, message=reason.encode())

    async def _send(self, frame: Frame) -> None:
        query = {"symbol": frame.symbol}
        fault = self._sockets.exchange.faults.strike(self.session.route, query, among=FRAME_KINDS)
        kind = fault.kind if fault else None
        if kind == "drop":
            self.drop()
        elif kind == "disconnect":
            await self.close()
        elif kind == "silent":
            self.silent = True
        if self.silent or kind in ("drop", "disconnect", "missed") or self._socket.closed:
            return
        text = GARBAGE if kind == "garbage" else self._last.get(frame.topic, frame.text) if kind == "stale" else frame.text
        self._last[frame.topic] = text if kind != "garbage" else self._last.get(frame.topic, frame.text)
        self._sockets.sent += 1
        await self._socket.send_str(text)
