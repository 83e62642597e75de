"""One connection of a venue, kept up: reconnected when it ends, and when it says nothing while the market moves."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

import structlog

from exchanges.ports import Channel, LiveUpdate, LiveVenue, VenueError
from exchanges.streams.health import SILENT_S, Backoff, Pulse

log = structlog.get_logger(__name__)

LOOK_S = 0.5


class Deaf(Exception):
    """The connection is open and says nothing, while the market moves."""


class Line:
    """A watch of one channel. `on_break(line)` hears of every end; `moves(line)` says whether the market has moved since the line was
    last heard."""

    def __init__(
        self,
        venue: LiveVenue,
        channel: Channel,
        symbols: Sequence[str],
        deliver: Callable[[LiveUpdate], None],
        *,
        on_break: Callable[["Line", str], None],
        moves: Callable[["Line"], Awaitable[bool]],
        silent_s: float = SILENT_S,
        backoff: Backoff | None = None,
    ) -> None:
        self.venue, self.channel, self.symbols = venue, channel, tuple(symbols)
        self._deliver, self._on_break, self._moves = deliver, on_break, moves
        self._silent_s = silent_s
        self._backoff = backoff or Backoff()
        self.pulse = Pulse(monotonic())

    async def keep(self) -> None:
        """Watch for ever."""
        while True:
            began_s, asked_s, reason = monotonic(), 0.0, ""
            self.pulse.begin(began_s)
            try:
                await self._watch()
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                reason = "was given up by its client"
            except VenueError as error:
                reason, asked_s = str(error), getattr(error, "retry_after_s", None) or 0.0
            except Deaf:
                reason = f"said nothing on the {self.channel} stream for {self._silent_s:g} s"
            except Exception as error:  # the other lines, and the bars, do not end with this one
                log.exception("a stream failed", channel=self.channel)
                reason = repr(error)
            lasted_s = monotonic() - began_s if self.pulse.is_open else 0.0
            self.pulse.end()
            try:
                self._on_break(self, reason)
            except Exception:  # a full disk under the log is no reason to stay silent for good
                log.exception("the end of a stream was not told", channel=self.channel)
            pause_s = self._backoff.next(lasted_s=lasted_s, asked_s=asked_s)
            log.warning("stream ended; connecting again", channel=self.channel, reason=reason, in_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)

    async def _watch(self) -> None:
        watching = asyncio.ensure_future(self.venue.watch(self.channel, self.symbols, self._heard))
        checked_s = monotonic()
        try:
            while True:
                done, _ = await asyncio.wait([watching], timeout=min(LOOK_S, self._silent_s / 4))
                if done:
                    return watching.result()
                silent_since_s = monotonic() - self._silent_s
                if max(checked_s, self.pulse.last_s) < silent_since_s:
                    if await self._moves(self):
                        raise Deaf
                    checked_s = monotonic()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _heard(self, update: LiveUpdate) -> None:
        self.pulse.heard(monotonic())
        self._deliver(update)
