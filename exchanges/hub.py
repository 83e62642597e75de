"""Live updates from the channel layer to the sockets of this process: ONE group subscription, each frame encoded once, a direct send loop.

Updates are conflated: the newest of each key is handed out at once after a quiet time, then at most every quarter of a second (every
half to those who watch all markets), so however fast a venue talks nobody is sent more than that.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Protocol

import structlog
from channels.layers import get_channel_layer

from traderai.lib import groups

log = structlog.get_logger(__name__)

MARKET_EVERY_S = 0.25
ALL_EVERY_S = 0.5
ALL_TYPES: tuple[Literal["tick", "feed"], ...] = ("tick", "feed")
"""What those who watch all markets are told."""
TURN = 50
"""After so many sends others have their turn on the event loop."""
RESTART_S = 1.0
INTERNAL_ERROR = 1011

Message = dict[str, Any]
Key = tuple[Any, ...]
Event = dict[str, str]
"""An ASGI event that sends one text frame."""


class News(NamedTuple):
    """The newest messages since the last time, by key, and the frames that tell them."""

    messages: dict[Key, Message]
    frames: list[Event]


class Member(Protocol):
    """A socket that wants updates."""

    async def deliver(self, news: News) -> None: ...

    async def close(self, code: int) -> None: ...


def key_of(message: Message) -> Key:
    """Of several messages with one key only the newest matters; two bars are two facts."""
    return (message["type"], message["market_id"], message.get("timeframe"), message.get("timestamp"))


def one_by_one(messages: dict[Key, Message]) -> News:
    """News of a market: a frame each."""
    return News(messages, [_frame(message) for message in messages.values()])


def together(messages: dict[Key, Message]) -> News:
    """News of all markets: {"type": "updates", "updates": [...]} in one frame."""
    return News(messages, [_frame({"type": "updates", "updates": list(messages.values())})])


def _frame(message: Message) -> Event:
    return {"type": "websocket.send", "text": json.dumps(message, separators=(",", ":"))}


class Lane:
    """What waits to be handed out at one pace."""

    def __init__(self, every_s: float, hand_out: Callable[[dict[Key, Message]], Awaitable[None]]) -> None:
        self._every_s = every_s
        self._hand_out = hand_out
        self._waiting: dict[Key, Message] = {}
        self._came = asyncio.Event()

    def add(self, message: Message) -> None:
        self._waiting[key_of(message)] = message
        self._came.set()

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self._came.wait()
            self._came.clear()
            began = clock()
            waiting, self._waiting = self._waiting, {}
            await self._hand_out(waiting)
            await asyncio.sleep(began + self._every_s - clock())


class Hub:
    """The members of one event loop and the tasks that serve them: restarted when they fail, ended with the last member (the next one has a new hub)."""

    def __init__(self) -> None:
        self._members: dict[Member, frozenset[int]] = {}
        self._by_market: dict[int, set[Member]] = {}
        self._of_all: set[Member] = set()
        self._market_lane = Lane(MARKET_EVERY_S, self._tell_markets)
        self._all_lane = Lane(ALL_EVERY_S, self._tell_all)
        self._tasks: list[asyncio.Task[None]] = []
        self._listening = asyncio.Event()

    async def listening(self) -> None:
        """Returns once what is published reaches this hub; for members only, who may then read what was published before."""
        await self._listening.wait()

    def watch(self, member: Member, market_ids: Iterable[int]) -> None:
        """From now on the member is told of these markets, and of no others."""
        self._forget(member)
        self._members[member] = frozenset(market_ids)
        for market_id in self._members[member]:
            self._by_market.setdefault(market_id, set()).add(member)
        self._start()

    def watch_all(self, member: Member) -> None:
        """From now on the member is told of every market's ticks and feeds."""
        self._forget(member)
        self._members[member] = frozenset()
        self._of_all.add(member)
        self._start()

    def leave(self, member: Member) -> None:
        self._forget(member)
        if not self._members:
            for task in self._tasks:
                task.cancel()
            _hubs.pop(asyncio.get_running_loop(), None)

    def _forget(self, member: Member) -> None:
        self._of_all.discard(member)
        for market_id in self._members.pop(member, ()):
            self._by_market[market_id].discard(member)
            if not self._by_market[market_id]:
                del self._by_market[market_id]

    def _start(self) -> None:
        if not self._tasks:
            work = (self._listen, self._market_lane.run, self._all_lane.run)
            self._tasks = [asyncio.create_task(self._keep(each)) for each in work]

    async def _keep(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("the hub of live updates failed; it starts again", work=getattr(work, "__qualname__", ""))
            await asyncio.sleep(RESTART_S)

    async def _listen(self) -> None:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        try:  # a subscription that fails half way has to be taken back, too: nobody would empty its queue
            await layer.group_add(groups.LIVE, channel)
            self._listening.set()
            while True:
                self._sort((await layer.receive(channel))["updates"])
        finally:
            self._listening.clear()
            await layer.group_discard(groups.LIVE, channel)

    def _sort(self, updates: list[Message]) -> None:
        for message in updates:
            if message["market_id"] in self._by_market:
                self._market_lane.add(message)
            if self._of_all and message["type"] in ALL_TYPES:
                self._all_lane.add(message)

    async def _tell_markets(self, messages: dict[Key, Message]) -> None:
        by_market: dict[int, dict[Key, Message]] = {}
        for key, message in messages.items():
            by_market.setdefault(message["market_id"], {})[key] = message
        for market_id, moved in by_market.items():
            if members := self._by_market.get(market_id):
                await self._tell(members, one_by_one(moved))

    async def _tell_all(self, messages: dict[Key, Message]) -> None:
        await self._tell(self._of_all, together(messages))

    async def _tell(self, members: set[Member], news: News) -> None:
        for count, member in enumerate(tuple(members), start=1):
            if member in members:
                self._hand(member, news)
            if count % TURN == 0:
                await asyncio.sleep(0)

    def _hand(self, member: Member, news: News) -> None:
        """One member's failure (a socket that is just closing) costs the others nothing; if it is still there it shall come back."""
        try:
            _at_once(member.deliver(news))
        except Exception as error:  # noqa: BLE001  (the loop survives whatever one socket does)
            log.warning("a socket could not be served; it is closed", member=type(member).__name__, error=repr(error))
            self.leave(member)
            with suppress(Exception):
                _at_once(member.close(INTERNAL_ERROR))


def _at_once(call: Coroutine[Any, Any, None]) -> None:
    """Run a send as far as it goes without waiting. Daphne's never wait; with a server whose sends do, a client that does not
    read waits for the next news, not everybody for that client."""
    try:
        call.send(None)
    except StopIteration:
        return
    call.close()


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def current() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
