"""How a venue can fail, scripted by route, nth call and number of times."""

import threading
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["status", "html", "truncated", "empty", "reset", "timeout"]


@dataclass
class Fault:
    """What goes wrong: from the `nth` call (counted from 1 when scripted) of a route on, `times` times."""

    route: str
    kind: Kind
    nth: int = 1
    times: int = 1
    status: int = 500
    retry_after: float | None = None
    seconds: float = 0.0
    symbol: str = ""
    seen: int = field(default=0, compare=False)


class FaultScript:
    """Faults waiting to happen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def strike(self, route: str, symbol: str) -> Fault | None:
        """The fault that hits this call, if one does."""
        with self._lock:
            for fault in self._faults:
                if fault.route == route and fault.symbol in ("", symbol):
                    fault.seen += 1
                    if fault.nth <= fault.seen < fault.nth + fault.times:
                        return fault
        return None
