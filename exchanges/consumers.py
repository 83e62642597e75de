"""Sockets for prices and for one's own positions. HTML is rendered by pages; these carry small typed JSON."""

import json
from abc import ABC, abstractmethod
from typing import Any

from channels.db import database_sync_to_async

from accounts.consumers import SignedInConsumer
from exchanges import hub, messages
from exchanges.hub import LiveTick
from exchanges.messages import PositionMessage
from exchanges.models import Market, Position
from traderai.lib import groups

NOT_YOURS, UNKNOWN = 4403, 4404


class LiveConsumer(SignedInConsumer, ABC):
    """A member of the hub."""

    async def prepare(self, user_id: int) -> int | None:
        if refusal := await self.load(user_id):
            return refusal
        hub.current().join(self)
        return None

    async def leave(self) -> None:
        hub.current().leave(self)

    @abstractmethod
    async def load(self, user_id: int) -> int | None:
        """Load what the socket needs; a close code when it may not be had."""

    @abstractmethod
    async def deliver(self, moved: dict[int, LiveTick]) -> None:
        """Send what these ticks mean to this client."""


class MarketConsumer(LiveConsumer):
    """/ws/market/{symbol}/: {"type": "tick", market_id, symbol, price, ts_ms, source}, at most four a second."""

    market_id: int

    async def load(self, user_id: int) -> int | None:
        symbol = self.scope["url_route"]["kwargs"]["symbol"]
        market = await Market.objects.with_candles().filter(symbol=symbol).order_by("pk").afirst()
        if market is None:
            return UNKNOWN
        self.market_id = market.pk
        return None

    async def deliver(self, moved: dict[int, LiveTick]) -> None:
        if tick := moved.get(self.market_id):
            await self.send(tick.frame)


class PositionsConsumer(LiveConsumer):
    """/ws/positions/{user_id}/: a PositionMessage for each own position now, on each change of a row, and on each tick of its market."""

    open: dict[int, PositionMessage]
    group = ""

    async def load(self, user_id: int) -> int | None:
        if self.scope["url_route"]["kwargs"]["user_id"] != user_id:
            return NOT_YOURS
        self.group = groups.positions(user_id)
        # Joined before loading: a change in between is told twice rather than never.
        await self.channel_layer.group_add(self.group, self.channel_name)
        self.open = {message["id"]: message for message in await _open_positions(user_id)}
        for message in self.open.values():
            await self.send(json.dumps(message))
        return None

    async def leave(self) -> None:
        await super().leave()
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def position_changed(self, event: dict[str, Any]) -> None:
        """The row changed: forward it, and follow it while it is open."""
        message: PositionMessage = event["position"]
        if message["status"] == "open":
            self.open[message["id"]] = message
        else:
            self.open.pop(message["id"], None)
        await self.send(json.dumps(message))

    async def deliver(self, moved: dict[int, LiveTick]) -> None:
        for position in self.open.values():
            if tick := moved.get(position["market_id"]):
                await self.send(json.dumps(messages.marked(position, tick.price)))


@database_sync_to_async
def _open_positions(user_id: int) -> list[PositionMessage]:
    rows = Position.objects.filter(account__user_id=user_id).open().select_related("market").order_by("pk")
    return [messages.of(position) for position in rows]
