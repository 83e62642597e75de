"""A run's trades as files."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from backtesting.models import BacktestRun, BacktestTrade
from traderai.lib import clock, csv_export

SUFFIXES = (".csv", ".parquet")
COLUMNS = (
    "number", "symbol", "side", "signal_ms", "entry_ms", "exit_ms", "entry_price", "exit_price", "qty", "leverage", "stop", "tp1", "tps_hit",
    "exit_reason", "fees", "funding", "pnl", "pnl_pct", "probability",
)  # fmt: skip
HEADER = ["data", "entered_utc", "left_utc", *COLUMNS]


def rows(run: BacktestRun, trades: QuerySet[BacktestTrade] | None = None) -> Iterator[list[Any]]:
    """The trades, or these of them, in order, cells as HEADER names them."""
    wanted = BacktestTrade.objects.filter(run=run).order_by("number") if trades is None else trades
    for trade in wanted.iterator(chunk_size=1000):
        times = [clock.from_ms(trade.entry_ms).isoformat(), clock.from_ms(trade.exit_ms).isoformat()]
        yield [run.provenance, *times, *(getattr(trade, name) for name in COLUMNS)]


def parquet(run: BacktestRun, trades: QuerySet[BacktestTrade] | None = None) -> bytes:
    """The trades, or these of them, as a Parquet file."""
    import pyarrow as pa  # heavy, and only this needs it
    import pyarrow.parquet as pq

    found = list(rows(run, trades))
    columns = {name: [row[i] for row in found] for i, name in enumerate(HEADER)}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def write(run: BacktestRun, path: Path) -> None:
    """Write FILE.csv or FILE.parquet."""
    if path.suffix == ".parquet":
        path.write_bytes(parquet(run))
        return
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows([csv_export.escaped(cell) for cell in row] for row in rows(run))
