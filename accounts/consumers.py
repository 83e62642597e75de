"""The socket of a signed-in person: it lives no longer than the session that opened it."""

from importlib import import_module
from typing import Any

import structlog
from channels.auth import get_user
from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from redis.exceptions import RedisError

from traderai.lib import groups

log = structlog.get_logger(__name__)

NOT_SIGNED_IN = 4401


class SignedInConsumer(AsyncWebsocketConsumer):
    """Accepts first and refuses with a code of its own: a browser cannot read why a handshake was turned down. Subclasses do
    their work in `prepare` and `leave`."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """However the socket ends, it leaves what it joined: a task that fails or is killed hears of no disconnect."""
        self._joined: list[str] = []
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.leave()
            await self._leave_groups()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Straight to the handler. Channels first looks for old database connections, in a thread; ours reach the database
        through database_sync_to_async only, which looks itself."""
        await getattr(self, get_handler_name(message))(message)

    async def connect(self) -> None:
        await self.accept()
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close(NOT_SIGNED_IN)
            return
        await self.join(groups.person(user.pk))
        if refusal := await self.prepare(user.pk):
            await self.close(refusal)

    async def prepare(self, user_id: int) -> int | None:
        """Load what the socket needs; a close code when it may not be had."""

    def leave(self) -> None:
        """Undo what `prepare` did besides joining groups, as far as it came."""

    async def join(self, group: str) -> None:
        """Hear what is sent to this group, until the socket ends."""
        self._joined.append(group)
        await self.channel_layer.group_add(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """What a page sends is of no interest here."""

    async def session_check(self, event: dict[str, Any]) -> None:
        """Something about this person's sessions changed (signed out, password, removed): is the one of this socket still good?"""
        store = import_module(settings.SESSION_ENGINE).SessionStore(self.scope["session"].session_key)
        if not (await get_user({"session": store})).is_authenticated:
            await self.close(NOT_SIGNED_IN)

    async def _leave_groups(self) -> None:
        try:
            for group in self._joined:
                await self.channel_layer.group_discard(group, self.channel_name)
        except (OSError, RedisError) as error:
            log.warning("a socket ended while the broker was away", error=str(error))
