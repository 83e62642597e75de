"""/ws/signals/: tells signed-in people that the list of signals changed. The list itself is rendered by its view."""

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from traderai.lib import groups

NOT_SIGNED_IN = 4401


class SignalsConsumer(AsyncJsonWebsocketConsumer):
    """Forwards {"type": "signal", "what": "issued" or "ended", "signal_id": int}; listens to nothing."""

    async def connect(self) -> None:
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.close(code=NOT_SIGNED_IN)
            return
        await self.channel_layer.group_add(groups.SIGNALS, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(groups.SIGNALS, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **_: Any) -> None:
        """What a page sends is of no interest here."""

    async def signal_news(self, event: dict[str, Any]) -> None:
        await self.send_json({"type": "signal", "what": event["what"], "signal_id": event["signal_id"]})
