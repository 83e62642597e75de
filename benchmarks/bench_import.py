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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ROWS = 140_000
RUNS = 3


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure()))
        return
    results = {"benchmark": "import", "rows": ROWS, "sqlite": run_with(f"sqlite:///{tempfile.mkdtemp(prefix='bench-')}/bench.sqlite3")}
    server = os.environ.get("DATABASE_URL", "")
    if server.startswith("postgres"):
        results["postgresql"] = run_with(server)
    print(json.dumps(results))


def run_with(database_url: str) -> dict[str, float]:
    """One process per database, because Django binds its settings once."""
    import subprocess

    env = {**os.environ, "DATABASE_URL": database_url, "DATA_DIR": tempfile.mkdtemp(prefix="bench-")}
    done = subprocess.run([sys.executable, __file__, "--measure"], env=env, capture_output=True, text=True, check=False)
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
    from exchanges import candles, simulated
    from exchanges.candles import files
    from exchanges.models import Candle

    market = candles.find_market("BTC/USDT:USDT")
    frame = simulated.generate(["BTC/USDT:USDT"], 1_577_836_800_000, ROWS, seed=1)[0]
    path = Path(tempfile.mkdtemp(prefix="bench-")) / "btc.parquet"
    files.save(path, files.CANDLE_COLUMNS, frame[2:])

    def ingest() -> None:
        candles.ingest(market, frame, provenance="file")

    def import_file() -> None:
        loaded, _ = files.load_candles(path, symbol=market.symbol, timeframe="15m")
        candles.ingest(market, loaded, provenance="file")

    def bulk_create() -> None:
        names = ("timestamp", "open", "high", "low", "close", "volume")
        rows = zip(*(getattr(frame, name).tolist() for name in names), strict=True)
        objects = [Candle(market_id=market.pk, timeframe="15m", **dict(zip(names, row, strict=True))) for row in rows]
        Candle.objects.bulk_create(objects, batch_size=5_000)

    def clear() -> None:
        Candle.objects.all().delete()

    plain = median_s(bulk_create, before=clear)
    fresh = median_s(ingest, before=clear)
    from_file = median_s(import_file, before=clear)
    again = median_s(ingest)
    read = median_s(lambda: candles.read(market, "15m"))
    derived = median_s(lambda: candles.read(market, "4h"))
    return {
        "ingest_s": fresh,
        "ingest_rows_per_s": round(ROWS / fresh),
        "import_parquet_s": from_file,
        "import_parquet_rows_per_s": round(ROWS / from_file),
        "ingest_again_s": again,
        "plain_bulk_create_s": plain,
        "plain_bulk_create_rows_per_s": round(ROWS / plain),
        "read_series_s": read,
        "read_derived_4h_s": derived,
    }


def median_s(work: Callable[[], object], *, before: Callable[[], object] | None = None) -> float:
    times = []
    for _ in range(RUNS):
        if before:
            before()
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 4)


if __name__ == "__main__":
    main()
