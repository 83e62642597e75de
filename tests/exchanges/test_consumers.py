"""Sockets through the site's own routing, with the origin check and the session."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.test import Client

from exchanges import messages
from tests.exchanges.trading import make_position, make_user
from traderai.lib import groups

pytestmark = pytest.mark.django_db(transaction=True)

HOST = b"testserver"


@pytest.fixture(autouse=True)
def _host(settings):
    settings.ALLOWED_HOSTS = ["testserver"]


def socket(path: str, user=None, origin: bytes = b"http://testserver") -> WebsocketCommunicator:
    from traderai.asgi import application

    headers = [(b"origin", origin), (b"host", HOST)]
    if user is not None:
        client = Client()
        client.force_login(user)
        headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}".encode()))
    return WebsocketCommunicator(application, path, headers=headers)


async def tick(market, price: float, ts_ms: int = 1) -> None:
    message = {"type": "tick", "market_id": market.pk, "symbol": market.symbol, "price": price, "ts_ms": ts_ms, "source": "replay"}
    await get_channel_layer().group_send(groups.TICKS, message)


async def receive(communicator: WebsocketCommunicator) -> dict:
    return json.loads(await communicator.receive_from(timeout=3))


@sync_to_async
def scene():
    alice, bob = make_user("alice@example.com"), make_user("bob@example.com")
    position = make_position(alice)
    return alice, bob, position, position.market, socket(f"/ws/positions/{alice.pk}/", alice)


async def test_it_tells_the_owner_each_tick_as_profit_and_loss():
    _, _, position, market, communicator = await scene()
    assert (await communicator.connect())[0]
    first = await receive(communicator)
    assert (first["id"], first["net_pnl"]) == (position.pk, -0.05)
    await asyncio.sleep(0.1)  # the hub's own subscription is made behind the handshake
    await tick(market, 50_500.0)
    moved = await receive(communicator)
    assert moved["mark_price"] == "50500.0"
    assert moved["unrealised_pnl"] == pytest.approx(1.0)
    assert moved["net_pnl"] == pytest.approx(0.95)
    assert moved["return_on_margin_pct"] == pytest.approx(4.75)
    await communicator.disconnect()


async def test_it_keeps_only_the_newest_of_many_ticks():
    _, _, _, market, communicator = await scene()
    await communicator.connect()
    await receive(communicator)
    await asyncio.sleep(0.1)
    for price in range(50_001, 50_041):
        await tick(market, float(price))
    got = [await receive(communicator)]
    while not await communicator.receive_nothing(timeout=0.6):
        got.append(await receive(communicator))
    assert len(got) <= 2
    assert got[-1]["mark_price"] == "50040.0"
    await communicator.disconnect()


async def test_it_forwards_a_change_of_the_row_and_forgets_what_is_closed():
    alice, _, position, market, communicator = await scene()
    await communicator.connect()
    await receive(communicator)
    closed = {**messages.of(position), "status": "closed", "exit_reason": "stop"}
    await get_channel_layer().group_send(groups.positions(alice.pk), {"type": "position.changed", "position": closed})
    assert (await receive(communicator))["status"] == "closed"
    await tick(market, 51_000.0)
    assert await communicator.receive_nothing(timeout=0.6)
    await communicator.disconnect()


@pytest.mark.parametrize(("who", "code"), [("bob", 4403), (None, 4401)])
async def test_it_refuses_strangers_with_a_code(who, code):
    alice, bob, *_ = await scene()
    communicator = await sync_to_async(socket)(f"/ws/positions/{alice.pk}/", bob if who else None)
    await communicator.connect()
    assert await communicator.receive_output(timeout=2) == {"type": "websocket.close", "code": code}


async def test_it_refuses_a_page_of_another_site():
    alice, *_ = await scene()
    communicator = await sync_to_async(socket)(f"/ws/positions/{alice.pk}/", alice, origin=b"https://evil.example")
    connected, _ = await communicator.connect()
    assert not connected


async def test_it_streams_one_market_by_its_symbol_and_knows_no_other():
    alice, _, _, market, _ = await scene()
    communicator = await sync_to_async(socket)("/ws/market/BTC/USDT:USDT/", alice)
    assert (await communicator.connect())[0]
    await asyncio.sleep(0.1)
    await tick(market, 49_990.5, ts_ms=7)
    assert await receive(communicator) == {
        "type": "tick", "market_id": market.pk, "symbol": "BTC/USDT:USDT", "price": 49_990.5, "ts_ms": 7, "source": "replay",
    }  # fmt: skip
    await communicator.disconnect()
    unknown = await sync_to_async(socket)("/ws/market/NOPE/USDT:USDT/", alice)
    await unknown.connect()
    assert await unknown.receive_output(timeout=2) == {"type": "websocket.close", "code": 4404}
