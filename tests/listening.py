"""Hearing the channel layer: one event loop from the subscription to the last message, as a layer over Redis demands."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer


@async_to_sync
async def heard(group: str, count: int, act: Callable[[], Any]) -> list[dict[str, Any]]:
    """The first `count` messages that `group` hears when `act` runs."""
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    await sync_to_async(act)()
    messages = [await layer.receive(channel) for _ in range(count)]
    await layer.group_discard(group, channel)
    return messages
