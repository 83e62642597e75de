import asyncio

import pytest

from exchanges.live import Bar, Book, Feed, Tick, message
from exchanges.streams import publishing
from tests.listening import heard
from traderai.lib import groups

pytestmark = pytest.mark.redis

BTC = "BTC/USDT:USDT"
TICK = Tick(7, BTC, 41_000.5, 1_000, "venue", change_pct=-1.5, bid=41_000.0, ask=41_001.0)
MINUTE = Bar(7, BTC, "1m", 60_000, 1.0, 3.0, 0.5, 2.0, 10.0, False, "venue")
QUARTER = MINUTE._replace(timeframe="15m", timestamp=0)
BOOK = Book(7, BTC, 1_000, bids=((40_999.5, 2.0), (40_999.0, 1.0)), asks=((41_000.5, 0.25),), source="venue")
FEED = Feed(7, BTC, "live", 1_000, "venue")
ALL = [TICK, MINUTE, QUARTER, BOOK, FEED]


def test_it_sends_all_updates_of_a_call_in_one_message():
    (sent,) = heard(groups.LIVE, 1, lambda: publishing.publish(ALL))
    assert sent["type"] == "live"
    assert [update["type"] for update in sent["updates"]] == ["tick", "bar", "bar", "book", "feed"]
    assert sent["updates"][0] == message(TICK)


def test_it_does_so_from_an_event_loop():
    (sent,) = heard(groups.LIVE, 1, lambda: asyncio.run(publishing.apublish(ALL)))
    assert len(sent["updates"]) == 5
    assert publishing.latest(7, "book") == BOOK


@pytest.mark.parametrize(("kind", "update"), list(zip(publishing.KINDS, ALL, strict=True)))
def test_it_remembers_the_newest_of_each_kind_as_it_was(kind, update):
    publishing.publish(ALL)
    assert publishing.latest(7, kind) == update
    assert publishing.latest(8, kind) is None


def test_it_remembers_the_last_of_one_key():
    publishing.publish([TICK, TICK._replace(price=2.0)])
    publishing.publish([FEED._replace(state="down")])
    assert publishing.latest(7, "tick").price == 2.0
    assert publishing.latest(7, "feed").state == "down"


def test_it_reads_many_markets_at_once():
    publishing.publish([TICK, TICK._replace(market_id=9), FEED])
    assert {update.key for update in publishing.newest([7, 8, 9])} == {("tick", 7), ("tick", 9), ("feed", 7)}


def test_it_sends_nothing_when_there_is_nothing_to_say():
    first, second = heard(groups.LIVE, 2, lambda: [publishing.publish(updates) for updates in ([TICK], [], [FEED])])
    assert (first["updates"][0]["type"], second["updates"][0]["type"]) == ("tick", "feed")


@pytest.mark.parametrize(
    "odd", [TICK._replace(price=float("nan")), TICK._replace(bid=float("inf")), BOOK._replace(asks=((float("nan"), 1.0),))]
)
def test_it_leaves_out_what_no_browser_can_read(odd):
    (sent,) = heard(groups.LIVE, 1, lambda: publishing.publish([odd, FEED]))
    assert [update["type"] for update in sent["updates"]] == ["feed"]
    assert publishing.latest(7, "tick") is None
