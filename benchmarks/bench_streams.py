"""Live streams of 50 markets at 10 updates a second on each of their four streams (price, 1m and 15m bars, book), from the test venue as a
process of its own: python benchmarks/bench_streams.py. Prints JSON.

CPU is this process's alone (process_time), the publishing of everything four times a second and the storing of closed bars included. With
REDIS_URL it publishes there, with DATABASE_URL it stores there (in a database of its own that is removed at the end); else in memory and
in SQLite.

--soak SECONDS lets a venue with a clock 20 times as fast fail at random instead, and counts what is stored against what the venue has.
"""

import asyncio
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
MARKETS, RATE = 50, 10
WARM_UP_S, MEASURED_S = 15.0, 30.0
SOAK_MARKETS, SOAK_SPEED, FAULT_EVERY_S = 6, 20.0, 3.0
SOCKET_FAULTS = ("drop", "disconnect", "silent", "garbage", "missed", "stale", "refuse")
REST_FAULTS = ("status", "html", "truncated", "reset", "empty", "gap", "disorder", "duplicate")
KLINES = "/fapi/v1/klines"


def main() -> None:
    soak_s = float(sys.argv[2]) if sys.argv[1:2] == ["--soak"] else 0.0
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["DATA_DIR"] = folder = tempfile.mkdtemp(prefix="bench-")
    os.environ.setdefault("DATABASE_URL", f"sqlite:///{folder}/bench.sqlite3")
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    import django

    django.setup()
    from django.conf import settings
    from django.db import connection

    from tests.venue.process import VenueProcess

    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, serialize=False)
    options = {"symbols": SOAK_MARKETS, "speed": SOAK_SPEED} if soak_s else {"symbols": MARKETS, "speed": 1}
    try:
        with VenueProcess(limits=False, rate=RATE, days=2, **options) as venue:
            settings.VENUE_BASE_URLS = {"binance": venue.url}
            found = asyncio.run(soak(venue, soak_s) if soak_s else measure())
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
    told = {"benchmark": "streams", "database": connection.vendor, "redis": bool(settings.REDIS_URL), "load": os.getloadavg()[0]}
    print(json.dumps(told | found))


def prepare() -> list[Any]:
    """Markets with the newest two hours of the venue's history."""
    from exchanges import candles
    from exchanges.venues import registry

    venue = registry.market_data("binance")
    since_ms = venue.now_ms() // 900_000 * 900_000 - 8 * 900_000
    markets = [candles.add_market(spec.symbol) for spec in venue.markets("perpetual")]
    for market in markets:
        candles.ingest(market, venue.candles(market.symbol, "15m", since_ms, 100), provenance="venue")
    return markets


def make(claim: Any) -> Any:
    from exchanges import candles
    from exchanges.streams.run import Streams
    from exchanges.venues import registry

    registry.live("binance")
    return Streams(
        candles.find_venue("binance"), registry.live("binance"), registry.market_data("binance"), claim=claim, say=lambda text: None
    )


