"""An ASGI application that talks ten megabytes a second to every socket, for the tests of the web process."""

import asyncio

FRAME = "x" * 50_000


async def application(scope, receive, send) -> None:
    assert scope["type"] == "websocket"
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    gone = asyncio.create_task(until_gone(receive))
    while not gone.done():
        await send({"type": "websocket.send", "text": FRAME})
        await asyncio.sleep(0.005)


async def until_gone(receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass
