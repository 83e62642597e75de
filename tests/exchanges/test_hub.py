"""The hub by itself: members without sockets, a real channel layer."""

import asyncio
import json

import pytest
from channels.layers import get_channel_layer

from exchanges import hub
from exchanges.live import Bar, Book, Feed, Tick, message
from traderai.lib import groups

pytestmark = pytest.mark.redis
BTC, ETH = 7, 8
TICK = Tick(BTC, "BTC/USDT:USDT", 1.0, 1_000, "venue")
BAR = Bar(BTC, "BTC/USDT:USDT", "1m", 0, 1.0, 1.0, 1.0, 1.0, 1.0, False, "venue")
FEED = Feed(BTC, "BTC/USDT:USDT", "live", 1_000, "venue")
BOOK = Book(BTC, "BTC/USDT:USDT", 1_000, (), (), "venue")


class Listener:
    """A member that notes what it is told, and when."""

    def __init__(self, fails: bool = False) -> None:
        self.told: list[hub.News] = []
        self.at: list[float] = []
        self.fails = fails
        self.came = asyncio.Event()

    async def deliver(self, news: hub.News) -> None:
        if self.fails:
            raise RuntimeError("of the test")
        self.told.append(news)
        self.at.append(asyncio.get_running_loop().time())
        self.came.set()

    async def close(self, code: int) -> None:
        self.closed_with = code

    @property
    def texts(self) -> list[dict]:
        return [json.loads(frame["text"]) for news in self.told for frame in news.frames]

    async def hears(self, count: int) -> None:
        async with asyncio.timeout(3):
            while len(self.told) < count:
                await self.came.wait()
                self.came.clear()


@pytest.fixture
async def join():
    """join(member, market_ids): a member; None watches all markets. Everybody leaves in the end."""
    members = []

    async def join(member, market_ids):
        members.append(member)
        if market_ids is None:
            hub.current().watch_all(member)
        else:
            hub.current().watch(member, market_ids)
        await hub.current().listening()
        return member

    yield join
    for member in members:
        hub.current().leave(member)


async def publish(*updates) -> None:
    await get_channel_layer().group_send(groups.LIVE, {"type": "live", "updates": [message(update) for update in updates]})


async def test_it_tells_each_member_of_its_markets_only(join):
    btc, eth, both = await join(Listener(), [BTC]), await join(Listener(), [ETH]), await join(Listener(), [BTC, ETH])
    await publish(TICK, TICK._replace(market_id=ETH), TICK._replace(market_id=99))
    await both.hears(2)
    assert [[text["market_id"] for text in member.texts] for member in (btc, eth, both)] == [[BTC], [ETH], [BTC, ETH]]
    assert btc.told[0].frames[0] is both.told[0].frames[0], "a frame is encoded once"


async def test_it_says_a_market_as_its_updates_spell_it(join):
    member = await join(Listener(), [BTC])
    updates = [TICK, BAR, BAR._replace(timeframe="15m"), BOOK._replace(bids=((1.0, 2.0),)), FEED]
    await publish(*updates)
    await member.hears(1)
    assert member.texts == [json.loads(json.dumps(message(update))) for update in updates]


async def test_it_tells_those_who_watch_all_markets_ticks_and_feeds_in_one_frame(join):
    member = await join(Listener(), None)
    await publish(TICK, BAR, BOOK, FEED, TICK._replace(market_id=ETH))
    await member.hears(1)
    (text,) = member.texts
    assert text["type"] == "updates"
    assert [(update["type"], update["market_id"]) for update in text["updates"]] == [("tick", BTC), ("feed", BTC), ("tick", ETH)]


@pytest.mark.parametrize(("market_ids", "every_s"), [([BTC], hub.MARKET_EVERY_S), (None, hub.ALL_EVERY_S)])
async def test_it_hands_out_at_once_after_a_quiet_time_and_then_keeps_its_pace(join, market_ids, every_s):
    member = await join(Listener(), market_ids)
    await asyncio.sleep(0.15)  # the layer over Redis begins to read a moment after its first subscription
    clock = asyncio.get_running_loop().time
    began, price = clock(), 0
    while clock() - began < 2.2 * every_s:
        price += 1
        await publish(TICK._replace(price=float(price)))
        await asyncio.sleep(0.01)
    await member.hears(3)
    assert member.at[0] - began < 0.1
    assert min(b - a for a, b in zip(member.at, member.at[1:], strict=False)) > every_s - 0.02
    await asyncio.sleep(every_s)
    last = next(iter(member.told[-1].messages.values()))
    assert last["price"] == price, "the newest wins, and none is kept back"


async def test_it_tells_a_bar_that_closed_beside_the_one_that_opened(join):
    member = await join(Listener(), [BTC])
    await publish(BAR, BAR._replace(close=2.0, closed=True), BAR._replace(timestamp=60_000))
    await member.hears(1)
    assert [(text["timestamp"], text["closed"]) for text in member.texts] == [(0, True), (60_000, False)]


async def test_one_member_that_fails_costs_the_others_nothing(join):
    failing = await join(Listener(fails=True), [BTC])
    member = await join(Listener(), [BTC])
    await publish(TICK)
    await publish(TICK._replace(price=2.0))
    await member.hears(1)
    assert member.texts[-1]["price"] in (1.0, 2.0)
    assert failing.closed_with == hub.INTERNAL_ERROR, "its browser comes back"


class Stuck(Listener):
    """Its client reads nothing, and its server waits for that."""

    async def deliver(self, news: hub.News) -> None:
        await asyncio.Event().wait()


async def test_it_waits_for_nobody(join):
    await join(Stuck(), [BTC])
    member = await join(Listener(), [BTC])
    for price in (1.0, 2.0):
        await publish(TICK._replace(price=price))
        await member.hears(int(price))
    assert member.at[1] - member.at[0] < 2 * hub.MARKET_EVERY_S


async def test_it_listens_again_after_a_message_it_does_not_understand(join, monkeypatch):
    monkeypatch.setattr(hub, "RESTART_S", 0.01)
    member = await join(Listener(), [BTC])
    await get_channel_layer().group_send(groups.LIVE, {"type": "live", "updates": [{"odd": 1}]})
    async with asyncio.timeout(3):
        while not member.told:
            await publish(TICK)
            await asyncio.sleep(0.05)
    assert {message["price"] for news in member.told for message in news.messages.values()} == {TICK.price}


async def test_it_ends_with_its_last_member_and_begins_anew(join):
    first = await join(Listener(), [BTC])
    mine = hub.current()
    mine.leave(first)
    await asyncio.sleep(0.05)
    assert [task for task in asyncio.all_tasks() if "Hub" in repr(task.get_coro())] == []
    second = await join(Listener(), [BTC])
    assert hub.current() is not mine
    await publish(TICK)
    await second.hears(1)
    assert first.told == []
