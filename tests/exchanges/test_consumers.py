"""Sockets through the site's own routing, with the origin check and the session."""

import asyncio
import json
import time

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.test import Client

from exchanges import candles, hub, messages
from exchanges.live import Bar, Book, Feed, Tick, message
from exchanges.models import Market
from exchanges.streams import publishing
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
    await publishing.apublish([Tick(market.pk, market.symbol, price, ts_ms, "replay")])


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


async def live_socket(path: str) -> tuple[Market, WebsocketCommunicator]:
    """Alice's socket, joined to the hub, and the market of her position."""
    alice, _, _, market, _ = await scene()
    communicator = await sync_to_async(socket)(path, alice)
    assert (await communicator.connect())[0]
    await asyncio.sleep(0.1)
    return market, communicator


async def test_it_streams_one_market_by_its_symbol():
    market, communicator = await live_socket("/ws/market/BTC/USDT:USDT/")
    tick = Tick(market.pk, market.symbol, 49_990.5, 7, "replay", change_pct=1.5)
    await publishing.apublish([tick, tick._replace(market_id=market.pk + 1)])
    assert await receive(communicator) == {"type": "tick", **tick._asdict()}
    assert await communicator.receive_nothing(timeout=0.3)
    await communicator.disconnect()


async def test_it_begins_with_the_newest_of_each_kind():
    _, _, _, market, _ = await scene()
    tick = Tick(market.pk, market.symbol, 1.0, 7, "replay")
    bar = Bar(market.pk, market.symbol, "1m", 0, 1.0, 2.0, 0.5, 1.5, 10.0, False, "replay")
    updates = [tick, bar, bar._replace(timeframe="15m"), Book(market.pk, market.symbol, 7, ((1.0, 2.0),), (), "replay")]
    updates.append(Feed(market.pk, market.symbol, "live", 7, "replay"))
    await publishing.apublish([tick._replace(price=0.5)])
    await publishing.apublish(updates)
    communicator = await sync_to_async(socket)(f"/ws/market/{market.symbol}/", await sync_to_async(make_user)("carol@example.com"))
    assert (await communicator.connect())[0]
    assert [await receive(communicator) for _ in updates] == [json.loads(json.dumps(message(update))) for update in updates]
    await communicator.disconnect()


async def test_it_begins_with_what_came_while_it_loaded(monkeypatch):
    """An update between joining and reading what was published before: told once, as the newest."""
    published = publishing.newest

    def slow(*args):
        found = published(*args)
        time.sleep(0.2)
        return found

    monkeypatch.setattr(publishing, "newest", slow)
    alice, _, _, market, _ = await scene()
    tick = Tick(market.pk, market.symbol, 1.0, 7, "replay")
    await publishing.apublish([tick])
    communicator = await sync_to_async(socket)("/ws/market/BTC/USDT:USDT/", alice)
    assert (await communicator.connect())[0]
    await asyncio.sleep(0.1)
    await publishing.apublish([tick._replace(price=2.0)])
    assert (await receive(communicator))["price"] == 2.0
    assert await communicator.receive_nothing(timeout=0.4)
    await communicator.disconnect()


@sync_to_async
def on_another_venue(**facts) -> Market:
    """BTC/USDT:USDT of bybit."""
    market = candles.add_market("BTC/USDT:USDT", venue="bybit")
    Market.objects.filter(pk=market.pk).update(**facts)
    return market


async def test_it_takes_the_venue_that_is_named():
    market = await on_another_venue()
    _, communicator = await live_socket("/ws/market/BTC/USDT:USDT/?venue=bybit")
    await publishing.apublish([Tick(market.pk, market.symbol, 1.0, 7, "venue")])
    assert (await receive(communicator))["market_id"] == market.pk
    await communicator.disconnect()


async def test_it_takes_a_venue_with_candles_when_none_is_named():
    market = await on_another_venue(provenance="venue")
    alice = await sync_to_async(make_user)("alice@example.com")
    communicator = await sync_to_async(socket)("/ws/market/BTC/USDT:USDT/?venue=", alice)
    await communicator.connect()
    await asyncio.sleep(0.1)
    await publishing.apublish([Tick(market.pk, market.symbol, 1.0, 7, "venue")])
    assert (await receive(communicator))["market_id"] == market.pk
    await communicator.disconnect()


@pytest.mark.parametrize(
    "path",
    ["NOPE/USDT:USDT/", "BTC/USDT:USDT/?venue=nowhere", "BTC%00/USDT/", "BTC/USDT:USDT/?venue=%00", "BTC/USDT:USDT/?venue=%ff", "%F0/"],
)
async def test_it_knows_no_other_market(path):
    alice, *_ = await scene()
    communicator = await sync_to_async(socket)(f"/ws/market/{path}", alice)
    await communicator.connect()
    assert await communicator.receive_output(timeout=2) == {"type": "websocket.close", "code": 4404}


async def test_it_streams_all_markets_in_one_frame():
    alice, _, _, market, _ = await scene()
    tick, feed = Tick(market.pk, market.symbol, 1.0, 7, "replay"), Feed(market.pk, market.symbol, "live", 7, "replay")
    await publishing.apublish([tick, feed, Tick(10**6, "GONE/USDT", 1.0, 7, "replay")])
    communicator = await sync_to_async(socket)("/ws/markets/", alice)
    assert (await communicator.connect())[0]
    assert await receive(communicator) == {"type": "updates", "updates": [message(tick), message(feed)]}
    await publishing.apublish([tick._replace(price=2.0), Bar(market.pk, market.symbol, "1m", 0, 1.0, 2.0, 0.5, 1.5, 10.0, False, "replay")])
    assert await receive(communicator) == {"type": "updates", "updates": [message(tick._replace(price=2.0))]}
    await communicator.disconnect()


@pytest.mark.parametrize("path", ["/ws/market/BTC/USDT:USDT/", "/ws/markets/", "/ws/positions/{}/"])
async def test_it_leaves_nothing_behind(path):
    alice, *_ = await scene()
    communicator = await sync_to_async(socket)(path.format(alice.pk), alice)
    await communicator.connect()
    await asyncio.sleep(0.1)
    assert hub._hubs
    await communicator.disconnect()
    await asyncio.sleep(0.1)
    assert hub._hubs == {}
    assert [task for task in asyncio.all_tasks() if "Hub" in repr(task.get_coro())] == []


async def test_it_leaves_when_its_task_is_killed():
    _, communicator = await live_socket("/ws/markets/")
    communicator.stop(exceptions=False)
    await asyncio.sleep(0.1)
    assert hub._hubs == {}


@pytest.mark.parametrize("path", ["/ws/market/BTC/USDT:USDT/", "/ws/markets/"])
async def test_it_tells_nobody_who_is_not_signed_in(path):
    communicator = await sync_to_async(socket)(path)
    await communicator.connect()
    assert await communicator.receive_output(timeout=2) == {"type": "websocket.close", "code": 4401}
