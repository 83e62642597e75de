"""A channel layer inside one process that may be called from any thread.

Channels' own in-memory layer puts messages into an asyncio queue; a put from another thread does not wake the loop that
waits there. This one hands every call to the loop that receives. For tests and single commands; servers use Redis.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from channels.layers import InMemoryChannelLayer


class ThreadSafeInMemoryLayer(InMemoryChannelLayer):
    """InMemoryChannelLayer whose sends run on the receiving loop."""

    _home: asyncio.AbstractEventLoop | None = None

    async def receive(self, channel: str) -> dict[str, Any]:
        self._home = asyncio.get_running_loop()
        return await super().receive(channel)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._at_home(super().send(channel, message))

    async def group_add(self, group: str, channel: str) -> None:
        await self._at_home(super().group_add(group, channel))

    async def group_discard(self, group: str, channel: str) -> None:
        await self._at_home(super().group_discard(group, channel))

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await self._at_home(super().group_send(group, message))

    async def _at_home(self, call: Coroutine[Any, Any, None]) -> None:
        home = self._home
        if home is None or home.is_closed() or not home.is_running() or home is asyncio.get_running_loop():
            await call
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, home))
