"""A real Redis that is killed, or hangs, in the middle of the day: pages render, nothing that was asked for is lost, and nothing happens twice."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import pytest
import redis
from asgiref.sync import sync_to_async
from celery import Celery
from django.core.cache import cache
from django.urls import reverse

from exchanges import candles, execution, hub, paper_accounts, positions, streams, tasks
from exchanges.models import Fill, Order, Position
from exchanges.streams import Tick, publishing
from tests.exchanges.entries import BAR_MS, START_MS, ledger_sum, plan_at, store, submit
from tests.exchanges.test_consumers import scene, socket
from tests.exchanges.test_hub import Listener
from tests.private_redis import Server
from traderai.celery import app

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = ["dashboard", "signals:list", "positions:list", "positions:history", "strategies:list", "backtests:list", "settings", "security"]


@pytest.fixture
def server(settings):
    """Cache, channel layer and broker of this test, as the product's settings spell them."""
    folder = Path(tempfile.mkdtemp(prefix="redis-", dir="/tmp"))  # a socket's path must be short
    server = Server(folder)
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": server.url,
            "OPTIONS": {"serializer": "traderai.lib.cache.JSONSerializer", "socket_timeout": 3},
        }
    }
    host = {"address": server.url, "socket_timeout": 3, "socket_connect_timeout": 3}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [host]}}}
    settings.REDIS_URL = server.url
    options = {"task_always_eager": False, "broker_transport_options": settings.CELERY_BROKER_TRANSPORT_OPTIONS}
    broker = Celery("of this test", broker=f"redis+socket://{server.socket}?virtual_host=0", changes=options)
    broker.set_current()
    yield server
    broker.close()
    app.set_current()
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture
def market():
    return candles.find_market("ETH/USDT:USDT")


@pytest.fixture
def account(alice):
    alice.profile.simulation_capital = Decimal(1000)
    alice.profile.save()
    return paper_accounts.open_for(alice)


def queued(server) -> int:
    return redis.Redis(unix_socket_path=str(server.socket)).llen("celery")


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_pages_render_with_their_honest_label_while_redis_is_away(server, alice, market, client_for, fault):
    store(market, [3000.0] * 4, provenance="simulated")
    client = client_for(alice)
    getattr(server, fault)()
    for name in PAGES[:2] if fault == "hang" else PAGES:
        began = time.monotonic()
        reply = client.get(reverse(name))
        assert (reply.status_code, time.monotonic() - began < 8) == (200, True), name
        assert "SIMULATED MARKET" in reply.content.decode(), name


def test_a_login_is_refused_clearly_and_works_again_when_redis_is_back(server, alice, client):
    form = {"login": alice.email, "password": "correct horse battery"}
    assert client.get(reverse("account_login")).status_code == 200
    server.kill()
    assert client.get(reverse("account_login")).status_code == 200
    reply = client.post(reverse("account_login"), form)
    assert (reply.status_code, reply["Retry-After"]) == (503, "10")
    assert "does not answer" in reply.content.decode()
    server.start()
    assert client.post(reverse("account_login"), form).status_code == 302


def test_the_health_check_says_so(server, client):
    assert client.get("/api/v1/health").status_code == 200
    server.kill()
    reply = client.get("/api/v1/health")
    assert reply.status_code == 503


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_orders_and_stops_go_on_while_redis_is_away(server, alice, account, market, client_for, fault):
    """From the entry to the stop: asked for with Redis, carried on without it, and looked at again after it came back empty."""
    decided = store(market, [3000.0] * 4)
    streams.publish_tick(Tick(market.pk, market.symbol, 3000.0, decided, "replay"))
    entry = submit(account, market, plan_at(3000.0, decided))
    assert queued(server) == 1  # a message that nobody will ever read
    getattr(server, fault)()

    second = submit(account, candles.find_market("BTC/USDT:USDT"), plan_at(3000.0, decided), origin="signal:2")
    assert second.state == "denied"  # the gate answers: no price there
    tasks.sweep_orders()  # its messages go nowhere, and it says so in the log
    execution.sweep()  # what a worker that still runs does
    entry.refresh_from_db()
    assert entry.state == "filled"
    position = Position.objects.get()

    store(market, [3065.0, 2900.0], start_ms=decided)
    tasks.sweep_positions()
    positions.on_bar(market.pk)
    position.refresh_from_db()
    assert (position.status, position.exit_reason, position.tps_hit) == ("closed", "trail", 1)

    server.kill()
    server.start()
    tasks.sweep_orders()
    execution.sweep()
    positions.on_bar(market.pk)
    account.refresh_from_db()
    assert list(Fill.objects.order_by("pk").values_list("reason", flat=True)) == ["entry", "tp1", "trail"]
    assert account.balance == ledger_sum(account) == 1000 + position.net_pnl


def test_a_close_that_was_asked_for_on_the_page_while_redis_is_away_is_kept(server, alice, account, market, client_for):
    decided = store(market, [3000.0] * 4)
    submit(account, market, plan_at(3000.0, decided))
    execution.sweep()
    position = Position.objects.get()
    client = client_for(alice)
    server.kill()
    assert client.post(reverse("positions:close", args=[position.pk])).status_code == 302
    assert Order.objects.get(reduce_only=True).state == "ready"
    execution.sweep()
    position.refresh_from_db()
    assert (position.status, position.exit_reason) == ("closed", "manual")


def test_prices_come_back_with_redis(server, market):
    store(market, [3000.0] * 4)
    later = Tick(market.pk, market.symbol, 3010.0, START_MS + 4 * BAR_MS + 1, "replay")
    server.kill()
    streams.publish_tick(later)
    assert streams.latest_tick(market).price == 3000.0  # the close of the newest bar
    server.start()
    streams.publish_tick(later)
    assert streams.latest_tick(market) == later
    cache.clear()


@pytest.mark.parametrize("fault", ["kill", "hang"])
async def test_sockets_hear_again_when_redis_is_back(server, fault):
    """Members that were there before; and one that joins afterwards."""
    before, after = Listener(), Listener()
    tick = Tick(7, "BTC/USDT:USDT", 1.0, START_MS, "replay")

    async def is_heard(member: Listener) -> bool:
        member.told.clear()
        async with asyncio.timeout(20):
            while not member.told:
                await publishing.apublish([tick])
                await asyncio.sleep(0.1)
        return member.texts[0]["price"] == tick.price

    hub.current().watch(before, [7])
    await hub.current().listening()
    assert await is_heard(before)
    getattr(server, fault)()
    await publishing.apublish([tick])  # costs these prices, raises nothing
    server.start() if fault == "kill" else os.kill(server.process.pid, signal.SIGCONT)
    assert await is_heard(before)
    hub.current().watch(after, [7])
    assert await is_heard(after)
    for member in (before, after):
        hub.current().leave(member)


async def test_a_socket_holds_no_connection_to_redis_of_its_own(server, settings):
    """Ten thousand sockets would need as many descriptors again."""
    settings.ALLOWED_HOSTS = ["testserver"]
    alice, *_ = await scene()
    sockets = [await sync_to_async(socket)("/ws/market/BTC/USDT:USDT/", alice) for _ in range(20)]
    clients = redis.Redis(unix_socket_path=str(server.socket))
    for each in sockets:
        assert (await each.connect())[0]
    await asyncio.sleep(0.2)
    assert len(clients.client_list()) < 15
    for each in sockets:
        await each.disconnect()
