"""The socket of a signed-in person: it lives no longer than the session that opened it."""

from importlib import import_module
from typing import Any

from channels.auth import get_user
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from traderai.lib import groups

NOT_SIGNED_IN = 4401


class SignedInConsumer(AsyncWebsocketConsumer):
    """Accepts first and refuses with a code of its own: a browser cannot read why a handshake was turned down. Subclasses do
    their work in `prepare` and `leave`."""

    _person = ""

    async def connect(self) -> None:
        await self.accept()
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close(NOT_SIGNED_IN)
            return
        self._person = groups.person(user.pk)
        await self.channel_layer.group_add(self._person, self.channel_name)
        if refusal := await self.prepare(user.pk):
            await self.close(refusal)

    async def disconnect(self, code: int) -> None:
        if self._person:
            await self.channel_layer.group_discard(self._person, self.channel_name)
            await self.leave()

    async def prepare(self, user_id: int) -> int | None:
        """Load what the socket needs; a close code when it may not be had."""

    async def leave(self) -> None:
        """Undo `prepare`."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """What a page sends is of no interest here."""

    async def session_check(self, event: dict[str, Any]) -> None:
        """Something about this person's sessions changed (signed out, password, removed): is the one of this socket still good?"""
        store = import_module(settings.SESSION_ENGINE).SessionStore(self.scope["session"].session_key)
        if not (await get_user({"session": store})).is_authenticated:
            await self.close(NOT_SIGNED_IN)
