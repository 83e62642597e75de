"""Sockets for live markets and for one's own positions. HTML is rendered by pages; these carry small typed JSON."""

import json
from abc import ABC, abstractmethod
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.db.models import Case, Value, When
from django.http import QueryDict

from accounts.consumers import SignedInConsumer
from exchanges import hub, live, messages
from exchanges.hub import Key, Message, News
from exchanges.messages import PositionMessage
from exchanges.models import Market, Position
from exchanges.streams import publishing
from traderai.lib import groups

NOT_YOURS, UNKNOWN = 4403, 4404


class LiveConsumer(SignedInConsumer, ABC):
    """A member of the hub. It joins before it loads, so what it is told meanwhile is kept and told after what was loaded."""

    _early: dict[Key, Message] | None = None

    def leave(self) -> None:
        hub.current().leave(self)

    async def deliver(self, news: News) -> None:
        if self._early is None:
            await self.tell(news)
        else:
            self._early.update(news.messages)

    @abstractmethod
    async def tell(self, news: News) -> None:
        """Send what this means to this client."""


class FramesConsumer(LiveConsumer, ABC):
    """Sends the hub's frames as they are."""

    async def tell(self, news: News) -> None:
        for frame in news.frames:
            await self.base_send(frame)

    async def welcome(self, known: dict[Key, Message]) -> None:
        """Begin with what was published before, unless something newer has come meanwhile."""
        assert self._early is not None
        known.update(self._early)
        self._early = None
        if known:
            await self.tell(self.news_of(known))

    @abstractmethod
    def news_of(self, known: dict[Key, Message]) -> News:
        """The frames for this client."""


class MarketConsumer(FramesConsumer):
    """/ws/market/{symbol}/?venue=slug: the newest tick, bars, book and feed of one market as `exchanges.live` spells them, then
    each as it changes, at most four times a second."""

    async def prepare(self, user_id: int) -> int | None:
        venue = QueryDict(self.scope["query_string"]).get("venue", "")
        market_id = await _market_id(self.scope["url_route"]["kwargs"]["symbol"], venue)
        if market_id is None:
            return UNKNOWN
        self._early = {}
        hub.current().watch(self, [market_id])
        await hub.current().listening()
        await self.welcome(await _published([market_id], publishing.KINDS))
        return None

    def news_of(self, known: dict[Key, Message]) -> News:
        return hub.one_by_one(known)


class MarketsConsumer(FramesConsumer):
    """/ws/markets/: {"type": "updates", "updates": [...]} with the newest tick and feed of each market, then with those that
    changed, at most twice a second."""

    async def prepare(self, user_id: int) -> int | None:
        self._early = {}
        hub.current().watch_all(self)
        await hub.current().listening()
        await self.welcome(await _published(await _active_market_ids(), hub.ALL_TYPES))
        return None

    def news_of(self, known: dict[Key, Message]) -> News:
        return hub.together(known)


class PositionsConsumer(LiveConsumer):
    """/ws/positions/{user_id}/: a PositionMessage for each own position now, on each change of a row, and on each tick of its market."""

    open: dict[int, PositionMessage]

    async def prepare(self, user_id: int) -> int | None:
        if self.scope["url_route"]["kwargs"]["user_id"] != user_id:
            return NOT_YOURS
        # Joined before loading: a change in between is told twice rather than never.
        await self.join(groups.positions(user_id))
        self.open = {message["id"]: message for message in await _open_positions(user_id)}
        self._watch()
        for message in self.open.values():
            await self.send(json.dumps(message))
        return None

    async def position_changed(self, event: dict[str, Any]) -> None:
        """The row changed: forward it, and follow it while it is open."""
        message: PositionMessage = event["position"]
        if message["status"] == "open":
            self.open[message["id"]] = message
        else:
            self.open.pop(message["id"], None)
        self._watch()
        await self.send(json.dumps(message))

    async def tell(self, news: News) -> None:
        ticks = {message["market_id"]: message["price"] for message in news.messages.values() if message["type"] == "tick"}
        for position in list(self.open.values()):
            if (price := ticks.get(position["market_id"])) is not None:
                await self.send(json.dumps(messages.marked(position, price)))

    def _watch(self) -> None:
        hub.current().watch(self, {position["market_id"] for position in self.open.values()})


@database_sync_to_async
def _market_id(symbol: str, venue: str) -> int | None:
    """The market of this symbol on this venue; without one the default venue's, or the first that has candles."""
    if not (symbol + venue).isprintable():  # no database takes NUL and lone surrogates
        return None
    if venue:
        found = Market.objects.active().filter(symbol=symbol, venue__slug=venue)
    else:
        default_first = Case(When(venue__slug=settings.DEFAULT_VENUE, then=Value(0)), default=Value(1))
        found = Market.objects.with_candles().filter(symbol=symbol).order_by(default_first, "pk")
    return found.values_list("pk", flat=True).first()


@database_sync_to_async
def _active_market_ids() -> list[int]:
    return list(Market.objects.active().values_list("pk", flat=True))


async def _published(market_ids: list[int], kinds: tuple[publishing.Kind, ...]) -> dict[Key, Message]:
    found = map(live.message, await publishing.anewest(market_ids, kinds))
    return {hub.key_of(message): message for message in found}


@database_sync_to_async
def _open_positions(user_id: int) -> list[PositionMessage]:
    rows = Position.objects.filter(account__user_id=user_id).open().select_related("market").order_by("pk")
    return [messages.of(position) for position in rows]
