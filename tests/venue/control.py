"""The control port: what a test says from Python, another process says over HTTP under /_control/ (process.Control is its client).

faults   POST a Fault as JSON, DELETE forgets them, GET tells which struck
calls    GET how often each route was called, with ?route= the queries it has seen; DELETE forgets
clock    GET or POST any of now_ms, speed, skew_ms
price    POST symbol (BTCUSDT) and price: a trade
sockets  POST action (drop, silence, disconnect) and, if not all are meant, route
limits   POST enforce; GET the peak of every counter, by dialect
rate     POST per_s: how often each market tells on each stream
stats    GET all in figures
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.venue.faults import Fault

if TYPE_CHECKING:
    from tests.venue.server import TestVenue

Answer = Callable[[Any], Any]
SETTABLE = ("now_ms", "speed", "skew_ms")


def attach(app: web.Application, venue: "TestVenue") -> None:
    """Add the control port's routes to the venue's application."""

    def add(verb: str, name: str, answer: Answer) -> None:
        async def handle(request: web.Request) -> web.Response:
            told = await request.json() if request.can_read_body else dict(request.query)
            try:
                reply = answer(told)
                reply = await reply if isinstance(reply, Awaitable) else reply
            except (TypeError, ValueError, KeyError) as error:
                return web.json_response({"error": str(error)}, status=400)
            return web.json_response(reply if reply is not None else {})

        app.router.add_route(verb, f"/_control/{name}", handle)

    add("POST", "faults", lambda told: venue.faults.add(Fault(**told)))
    add("DELETE", "faults", lambda told: venue.faults.clear())
    add("GET", "faults", lambda told: [{"route": route, "kind": kind, "query": query} for route, kind, query in venue.faults.struck])
    add("GET", "calls", lambda told: venue.called(told["route"]) if "route" in told else dict(_counted(venue)))
    add("DELETE", "calls", lambda told: venue.calls.clear())
    add("GET", "clock", lambda told: _clock(venue))
    add("POST", "clock", lambda told: _set_clock(venue, told))
    add("POST", "price", lambda told: venue.state.trade(told["symbol"], float(told["price"])))
    add("POST", "sockets", lambda told: _end_sockets(venue, **told))
    add("GET", "limits", lambda told: _peaks(venue))
    add("POST", "limits", lambda told: setattr(venue, "enforce_limits", bool(told["enforce"])))
    add("POST", "rate", lambda told: setattr(venue.exchange, "rate", float(told["per_s"])))
    add("GET", "stats", lambda told: _stats(venue))


def _counted(venue: "TestVenue") -> Counter[str]:
    return Counter(route for route, _ in list(venue.calls))


def _clock(venue: "TestVenue") -> dict[str, float]:
    return {name: getattr(venue.state, name) for name in (*SETTABLE, "told_ms")}


def _set_clock(venue: "TestVenue", told: dict[str, float]) -> dict[str, float]:
    for name in SETTABLE:
        if name in told:
            setattr(venue.state, name, (float if name == "speed" else int)(told[name]))
    return _clock(venue)


def _end_sockets(venue: "TestVenue", action: str, route: str = "") -> Any:
    actions: dict[str, Answer] = {
        "drop": venue.sockets.drop,
        "silence": venue.sockets.silence,
        "disconnect": venue.sockets.disconnect,
    }
    if action not in actions:
        raise ValueError(f"action: use one of {', '.join(actions)}")
    return actions[action](route)


def _peaks(venue: "TestVenue") -> dict[str, dict[str, float]]:
    return {name: venue.peaks(name) for name in venue.limits} | {"sockets": venue.exchange.peaks}


def _stats(venue: "TestVenue") -> dict[str, Any]:
    return {
        "calls": len(venue.calls),
        "turned_away": venue.turned_away,
        "peaks": _peaks(venue),
        "struck": len(venue.faults.struck),
        "sockets": len(venue.sockets.connections),
        "frames": venue.sockets.sent,
        "beats": venue.exchange.number,
        "instruments": list(venue.state.instruments),
        **_clock(venue),
    }
