"""Import of 140,000 candles through the product's own path (validation and upsert included), compared with plain bulk_create.

    python benchmarks/bench_import.py            SQLite in a temporary folder; PostgreSQL too when DATABASE_URL names one

Prints one JSON object. Each figure is the median of three runs. PostgreSQL gets a database of its own, removed at the end.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ROWS = 140_000
RUNS = 3


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure()))
        return
    print(json.dumps({"benchmark": "import", "rows": ROWS, **on_each_database(__file__)}))


def on_each_database(script: str) -> dict[str, dict[str, float]]:
    """What `script --measure` prints on SQLite, and on PostgreSQL when DATABASE_URL names a server."""
    results = {"sqlite": run_with(script, f"sqlite:///{tempfile.mkdtemp(prefix='bench-')}/bench.sqlite3")}
    server = os.environ.get("DATABASE_URL", "")
    if server.startswith("postgres"):
        results["postgresql"] = run_with(script, server)
    return results


def run_with(script: str, database_url: str) -> dict[str, float]:
    """One process per database, because Django binds its settings once."""
    import subprocess

    env = {**os.environ, "DATABASE_URL": database_url, "DATA_DIR": tempfile.mkdtemp(prefix="bench-")}
    done = subprocess.run([sys.executable, script, "--measure"], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.strip() or f"benchmark failed on {database_url.split(':', maxsplit=1)[0]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure() -> dict[str, float]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.db import connection

    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = connection.settings_dict["NAME"]  # a file with WAL, not the default in memory
    connection.creation.create_test_db(verbosity=0, serialize=False)
    try:
        return figures()
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


def figures() -> dict[str, float]:
    import numpy as np

    from exchanges import candles, simulated
    from exchanges.candles import files
    from exchanges.models import Candle, Market

    market = candles.find_market("BTC/USDT:USDT")
    others = iter(Market.objects.filter(venue=market.venue).exclude(pk=market.pk).order_by("pk"))
    frame = simulated.generate(["BTC/USDT:USDT"], 1_577_836_800_000, ROWS, seed=1)[0]
    path = Path(tempfile.mkdtemp(prefix="bench-")) / "btc.parquet"
    files.save(path, files.CANDLE_COLUMNS, frame[2:])

    other = type(frame)(*frame[:-1], volume=np.where(np.arange(ROWS) % 2, frame.volume, frame.volume + 1.0))
    versions = cycle([other, frame])

    def next_market() -> None:
        """A series nobody has written: deleted rows would be met again in PostgreSQL's index."""
        nonlocal market
        market = next(others)

    def ingest() -> None:
        candles.ingest(market, frame, provenance="file")

    def ingest_half_changed() -> None:
        candles.ingest(market, next(versions), provenance="file")

    def import_file() -> None:
        loaded, _ = files.load_candles(path, symbol=market.symbol, timeframe="15m")
        candles.ingest(market, loaded, provenance="file")

    def bulk_create() -> None:
        names = ("timestamp", "open", "high", "low", "close", "volume")
        rows = zip(*(getattr(frame, name).tolist() for name in names), strict=True)
        objects = [Candle(market_id=market.pk, timeframe="15m", **dict(zip(names, row, strict=True))) for row in rows]
        Candle.objects.bulk_create(objects, batch_size=5_000)

    def in_pages(size: int, count: int) -> Callable[[], None]:
        def work() -> None:
            for start in range(0, size * count, size):
                candles.ingest(market, frame.slice(start, start + size), provenance="file")

        return work

    def clear() -> None:
        Candle.objects.all().delete()

    first = median_s(ingest, runs=1)  # makes the months on PostgreSQL
    forgotten = median_s(clear, before=ingest)
    plain = median_s(bulk_create, before=next_market)
    fresh = median_s(ingest, before=next_market)
    from_file = median_s(import_file, before=next_market)
    again = median_s(ingest)
    half = median_s(ingest_half_changed)
    pages = median_s(in_pages(1_000, 50), before=next_market)
    bars = median_s(in_pages(1, 200), before=next_market)
    return {
        "ingest_first_s": first,
        "ingest_first_rows_per_s": round(ROWS / first),
        "ingest_s": fresh,
        "ingest_rows_per_s": round(ROWS / fresh),
        "import_parquet_s": from_file,
        "import_parquet_rows_per_s": round(ROWS / from_file),
        "ingest_again_s": again,
        "ingest_again_rows_per_s": round(ROWS / again),
        "ingest_half_changed_s": half,
        "ingest_half_changed_rows_per_s": round(ROWS / half),
        "pages_of_1000_rows_per_s": round(50_000 / pages),
        "one_bar_ms": round(bars / 200 * 1e3, 3),
        "delete_s": forgotten,
        "plain_bulk_create_s": plain,
        "plain_bulk_create_rows_per_s": round(ROWS / plain),
    }


def median_s(work: Callable[[], object], *, before: Callable[[], object] | None = None, runs: int = RUNS) -> float:
    times = []
    for _ in range(runs):
        if before:
            before()
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 4)


if __name__ == "__main__":
    main()
