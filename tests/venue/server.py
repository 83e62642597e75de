"""The venue's HTTP face: one thread per connection on 127.0.0.1, every call logged, faults injected before the dialect answers.

Faults are scripted from Python (venue.script) or from another process: POST /_control/faults with a Fault as JSON, DELETE to clear.
"""

import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.venue import binance
from tests.venue.faults import Fault, FaultScript
from tests.venue.state import VenueState

HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class TestVenue:
    """A running venue; a context manager. `calls` lists (route, query) of every request in order."""

    __test__ = False  # not a test, whatever its name

    def __init__(self, state: VenueState, *, port: int = 0) -> None:
        self.state = state
        self.faults = FaultScript()
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.routes = dict(binance.ROUTES)
        handler = type("VenueHandler", (_Handler,), {"venue": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, route: str, kind: str, **how: Any) -> None:
        """Let a route fail: venue.script("/fapi/v1/klines", "status", status=429, retry_after=1, nth=2)."""
        self.faults.add(Fault(route, kind, **how))  # type: ignore[arg-type]

    def called(self, route: str) -> list[dict[str, str]]:
        """The queries a route has seen."""
        return [query for seen, query in self.calls if seen == route]

    def __enter__(self) -> "TestVenue":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    venue: TestVenue
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        route = self.venue.routes.get(parts.path)
        self.venue.calls.append((parts.path, query))
        fault = self.venue.faults.strike(parts.path, query.get("symbol", ""))
        if fault is not None:
            self._fail(fault)
        elif route is None:
            self._reply(404, {"code": -5000, "msg": f"Path {parts.path}, Method GET is invalid"})
        else:
            try:
                self._reply(200, route(self.venue.state, query))
            except binance.Refusal as refusal:
                self._reply(400, refusal.body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/_control/faults":
            self._reply(404, {"code": -5000, "msg": "not served"})
            return
        self.venue.faults.add(Fault(**json.loads(body)))
        self._reply(200, {})

    def do_DELETE(self) -> None:
        self.venue.faults.clear()
        self._reply(200, {})

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "status":
            headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            self._reply(
                fault.status,
                {"code": -1003, "msg": "Too many requests."}
                if fault.status in (418, 429)
                else {"code": -1000, "msg": "An unknown error occurred."},
                headers,
            )
        elif fault.kind == "html":
            self._send(200, HTML.encode(), {"Content-Type": "text/html"})
        elif fault.kind == "truncated":
            self._send(200, b'[[1704067200000,"40000.0","401', {"Content-Type": "application/json"})
        elif fault.kind == "empty":
            self._reply(200, [])
        elif fault.kind == "timeout":
            time.sleep(fault.seconds)
            self._reply(200, [])
        else:
            # Linger 0: the kernel answers with a reset instead of an orderly end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

    def _reply(self, status: int, payload: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(payload).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), "X-MBX-USED-WEIGHT-1M": str(len(self.venue.calls))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet: calls are in venue.calls."""
