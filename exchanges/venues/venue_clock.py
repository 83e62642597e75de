"""How far a venue's clock is from ours: bars are closed by the one that is behind, and a computer whose clock is wrong has to be set first."""

import threading
from collections.abc import Callable
from math import inf
from time import monotonic

import structlog
from django.conf import settings

from exchanges.ports import VenueRefused
from traderai.lib import clock

log = structlog.get_logger(__name__)

COMPARE_S = 600.0
"""A computer's clock drifts, and is put right, while a process that follows the market runs for weeks."""
WARN_MS = 5_000
ANOTHER_TIME_MS = 86_400_000
"""What stands in for a venue (settings.VENUE_BASE_URLS) may live in another time: this far behind it plays history, and no clock is wrong."""


class VenueClock:
    """`ask` asks the venue for its time in ms. Safe to use from several threads."""

    def __init__(self, venue: str, ask: Callable[[], int]) -> None:
        self.venue = venue
        self._ask = ask
        self._lock = threading.Lock()
        self._ahead_ms = 0
        self._compare_again_s = -inf

    def now_ms(self) -> int:
        """The venue's clock or ours, whichever is behind. Raises VenueRefused when ours is wrong, and what `ask` raises."""
        with self._lock:
            if monotonic() >= self._compare_again_s:
                self._ahead_ms = self._compare()
                self._compare_again_s = monotonic() + COMPARE_S
            return clock.now_ms() + min(0, self._ahead_ms)

    def _compare(self) -> int:
        """How far the venue's clock is ahead of ours in ms, 0 when that cannot be told from the time its answer took."""
        asked_ms = clock.now_ms()
        venue_ms = self._ask()
        answered_ms = clock.now_ms()
        ahead_ms = venue_ms - (asked_ms + answered_ms) // 2
        certain_ms = max(0, abs(ahead_ms) - (answered_ms - asked_ms + 1) // 2)
        words = f"this computer's clock is {certain_ms / 1000:.0f} s {'behind' if ahead_ms > 0 else 'ahead of'} {self.venue}'s"
        plays_history = ahead_ms < -ANOTHER_TIME_MS and self.venue in settings.VENUE_BASE_URLS
        if certain_ms > settings.VENUE_CLOCK_TOLERANCE_S * 1000 and not plays_history:
            raise VenueRefused(f"clock: {words}; set it (for example with: timedatectl set-ntp true) and try again")
        if certain_ms > WARN_MS:
            log.warning(words)
        return ahead_ms
