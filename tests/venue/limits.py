"""How a venue counts requests: always, whether or not it turns anybody away.

A dialect's limits are an object with `admit(route, query)`, which counts a request and tells the headers that go with the reply and
the refusal when it was too much, and `counters`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from tests.venue.dialect import Refusal


class Quota(NamedTuple):
    """At most `cost` in `per_s` seconds."""

    cost: float
    per_s: float


@dataclass
class Window:
    """One counter. `fixed`: it starts anew every per_s seconds, as Binance's minutes do; otherwise any per_s seconds count.

    `peak` is the most that was ever asked for within one window, what was turned away included.
    """

    quota: Quota
    fixed: bool
    peak: float = 0.0
    used: float = 0.0
    spent: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, cost: float, at_s: float) -> float:
        """Count a request and tell what the window now holds."""
        per_s = self.quota.per_s
        while self.spent and (self.spent[0][0] // per_s < at_s // per_s if self.fixed else self.spent[0][0] <= at_s - per_s):
            self.used -= self.spent.popleft()[1]
        self.spent.append((at_s, cost))
        self.used += cost
        self.peak = max(self.peak, self.used)
        return self.used

    def left_s(self, at_s: float) -> float:
        """How long until the window empties, or its oldest request leaves it."""
        per_s = self.quota.per_s
        return per_s - at_s % per_s if self.fixed else max(0.0, self.spent[0][0] + per_s - at_s)


class Counters:
    """A venue's counters by bucket. `scale` shortens every window: what the venue allows in a minute is allowed in a minute / scale.

    Fixed windows begin with the minutes of the wall clock, which is also the Date of every reply.
    """

    def __init__(self, scale: float, *, fixed: bool) -> None:
        self.scale = scale
        self.clock: Callable[[], float] = time if fixed else monotonic
        self._fixed = fixed
        self._windows: dict[str, Window] = {}

    def spend(self, bucket: str, quota: Quota, cost: float) -> tuple[float, float]:
        """Count a request: (what the bucket's window now holds, seconds until there is room if that is too much, else 0)."""
        now_s = self.clock()
        window = self._windows.setdefault(bucket, Window(Quota(quota.cost, quota.per_s / self.scale), self._fixed))
        used = window.add(cost, now_s)
        return used, window.left_s(now_s) if used > quota.cost else 0.0

    def peaks(self) -> dict[str, float]:
        return {bucket: window.peak for bucket, window in self._windows.items()}


class Limits(Protocol):
    counters: Counters

    def admit(self, route: str, query: Mapping[str, str]) -> "tuple[dict[str, str], Refusal | None]": ...


def whole_seconds(seconds: float) -> str:
    """As Retry-After has it: venues tell whole seconds."""
    return str(max(1, ceil(seconds)))
