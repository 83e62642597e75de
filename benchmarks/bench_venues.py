"""What the shared budget of requests costs, how close to a venue's limit it comes, and candles through each adapter under its venue's limit.

    python benchmarks/bench_venues.py            the file; Redis too when REDIS_URL names one (its keys traderai:budget:* are removed)

Prints one JSON object. `take_us` is one request's payment that need not wait; `share_of_limit` what four processes of four threads each got
of what the venue allows; `adapters` the candles a second that eight threads fetch for SECONDS from a test venue that turns away who
asks too much, the bursts at the start included, and how often it did.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
TAKES = 2_000
SECONDS = 10.0


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="bench-"))
    redis_url = os.environ.pop("REDIS_URL", "")
    import django

    django.setup()
    results: dict[str, object] = {"benchmark": "venues", "file": budget_figures("")}
    if redis_url:
        results["redis"] = budget_figures(redis_url)
    results["adapters"] = {name: adapter_figures(name) for name in ("binance", "binance spot", "okx", "bybit", "bitget")}
    print(json.dumps(results))


def budget_figures(redis_url: str) -> dict[str, float]:
    from django.conf import settings

    from exchanges.venues import budget

    settings.REDIS_URL = redis_url
    forget(redis_url)
    settings.VENUE_RATE_SHARE = 1e9
    budget.take("bybit", "other")
    began_s = time.perf_counter()
    for _ in range(TAKES):
        budget.take("bybit", "other")
    take_us = (time.perf_counter() - began_s) / TAKES * 1e6
    forget(redis_url)
    return {"take_us": round(take_us, 1), "share_of_limit": round(spent(redis_url) / (600 / 5), 3)}


def spent(redis_url: str) -> float:
    """Requests a second that four processes were let through, once the burst at the start is over."""
    folder = tempfile.mkdtemp(prefix="bench-")
    command = [sys.executable, "-m", "tests.exchanges.spender", redis_url, folder, "6", "4"]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)]
    for worker in workers:
        worker.stdout.readline()  # type: ignore[union-attr]
    for worker in workers:
        worker.stdin.write("\n")  # type: ignore[union-attr]
        worker.stdin.flush()  # type: ignore[union-attr]
    lines = [line.split() for worker in workers for line in worker.communicate()[0].splitlines()]
    through = sorted(float(words[1]) for words in lines if words[0] == "through")
    late = [at for at in through if at >= through[0] + 1.0]
    return len(late) / (late[-1] - through[0] - 1.0)


def forget(redis_url: str) -> None:
    if redis_url:
        import redis

        client = redis.Redis.from_url(redis_url)
        for key in client.scan_iter("traderai:budget:*"):
            client.delete(key)


def adapter_figures(name: str) -> dict[str, float]:
    from django.conf import settings

    from exchanges.ports import VenueError
    from exchanges.venues import registry
    from tests.exchanges.frames import START_MS, make_frame
    from tests.venue import Instrument, TestVenue, VenueState

    settings.REDIS_URL, settings.VENUE_RATE_SHARE = "", 0.9
    slug, _, spot = name.partition(" ")
    bars = 400_000
    state = VenueState(START_MS + bars * 60_000)
    state.enlist(Instrument("BTC"), make_frame(bars, timeframe="1m"))
    symbol = "BTC/USDT" if spot else "BTC/USDT:USDT"
    with TestVenue(state, enforce_limits=True) as venue:
        settings.VENUE_BASE_URLS = {slug: venue.url}
        adapter = registry._market_data(slug)
        adapter.candles(symbol, "1m", START_MS, 1)
        page, pages, stop_s = adapter.page(symbol), count(), time.monotonic() + SECONDS
        refused = []

        def fetch() -> int:
            fetched = 0
            while time.monotonic() < stop_s:
                try:
                    fetched += len(adapter.candles(symbol, "1m", START_MS + next(pages) * page % bars * 60_000, page))
                except VenueError as error:
                    refused.append(str(error))
                    return fetched
            return fetched

        with ThreadPoolExecutor(8) as pool:
            candles = sum(pool.map(lambda _: fetch(), range(8)))
        return {
            "candles_per_s": round(candles / SECONDS),
            "requests_per_s": round(len(venue.calls) / SECONDS, 1),
            "turned_away": len(refused),
        }


if __name__ == "__main__":
    main()
