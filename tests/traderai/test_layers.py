"""The in-process channel layer, called from other threads."""

import asyncio
import threading

from asgiref.sync import async_to_sync

from traderai.lib.layers import ThreadSafeInMemoryLayer


async def test_it_wakes_a_receiver_when_another_thread_sends():
    layer = ThreadSafeInMemoryLayer()
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    waiting = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0.05)
    thread = threading.Thread(target=lambda: async_to_sync(layer.group_send)("g", {"type": "t", "n": 1}))
    thread.start()
    assert await asyncio.wait_for(waiting, 1.0) == {"type": "t", "n": 1}
    await asyncio.to_thread(thread.join)
