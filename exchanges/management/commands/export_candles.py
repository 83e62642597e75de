"""Export candles to a Parquet or CSV file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchanges.candles import transfer
from exchanges.management.moments import parse_ms
from traderai.lib import clock
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = "Export closed candles to .parquet or .csv, as import_candles reads them. Higher timeframes are derived."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbol", required=True)
        parser.add_argument("--timeframe", required=True)
        parser.add_argument("--out", required=True, type=Path, help="FILE.parquet or FILE.csv")
        parser.add_argument("--venue")
        parser.add_argument("--since", help="first open, e.g. 2024-01-01 (UTC)")
        parser.add_argument("--until", help="opens before this, e.g. 2024-02-01 (UTC)")

    def handle(self, *args: Any, **options: Any) -> None:
        bounds = {name: parse_ms(options[name], option=f"--{name}") if options[name] else None for name in ("since", "until")}
        names = ("symbol", "timeframe", "venue")
        try:
            frame = transfer.export_candles(
                options["out"], **{name: options[name] for name in names}, start_ms=bounds["since"], end_ms=bounds["until"]
            )
        except UserError as error:
            raise CommandError(error.message) from error
        first, last = (clock.from_ms(int(frame.timestamp[i])).isoformat(sep=" ", timespec="minutes") for i in (0, -1))
        self.stdout.write(f"{options['out']}: {len(frame):,} {options['timeframe']} candles of {options['symbol']}, {first} to {last}")
