"""The venue's HTTP face: an aiohttp application in a thread of its own, every call logged, faults injected around the dialect's answer.

Faults are scripted from Python (venue.script) or from another process (control.py).
"""

import asyncio
import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from tests.venue import alpaca, binance, binance_spot, binance_streams, bitget, bitget_spot, bybit, control, kite, okx, okx_streams
from tests.venue.dialect import Dialect, Handler, Query, Refusal
from tests.venue.faults import DEFORMED, HANDSHAKE_KINDS, Fault, FaultScript, deform
from tests.venue.sockets import Exchange, SessionMaker, Sockets
from tests.venue.state import VenueState

DIALECTS: tuple[Dialect, ...] = (
    binance.DIALECT,
    binance_spot.DIALECT,
    okx.DIALECT,
    bybit.DIALECT,
    bitget.DIALECT,
    bitget_spot.DIALECT,
    alpaca.DIALECT,
    kite.DIALECT,
)
SOCKETS: dict[str, SessionMaker] = {**binance_streams.SOCKETS, **okx_streams.SOCKETS}
HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
START_S = 10.0


class TestVenue:
    """A running venue; a context manager. `calls` lists (route, query) of every request in order; `routes` may be replaced one by one.

    With `enforce_limits` it turns away who asks more than the venue allows in a minute / `limits_scale`; it counts in any case.
    """

    __test__ = False  # not a test, whatever its name

    def __init__(self, state: VenueState, *, port: int = 0, enforce_limits: bool = False, limits_scale: float = 1.0) -> None:
        self.state = state
        self.turned_away = 0
        self.faults = FaultScript(SOCKETS)
        self.calls: list[tuple[str, Query]] = []
        self.routes: dict[str, Handler] = {}
        self._dialects: dict[str, Dialect] = {}
        for dialect in DIALECTS:
            self.routes |= dialect.routes
            self._dialects |= dict.fromkeys(dialect.routes, dialect)
        self.exchange = Exchange(state, self.faults, lambda route, query: self.calls.append((route, query)), limits_scale)
        self.exchange.enforce_limits = enforce_limits
        self.limits = {dialect.name: dialect.limits(limits_scale) for dialect in DIALECTS if dialect.limits}
        self._socket = socket.create_server(("127.0.0.1", port))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def enforce_limits(self) -> bool:
        return self.exchange.enforce_limits

    @enforce_limits.setter
    def enforce_limits(self, enforce: bool) -> None:
        self.exchange.enforce_limits = enforce

    def script(self, route: str, kind: str, **how: Any) -> None:
        """Let a route fail: venue.script("/fapi/v1/klines", "status", status=429, retry_after=1, nth=2)."""
        self.faults.add(Fault(route, kind, **how))  # type: ignore[arg-type]

    def called(self, route: str) -> list[Query]:
        """The queries a route has seen."""
        return [query for seen, query in list(self.calls) if seen == route]

    def peaks(self, name: str) -> dict[str, float]:
        """The most a dialect's clients asked for within one window, by counter."""
        return self.limits[name].counters.peaks()

    def __enter__(self) -> "TestVenue":
        self._thread.start()
        if not self._ready.wait(START_S):
            raise RuntimeError("The test venue did not start.")
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)

    def drop(self, route: str = "") -> None:
        """Cut sockets (of a route) without a word: code 1006."""
        self._call(lambda: self.sockets.drop(route))

    def silence(self, route: str = "") -> None:
        """Keep sockets (of a route) open and tell them nothing more."""
        self._call(lambda: self.sockets.silence(route))

    def disconnect(self, route: str = "") -> None:
        """Close sockets (of a route) in order, as a venue does after 24 hours."""
        asyncio.run_coroutine_threadsafe(self.sockets.disconnect(route), self._loop).result(START_S)

    def _call(self, function: Callable[[], None]) -> None:
        async def run() -> None:
            function()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(START_S)

    def _serve(self) -> None:
        asyncio.run(self.serve())

    def stop(self) -> None:
        """End a venue that serves, from its own thread."""
        self._stop.set()

    async def serve(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until told to stop; `ready` is called when clients can come."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.sockets = Sockets(self.exchange)
        beats = asyncio.create_task(self.sockets.run())
        app = web.Application()
        control.attach(app, self)
        for path in SOCKETS:
            app.router.add_get(path, self._open)
            app.router.add_get(path + "/{rest:.*}", self._open)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        self._ready.set()
        ready()
        await self._stop.wait()
        beats.cancel()
        self.sockets.drop()
        await runner.cleanup()

    async def _open(self, request: web.Request) -> web.StreamResponse:
        path = max((path for path in SOCKETS if f"{request.path}/".startswith(f"{path}/")), key=len)
        fault = self.faults.strike(path, {}, among=HANDSHAKE_KINDS)
        if fault is not None:
            return await self._fail(request, fault, None, {})
        return await self.sockets.serve(request, SOCKETS[path](self.exchange, request.path, dict(request.query)))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        query: Query = {}
        for name, value in parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True):
            query[name] = f"{query[name]},{value}" if name in query else value
        route, more = self._match(request.method, request.path)
        query |= more
        self.calls.append((route, query))
        dialect = self._dialects.get(route)
        headers, refusal = self._count(dialect, route, query)
        headers |= dialect.head(self.state) if dialect else {}
        fault = self.faults.strike(route, query)
        if refusal is not None:
            return _json(refusal.status, refusal.body, headers | refusal.headers)
        if fault is not None and fault.kind not in DEFORMED:
            return await self._fail(request, fault, dialect, headers)
        if route not in self.routes:
            return _json(404, {"code": -5000, "msg": f"Path {request.path}, Method {request.method} is invalid"})
        try:
            sent = {f"header:{name.lower()}": value for name, value in request.headers.items()}
            with self.state.at(self.state.now_ms):
                payload = self.routes[route](self.state, query | sent)
        except Refusal as refused:
            return _json(refused.status, refused.body, headers | refused.headers)
        if fault is not None and dialect is not None:
            payload = deform(fault, payload, dialect.rows)
        if isinstance(payload, bytes):
            return web.Response(body=payload, content_type="text/csv", headers=headers)
        return web.Response(text=payload, headers=headers) if isinstance(payload, str) else _json(200, payload, headers)

    def _match(self, method: str, path: str) -> tuple[str, Query]:
        """The route of a path, and the path's parameters."""
        verb = "" if method == "GET" else f"{method} "
        if verb + path in self.routes:
            return verb + path, {}
        for route in self.routes:
            if "{" in route and (match := re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route), verb + path)):
                return route, match.groupdict()
        return verb + path, {}

    def _count(self, dialect: Dialect | None, route: str, query: Query) -> tuple[dict[str, str], Refusal | None]:
        if dialect is None or dialect.name not in self.limits:
            return {}, None
        headers, refusal = self.limits[dialect.name].admit(route, query)
        if refusal is None or not self.enforce_limits:
            return headers, None
        self.turned_away += 1
        return headers, refusal

    async def _fail(self, request: web.Request, fault: Fault, dialect: Dialect | None, headers: dict[str, str]) -> web.StreamResponse:
        dialect = dialect or DIALECTS[0]
        if fault.kind == "status":
            if fault.retry_after is not None:
                headers = headers | {"Retry-After": f"{fault.retry_after:g}"}
            if fault.body is not None:
                return web.Response(status=fault.status, text=fault.body, headers=headers)
            return _json(fault.status, dialect.error(fault.status), headers)
        if fault.kind == "html":
            return web.Response(text=HTML, content_type="text/html", headers=headers)
        if fault.kind == "truncated":
            return web.Response(text='[[1704067200000,"40000.0","401', content_type="application/json", headers=headers)
        if fault.kind == "reset":
            return _reset(request)
        if fault.kind == "timeout":
            await asyncio.sleep(fault.seconds or 3600.0)
        return _json(200, dialect.empty(), headers)


def _json(status: int, payload: Any, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=json.dumps(payload).encode(), content_type="application/json", headers=headers)


def _reset(request: web.Request) -> web.StreamResponse:
    """Linger 0: the kernel answers with a reset instead of an orderly end."""
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
