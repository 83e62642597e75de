"""When a bar is over, and whether what a socket told of it is the whole of it. Pure: the caller brings the time.

A bar is stored as it was heard when the venue called it final and nothing was missed since it opened. What became of every other bar
that is over only REST knows: one whose stream had a gap inside, one the venue never called final, one nothing was heard of.
"""

from math import isfinite
from typing import NamedTuple

from exchanges.ports import BarUpdate

GRACE_MS = 2_000
"""Venues finish a candle a moment after its time, on the socket and even more so by REST."""
ACCEPT_HOLE_MS = 60_000
"""A bar that REST does not know this long after its close does not exist."""
ASK_AGAIN_MS = 4_000
LONGEST_PAUSE_MS = 300_000


class Ask(NamedTuple):
    """Bars that only REST can tell: opens of the first and the last one, in ms."""

    since_ms: int
    until_ms: int


class Assembly:
    """One market's bars of one timeframe. `newest_ms` is the open of the newest bar that is stored, or known not to exist."""

    def __init__(self, length_ms: int, newest_ms: int) -> None:
        self.length_ms = length_ms
        self.newest_ms = newest_ms
        self.forming: BarUpdate | None = None
        self._whole_from_ms: int | None = None
        self._finals: dict[int, BarUpdate] = {}
        self._asked = 0
        self._ask_at_ms = 0

    def hear(self, bar: BarUpdate) -> bool:
        """Take an update of the stream. False when it tells nothing new or cannot be: what it should have said is then asked by REST."""
        if not _is_possible(bar, self.length_ms):
            self.broken()
            return False
        if bar.timestamp <= self.newest_ms:
            return False
        forming = self.forming
        if self._whole_from_ms is None or (forming and bar.timestamp > forming.timestamp + self.length_ms):
            self._whole_from_ms = bar.timestamp + self.length_ms
        if bar.final and bar.timestamp >= self._whole_from_ms:
            self._finals[bar.timestamp] = bar
        if forming and bar.timestamp < forming.timestamp:
            return False
        self.forming = bar
        return True

    def broken(self) -> None:
        """The connection ended: the bar that was forming, and those until the next first update, have a gap inside."""
        self._whole_from_ms = None

    def ready(self, now_ms: int) -> list[BarUpdate]:
        """Bars to be stored as heard, in order, without a hole after the newest stored one."""
        found, at = [], self.newest_ms + self.length_ms
        while at in self._finals and at + self.length_ms <= now_ms:
            found.append(self._finals[at])
            at += self.length_ms
        return found

    def ask(self, now_ms: int) -> Ask | None:
        """What to ask REST for now, if anything. An answer is told by `stored`, as is a `hole`; a failure by `failed`."""
        first = self.newest_ms + self.length_ms
        if first in self._finals or now_ms < max(first + self.length_ms + GRACE_MS, self._ask_at_ms):
            return None
        return Ask(first, (now_ms - GRACE_MS) // self.length_ms * self.length_ms - self.length_ms)

    def stored(self, newest_ms: int) -> None:
        """Bars up to this open are in the database."""
        if newest_ms > self.newest_ms:
            self.newest_ms, self._asked, self._ask_at_ms = newest_ms, 0, 0
            self._finals = {at: bar for at, bar in self._finals.items() if at > newest_ms}

    def hole(self, until_ms: int, now_ms: int) -> Ask | None:
        """REST answered and knows no bar after the newest up to this open: the bars that do not exist, as the venue had time enough."""
        settled_ms = min(until_ms, (now_ms - ACCEPT_HOLE_MS) // self.length_ms * self.length_ms - self.length_ms)
        return Ask(self.newest_ms + self.length_ms, settled_ms) if settled_ms > self.newest_ms else None

    def failed(self, now_ms: int) -> None:
        """REST gave nothing: ask again after a pause that grows."""
        self._ask_at_ms = now_ms + min(LONGEST_PAUSE_MS, ASK_AGAIN_MS * 2**self._asked)
        self._asked += 1

    def distrust(self) -> None:
        """What was heard cannot be stored: let REST say it."""
        self._finals.clear()
        self.broken()


def _is_possible(bar: BarUpdate, length_ms: int) -> bool:
    prices = (bar.open, bar.high, bar.low, bar.close)
    return (
        bar.timestamp % length_ms == 0
        and all(isfinite(value) for value in (*prices, bar.volume))
        and 0.0 < bar.low <= min(bar.open, bar.close)
        and max(bar.open, bar.close) <= bar.high
        and bar.volume >= 0.0
    )
