"""How a venue can fail, scripted by route, nth call, symbol and number of times."""

import threading
from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    # a reply that is no answer
    "status",  # `status`, with Retry-After when given, `body` instead of what the venue's gateway would say
    "html",  # a proxy's page with status 200
    "truncated",  # half a reply
    "empty",  # a page without rows
    "reset",  # the connection is reset
    "timeout",  # nothing for `seconds`, then an empty page; 0: nothing until the client gives up
    # a page with the wrong rows
    "gap",  # `count` rows from `row` on are left out, or those whose time is in `first_ms`..`last_ms`
    "duplicate",  # rows are told twice
    "disorder",  # the page comes in another order
    "wrong",  # `field_name` of the rows holds `value`
    # a socket, counted by the frames that go out on it
    "refuse",  # a subscription is refused, counted by subscriptions
    "silent",  # stays open and tells nothing more
    "drop",  # gone without a word: code 1006
    "disconnect",  # closed in order, as after 24 hours
    "garbage",  # a frame that is no JSON
    "missed",  # a frame that never arrives
    "stale",  # the frame before it once more: the price stands still
]
HANDSHAKE_KINDS = ("status", "html", "reset", "timeout")
"""What a socket's route can be scripted with beside the kinds of sockets: it happens to the connection before it is one."""
DEFORMED = ("gap", "duplicate", "disorder", "wrong")
FRAME_KINDS = ("silent", "drop", "disconnect", "garbage", "missed", "stale")
SOCKET_KINDS = ("refuse", *FRAME_KINDS)


@dataclass
class Fault:
    """What goes wrong: from the `nth` call (counted from 1 when scripted) of a route on, `times` times.

    `symbol` is any value of the query: the venue's own name of an instrument. `row` is the first row that is hit, the middle one
    unless told; `field_name` the row's key or index.
    """

    route: str
    kind: Kind
    nth: int = 1
    times: int = 1
    status: int = 500
    retry_after: float | None = None
    body: str | None = None
    seconds: float = 0.0
    symbol: str = ""
    row: int | None = None
    count: int = 1
    first_ms: int | None = None
    last_ms: int | None = None
    field_name: str | int = 2
    value: Any = "0.00000001"
    seen: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind: {self.kind!r} is not known; use one of {', '.join(get_args(Kind))}")


class FaultScript:
    """Faults waiting to happen, and `struck`: (route, kind, query) of those that did. `sockets`: the routes that are sockets."""

    def __init__(self, sockets: Collection[str] = ()) -> None:
        self._sockets = sockets
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.struck: list[tuple[str, str, dict[str, str]]] = []

    def add(self, fault: Fault) -> None:
        """Raises ValueError when such a thing cannot happen to the route."""
        fitting = (*SOCKET_KINDS, *HANDSHAKE_KINDS) if fault.route in self._sockets else set(get_args(Kind)) - set(SOCKET_KINDS)
        if fault.kind not in fitting:
            raise ValueError(f"kind: {fault.kind!r} cannot happen to {fault.route}")
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def strike(self, route: str, query: dict[str, str], *, among: Collection[str] = ()) -> Fault | None:
        """The fault that hits this call, if one does; only of the kinds `among`, when told."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.route == route and (not fault.symbol or fault.symbol in query.values()) and (not among or fault.kind in among):
                    fault.seen += 1
                    if fault.nth <= fault.seen < fault.nth + fault.times:
                        self.struck.append((route, fault.kind, query))
                        return fault
        return None


def deform(fault: Fault, payload: Any, rows_of: Any) -> Any:
    """The payload with its rows as the fault would have them."""
    payload = deepcopy(payload)
    rows = rows_of(payload)
    if isinstance(rows, dict):
        rows = [rows]
    start = len(rows) // 2 if fault.row is None else fault.row
    hit = slice(start, start + fault.count)
    if fault.kind == "wrong":
        for row in rows[hit]:
            row[fault.field_name] = fault.value
    elif fault.kind == "duplicate":
        rows[hit] = [copy for row in rows[hit] for copy in (row, deepcopy(row))]
    elif fault.kind == "disorder":
        rows[:] = [*rows[start:], *rows[:start]]
    elif fault.first_ms is not None and fault.last_ms is not None:
        rows[:] = [row for row in rows if not fault.first_ms <= int(row[0]) <= fault.last_ms]
    else:
        del rows[hit]
    return payload