async def measure() -> dict[str, Any]:
    from exchanges.streams.shards import Claim
    from traderai.lib import threads

    markets = await threads.run(prepare)
    with Claim("binance") as claim:
        streams = await threads.run(make, claim)
        heard, deliver = Counter(), streams._deliver

        def count(update: Any) -> None:
            heard[type(update).__name__] += 1
            deliver(update)

        streams._deliver = count
        stop = asyncio.Event()
        running = asyncio.create_task(streams.run(stop))
        await asyncio.sleep(WARM_UP_S)
        heard.clear()
        cpu_s, wall_s = time.process_time(), time.monotonic()
        await asyncio.sleep(MEASURED_S)
        cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
        stop.set()
        await running
    return {
        "markets": len(markets),
        "seconds": round(wall_s, 1),
        "delivered_a_second": {name: round(number / wall_s) for name, number in sorted(heard.items())},
        "cpu_pct_of_a_core": round(100 * cpu_s / wall_s, 1),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


async def soak(venue: Any, seconds: float) -> dict[str, Any]:
    from exchanges import events
    from exchanges.streams.shards import Claim
    from traderai.lib import clock, threads

    begun_ms = venue.control.get("clock")["now_ms"]
    begun_s = time.monotonic()  # rather behind than ahead: twenty times as fast, a moment is a second
    clock.now_ms = lambda: int(begun_ms + (time.monotonic() - begun_s) * 1000 * SOAK_SPEED)
    told: Counter[tuple[str, int]] = Counter()
    events.candle_closed.receivers = []

    def hear(symbol: str, timestamp: int, **_: Any) -> None:
        told[symbol, timestamp] += 1

    events.candle_closed.connect(hear)
    markets = await threads.run(prepare)
    chance = random.Random(3)
    struck: Counter[str] = Counter()
    sizes: list[tuple[int, int]] = []
    with Claim("binance") as claim:
        streams = await threads.run(make, claim)
        stop = asyncio.Event()
        running = asyncio.create_task(streams.run(stop))
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            await asyncio.sleep(FAULT_EVERY_S)
            kind = chance.choice(SOCKET_FAULTS + REST_FAULTS)
            route = KLINES if kind in REST_FAULTS else chance.choice(("/market/ws", "/public/ws"))
            times = chance.choice((1, 5, 50)) if kind in ("missed", "stale") else 1
            await threads.run(venue.control.script, route, kind, times=times)
            struck[kind] += 1
            sizes.append((len(asyncio.all_tasks()), _rss_kb()))
        await threads.run(venue.control.delete, "faults")
        await asyncio.sleep(min(60.0, max(10.0, seconds / 5)))  # what is broken is made good
        stop.set()
        await running
    differing, bars = await threads.run(compare, markets)
    third = len(sizes) // 3
    return {
        "seconds": seconds,
        "faults": dict(struck),
        "bars": bars,
        "differ_from_the_venue": len(differing),
        "examples": differing[:5],
        "told_more_than_once": sum(number > 1 for number in told.values()),
        "told": len(told),
        "tasks": {"first_third_max": max(size for size, _ in sizes[:third]), "last_third_max": max(size for size, _ in sizes[-third:])},
        "rss_mb": [round(sizes[i][1] / 1024) for i in (0, third, 2 * third, -1)],
        "tasks_left": len(asyncio.all_tasks()) - 1,
    }


def compare(markets: list[Any]) -> tuple[list[Any], dict[str, int]]:
    """(symbol, timeframe, open, stored, the venue's) of bars that differ from the venue's or are missing between the first and the last
    stored one; and how many are stored, by timeframe."""
    from exchanges import candles
    from exchanges.venues import registry

    venue = registry.market_data("binance")
    wrong: list[Any] = []
    count: Counter[str] = Counter()
    for market in markets:
        for timeframe in ("1m", "15m"):
            kept = _by_open(candles.read(market, timeframe))
            if not kept:
                continue
            since_ms, last_ms, told = min(kept), max(kept), {}
            while since_ms <= last_ms:
                told |= _by_open(venue.candles(market.symbol, timeframe, since_ms, 1000))
                since_ms = max(told) + candles.length_ms(timeframe)
            expected = {at: row for at, row in told.items() if at <= last_ms}
            count[timeframe] += len(kept)
            pairs = ((at, kept.get(at), expected.get(at)) for at in sorted(kept | expected))
            wrong += [(market.symbol, timeframe, at, ours, theirs) for at, ours, theirs in pairs if not _same(ours, theirs)]
    return wrong, dict(count)


def _by_open(frame: Any) -> dict[int, tuple[float, ...]]:
    return {row[0]: row[1:] for row in zip(*(column.tolist() for column in frame[2:]), strict=True)}


def _same(a: Any, b: Any) -> bool:
    return a is not None and b is not None and all(abs(x - y) <= 1e-9 * max(1.0, abs(y)) for x, y in zip(a, b, strict=True))


def _rss_kb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


if __name__ == "__main__":
    main()
