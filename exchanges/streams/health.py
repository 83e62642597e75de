"""How good a stream is, and when to try again. Pure: seconds come from the caller's monotonic clock."""

import random
from collections.abc import Callable

from exchanges.live import FeedHealth

SILENT_S = 15.0
"""A connection that says nothing for this long while the market moves is taken for half open."""
STALE_S = 20.0
"""A market that nothing is heard of for this long is shown as stale."""
STEADY_S = 30.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class Backoff:
    """Full jitter (pauses drawn from zero to a bound that doubles), so that clients that were thrown out together do not return together."""

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._draw = draw
        self._failures = 0

    def next(self, *, lasted_s: float, asked_s: float = 0.0) -> float:
        """The pause after a connection that lasted so long; the venue's own wish is the least."""
        self._failures = 0 if lasted_s >= STEADY_S else self._failures
        bound = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return max(asked_s, self._draw(0.0, bound))


class Pulse:
    """When a connection was begun and last heard; it counts as open from the first thing heard on."""

    def __init__(self, now_s: float) -> None:
        self.last_s = now_s
        self.is_open = False

    def begin(self, now_s: float) -> None:
        self.last_s = now_s

    def heard(self, now_s: float) -> None:
        self.last_s, self.is_open = now_s, True

    def end(self) -> None:
        self.is_open = False


def state(*, is_open: bool, heard_s: float, now_s: float) -> FeedHealth:
    """live; stale: open, yet silent for too long; down: no connection."""
    if not is_open:
        return "down"
    return "live" if now_s - heard_s <= STALE_S else "stale"
