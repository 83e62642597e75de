"""The real ccxt.pro clients against the test venue, whose clock (and with it ours) runs four minutes a second."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.management import CommandError, call_command

from exchanges import candles, events
from exchanges.models import Market
from exchanges.streams import health, publishing, run
from exchanges.streams.run import Streams
from exchanges.streams.shards import WHOLE, Claim, Shard
from exchanges.venues import ccxt_live, registry
from tests.exchanges.frames import START_MS, make_frame, rows
from tests.venue import Instrument, TestVenue, VenueState
from traderai.lib import clock, threads

pytestmark = pytest.mark.django_db(transaction=True)

QUARTER_MS, MINUTE_MS = 900_000, 60_000
BASES = ("BTC", "ETH", "SOL")
SYMBOLS = tuple(f"{base}/USDT:USDT" for base in BASES)
STORED = 20
BARS = {"binance": "/market/ws", "okx": "/ws/v5/business"}
PRICES = {"binance": "/market/ws", "okx": "/ws/v5/public"}
assert ccxt_live  # imported before any clock runs: ccxt takes seconds
CANDLES = {"binance": "/fapi/v1/klines", "okx": "/api/v5/market/history-candles"}


@pytest.fixture(params=["binance", "okx"])
def slug(request) -> str:
    return request.param


@pytest.fixture
def state(monkeypatch) -> VenueState:
    """Three perpetuals, near the end of the first bar that is not stored here; the quickest of the faults still take a minute or two."""
    state = VenueState(START_MS + (STORED + 1) * QUARTER_MS - 4 * MINUTE_MS, walks=True)
    for seed, base in enumerate(BASES, start=1):
        state.enlist(Instrument(base), make_frame(60, symbol=f"{base}/USDT:USDT", seed=seed))
    monkeypatch.setattr(clock, "now_ms", lambda: state.now_ms)
    return state


@pytest.fixture
def venue(state, settings, tmp_path, monkeypatch):
    settings.RUN_DIR = tmp_path
    cache.clear()
    monkeypatch.setattr(events.candle_closed, "receivers", [])  # whoever acts on bars is not these tests' business
    monkeypatch.setattr(health, "FIRST_PAUSE_S", 0.2)
    with TestVenue(state) as running:
        settings.VENUE_BASE_URLS = dict.fromkeys(("binance", "okx"), running.url)
        registry.market_data.cache_clear()
        yield running
        registry.market_data.cache_clear()


@pytest.fixture
def closed():
    """How often each (symbol, open) was told as closed."""
    heard: Counter = Counter()

    def hear(symbol, timestamp, timeframe, **_):
        assert timeframe == "15m"
        heard[symbol, timestamp] += 1

    events.candle_closed.connect(hear)
    yield heard
    events.candle_closed.disconnect(hear)


def store(state, slug: str, *bases: str) -> list[Market]:
    markets = []
    for base in bases:
        market = candles.add_market(f"{base}/USDT:USDT", venue=slug)
        candles.ingest(market, state.candles[f"{base}USDT", "15m"].slice(0, STORED), provenance="venue")
        markets.append(market)
    return markets


@asynccontextmanager
async def streaming(
    slug: str,
    *,
    state: VenueState | None = None,
    shard: Shard = WHOLE,
    said: list[str] | None = None,
    silent_s: float = 2.0,
    alone: bool = True,
    **how,
):
    """Streams that run while the block does; afterwards nothing of them is left. With `state` the time begins to run with the first price."""
    venue = await threads.run(candles.find_venue, slug)
    before = asyncio.all_tasks()
    with Claim(slug, shard) as claim:
        streams = Streams(
            venue,
            registry.live(slug),
            registry.market_data(slug),
            claim=claim,
            say=(said if said is not None else []).append,
            silent_s=silent_s,
            **how,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(streams.run(stop))
        try:
            if state is not None:
                await until(
                    lambda: any(streams.closer.markets) and publishing.newest([m.pk for m in streams.closer.markets.values()], ["tick"])
                )
                state.speed = 240.0
            yield streams
        finally:
            stop.set()
            await asyncio.wait_for(running, 3.0)
    await asyncio.sleep(0.05)
    assert not alone or asyncio.all_tasks() == before


async def until(condition, within_s: float = 12.0) -> None:
    end_s = time.monotonic() + within_s
    while not await threads.run(condition):
        assert time.monotonic() < end_s, condition
        await asyncio.sleep(0.05)


def stored_to(markets, bar: int):
    """Whether all markets have the base bar of this number, and some minutes after it was told."""

    def is_there() -> bool:
        reached = all((candles.last_open_ms(market, "15m") or 0) >= START_MS + bar * QUARTER_MS for market in markets)
        return reached and (not settings.STREAM_STORE_1M or all(len(candles.read(market, "1m", last=4)) > 3 for market in markets))

    return is_there


def assert_whole(state, markets) -> None:
    """What is stored is what the venue has: every bar, as it has it."""
    for market in markets:
        wire_id = f"{market.base}USDT"
        told = candles.read(market, "15m")
        assert rows(told) == rows(state.candles[wire_id, "15m"].slice(0, len(told)))
        minutes = candles.read(market, "1m")
        assert len(minutes) > 3
        first, last = int(minutes.timestamp[0]), int(minutes.timestamp[-1])
        expected = state.bars(wire_id, "1m", first, last, 10_000)
        assert [row[0] for row in rows(minutes)] == [bar[0] for bar in expected]
        assert [row[1:6] for row in rows(minutes)] == [pytest.approx(bar[1:6]) for bar in expected]


async def test_it_streams_prices_bars_and_books_and_stores_what_has_closed(state, venue, slug, closed):
    markets = await threads.run(store, state, slug, *BASES)
    async with streaming(slug, state=state, silent_s=60.0):
        await until(stored_to(markets, STORED + 1))
        told = {(update.key[0], *update.key[2:]): update for update in await threads.run(publishing.newest, [markets[0].pk])}
    assert set(told) == {("tick",), ("bar", "1m"), ("bar", "15m"), ("book",), ("feed",)}
    assert {update.source for update in told.values()} == {"venue"}
    tick, book = told["tick",], told["book",]
    assert state.now_ms - QUARTER_MS < tick.ts_ms <= state.now_ms
    assert tick.change_pct is not None
    assert tick.bid is None or tick.bid <= tick.ask
    assert len(book.bids) == len(book.asks) == 20
    assert book.bids[0][0] < book.asks[0][0]
    assert told["feed",].state == "live"
    await threads.run(assert_whole, state, markets)
    assert set(closed.values()) == {1}
    assert {symbol for symbol, _ in closed} == set(SYMBOLS)
    assert (await threads.run(publishing.latest, markets[0].pk, "feed")).state == "down", "an end is told"


FAULTS = [
    ("drop", {"nth": 3}),
    ("drop", {"nth": 3, "times": 5}),
    ("disconnect", {"nth": 5}),
    ("silent", {"nth": 7}),
    ("garbage", {"nth": 6}),
    ("missed", {"nth": 8, "times": 60}),
    ("stale", {"nth": 4, "times": 40}),
    ("refuse", {"times": 2}),
]
OKX_FAULTS = ("silent", "garbage", "refuse")  # what differs by dialect


@pytest.mark.parametrize(
    ("slug", "kind", "how"), [("binance", *fault) for fault in FAULTS] + [("okx", *fault) for fault in FAULTS if fault[0] in OKX_FAULTS]
)
async def test_it_ends_with_the_venues_bars_however_a_stream_fails(state, venue, slug, closed, kind, how):
    markets = await threads.run(store, state, slug, "BTC", "ETH")
    venue.script(BARS[slug], kind, **how)
    async with streaming(slug, state=state):
        await until(stored_to(markets, STORED + 1))
    assert {struck for _, struck, _ in venue.faults.struck} == {kind}
    await threads.run(assert_whole, state, markets)
    assert set(closed.values()) == {1}


async def test_it_waits_for_rest_to_repair_a_gap_before_it_tells_newer_bars(state, venue, slug, closed):
    markets = await threads.run(store, state, slug, "BTC")
    state.now_ms += 3 * QUARTER_MS  # it was away for three bars
    venue.script(CANDLES[slug], "status", status=503, times=6)
    async with streaming(slug, state=state):
        await until(stored_to(markets, STORED + 4), within_s=18.0)
    assert len([struck for struck in venue.faults.struck if struck[1] == "status"]) == 6
    await threads.run(assert_whole, state, markets)
    assert list(closed) == sorted(closed), "oldest first"
    assert set(closed.values()) == {1}


async def test_it_says_when_a_market_is_stale_and_when_it_is_down(state, venue, slug, monkeypatch):
    (market,) = await threads.run(store, state, slug, "BTC")
    monkeypatch.setattr(health, "STALE_S", 0.5)

    def feed():
        return getattr(publishing.latest(market.pk, "feed"), "state", None)

    async with streaming(slug, silent_s=60.0):
        await until(lambda: feed() == "live")
        venue.silence()
        await until(lambda: feed() == "stale")
        venue.script(BARS[slug], "refuse", times=10_000)
        venue.script(PRICES[slug], "refuse", times=10_000)
        venue.drop()
        await until(lambda: feed() == "down")
        venue.faults.clear()
        await until(lambda: feed() == "live")
    assert feed() == "down", "what has ended is not called live"


async def test_it_says_that_the_venue_is_away_and_keeps_trying(state, venue, slug):
    markets = await threads.run(store, state, slug, "BTC")
    info = {"binance": "/fapi/v1/exchangeInfo", "okx": "/api/v5/public/instruments"}[slug]
    venue.script(info, "status", status=503, times=8)
    said: list[str] = []
    async with streaming(slug, state=state, said=said):
        await until(stored_to(markets, STORED + 1))
    assert any(text.startswith(f"{slug} is ") and "until the connection is back" in text for text in said)


async def test_it_says_what_to_run_and_takes_up_markets_without_a_restart(state, venue, slug, monkeypatch):
    monkeypatch.setattr(run, "CHOOSE_EVERY_S", 0.2)
    said: list[str] = []
    async with streaming(slug, said=said):
        await until(lambda: bool(said))
        assert said[0].startswith(f"No market of {slug} has history from its public API: run `manage.py backfill --symbols")
        (btc,) = await threads.run(store, state, slug, "BTC")
        await until(lambda: publishing.latest(btc.pk, "tick") is not None)
        (eth,) = await threads.run(store, state, slug, "ETH")
        await until(lambda: publishing.latest(eth.pk, "book") is not None)
        assert said[1:] == [f"LIVE prices of 1 markets of {slug}", f"LIVE prices of 2 markets of {slug}"]
        await threads.run(Market.objects.filter(pk=btc.pk).update, is_active=False)
        await until(lambda: said[-1] == f"LIVE prices of 1 markets of {slug}" and len(said) == 4)


async def test_two_parts_stream_every_market_once(state, venue, closed):
    markets = await threads.run(store, state, "binance", *BASES)
    async with (
        streaming("binance", shard=Shard(1, 2)) as first,
        streaming("binance", shard=Shard(2, 2), state=state, alone=False) as second,
    ):
        await until(stored_to(markets, STORED + 1))
        parts = first.closer.markets.keys(), second.closer.markets.keys()
        assert not parts[0] & parts[1]
        assert parts[0] | parts[1] == set(SYMBOLS)
        assert all(parts)
    assert set(closed.values()) == {1}


async def test_it_stores_no_minutes_when_told_so(state, venue, settings):
    settings.STREAM_STORE_1M = False
    markets = await threads.run(store, state, "binance", "BTC")
    async with streaming("binance", state=state):
        await until(stored_to(markets, STORED + 1))
        assert (await threads.run(publishing.latest, markets[0].pk, ("bar", "1m"))) is None
    assert len(await threads.run(candles.read, markets[0], "1m")) == 0


def test_the_command_refuses_what_makes_no_sense(venue, state):
    for options, message in (
        ({"shard": "3/2"}, "shard: '3/2' is no part"),
        ({"venue": "nowhere"}, "venue: 'nowhere' is not known"),
        ({"symbols": "DOGE"}, "symbols: 'DOGE' is not listed on binance"),
    ):
        with pytest.raises(CommandError, match=message):
            call_command("run_streams", **options)
    with Claim("binance"), pytest.raises(CommandError, match="another process streams or replays part 1/1 of binance already"):
        call_command("run_streams")


def test_the_command_ends_within_three_seconds_of_a_signal_even_while_the_venue_does_not_answer(venue, tmp_path):
    venue.script("/fapi/v1/exchangeInfo", "timeout", times=100)
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/streams.sqlite3",
        "REDIS_URL": "",
        "VENUE_BASE_URLS": f'{{"binance": "{venue.url}"}}',
    }
    prepare = (
        "import django; django.setup(); from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
        "from exchanges import candles; from tests.exchanges.frames import make_frame\n"
        "frame = make_frame(5); candles.ingest(candles.find_market(frame.symbol), frame, provenance='venue')\n"
    )
    subprocess.run([sys.executable, "-c", prepare], env=env, check=True)
    running = subprocess.Popen([sys.executable, "manage.py", "run_streams"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout.readline() == "LIVE prices of 1 markets of binance\n"
        time.sleep(0.3)
        asked_s = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.stdout.readline() == "Stopped.\n"
        assert time.monotonic() - asked_s < 3.0
        running.wait(20.0)
    finally:
        running.kill()
    assert running.returncode == 0
