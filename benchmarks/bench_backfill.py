"""Backfill from the test venue, a process of its own that counts requests as Binance does: python benchmarks/bench_backfill.py. Prints JSON.

real_limits: Binance's own limits enforced, every answer held up by 200 ms, one market and then four: what the budget lets pass is what is used.
limits_x10: windows a tenth as long, no delay. without_limits: nothing but our own path and the venue's, in CPU time and candles/s.
SQLite in a temporary folder; PostgreSQL as well when DATABASE_URL names one, in a database of its own that is removed at the end.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
BASES = ("BTC", "ETH", "SOL", "XRP")
DELAY_S = 0.1  # each way
PAGE_WEIGHT = 5  # of 1,000 candles, for Binance
CASES: dict[str, dict[str, Any]] = {
    "real_limits_one_market": {"markets": 1, "bars": 100_000, "scale": 1.0, "delay_s": DELAY_S},
    "real_limits_four_markets": {"markets": 4, "bars": 50_000, "scale": 1.0, "delay_s": DELAY_S},
    "limits_x10": {"markets": 4, "bars": 100_000, "scale": 10.0, "delay_s": 0.0},
    "without_limits": {"markets": 4, "bars": 100_000, "scale": None, "delay_s": 0.0},
}


def main() -> None:
    if sys.argv[1:2] == ["--venue"]:
        asyncio.run(serve(json.loads(sys.argv[2])))
    elif sys.argv[1:2] == ["--case"]:
        print(json.dumps(measure(CASES[sys.argv[2]])))
    else:
        databases = {"sqlite": ""}
        if os.environ.get("DATABASE_URL", "").startswith("postgres"):
            databases["postgresql"] = os.environ["DATABASE_URL"]
        results = {name: {case: elsewhere(case, url) for case in CASES} for name, url in databases.items()}
        print(json.dumps({"benchmark": "backfill", "load_before": os.getloadavg()[0]} | results, indent=1))


async def serve(case: dict[str, Any]) -> None:
    """The venue, and before it a relay that holds up what passes; ends with its standard input."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from tests.exchanges.backfilling import make_state
    from tests.venue import TestVenue

    scale = case["scale"]
    state = make_state(case["bars"], BASES[: case["markets"]])
    with TestVenue(state, enforce_limits=scale is not None, limits_scale=scale or 1.0) as venue:
        relay = await asyncio.start_server(lambda *ends: connect(int(venue.url.rpartition(":")[2]), case["delay_s"], *ends), "127.0.0.1", 0)
        print(relay.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def connect(port: int, delay_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", port)
    with suppress(asyncio.CancelledError, ConnectionError):
        await asyncio.gather(hold_up(reader, back, delay_s), hold_up(there, writer, delay_s))


async def hold_up(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass on every piece delay_s after it came."""
    loop = asyncio.get_running_loop()
    while piece := await source.read(1 << 20):
        loop.call_later(delay_s, target.write, piece) if delay_s else target.write(piece)
    loop.call_later(delay_s, target.close)


@contextmanager
def venue(case: dict[str, Any]) -> Any:
    """Where the venue listens."""
    command = [sys.executable, __file__, "--venue", json.dumps(case)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"  # type: ignore[union-attr]
        process.stdin.close()  # type: ignore[union-attr]


def elsewhere(case: str, database_url: str) -> dict[str, Any]:
    """A case in a process with a database of its own."""
    folder = tempfile.mkdtemp(prefix="bench-")
    env = {**os.environ, "DATA_DIR": folder, "DATABASE_URL": database_url or f"sqlite:///{folder}/bench.sqlite3", "REDIS_URL": ""}
    done = subprocess.run([sys.executable, __file__, "--case", case], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.strip())
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(case: dict[str, Any]) -> dict[str, Any]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.db import connection

    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = connection.settings_dict["NAME"]  # a file with WAL, not the default in memory
        connection.settings_dict["OPTIONS"]["init_command"] += "PRAGMA synchronous=FULL;"  # as in production
    connection.creation.create_test_db(verbosity=0, serialize=False)
    try:
        with venue(case) as url:
            settings.VENUE_BASE_URLS = {"binance": url}
            return figures(case)
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


def figures(case: dict[str, Any]) -> dict[str, Any]:
    from django.conf import settings

    from exchanges import backfill
    from exchanges.venues import budget, limits, registry
    from tests.exchanges.frames import START_MS

    scale = case["scale"]
    if scale is not None:
        settings.VENUE_RATE_SHARE = 0.9
        known = limits.LIMITS["binance"]
        limits.LIMITS["binance"] = {name: limits.Limit(limit.cost, limit.per_s / scale) for name, limit in known.items()}  # type: ignore[index]
    registry.market_data("binance").markets("perpetual")  # ccxt is imported and the instruments are read
    until_ms = START_MS + case["bars"] * 900_000
    job = backfill.start(symbols=[f"{base}/USDT:USDT" for base in BASES[: case["markets"]]], since_ms=START_MS, until_ms=until_ms)
    begun, cpu = time.perf_counter(), time.process_time()
    job = backfill.run(job.pk)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    if job.status != "done":
        sys.exit(job.error)
    told = {
        "markets": case["markets"],
        "candles": job.rows_written,
        "requests": job.requests,
        "seconds": round(seconds, 2),
        "candles_a_second": round(job.rows_written / seconds),
        "cpu_ms_a_request": round(1000 * cpu / job.requests, 2),
    }
    if scale is None:
        return told | {"requests_a_second": round(job.requests / seconds, 1)}
    limit, allowed = limits.LIMITS["binance"][limits.WEIGHT], budget.pace("binance", limits.WEIGHT)
    least_s = (PAGE_WEIGHT * job.rows_written / 1000 - allowed.burst) / allowed.rate
    return told | {
        "requests_a_second": round(job.requests / seconds, 2),
        "venues_limit_requests_a_second": round(limit.cost / limit.per_s / PAGE_WEIGHT, 2),
        "budgets_rate_requests_a_second": round(allowed.rate / PAGE_WEIGHT, 2),
        "fastest_the_budget_allows_seconds": round(least_s, 2),
        "of_that_speed_pct": round(100 * least_s / seconds, 1),
    }


if __name__ == "__main__":
    main()
