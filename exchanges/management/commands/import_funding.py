"""Import funding rates from a Parquet or CSV file."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchanges.candles import transfer
from exchanges.management import reports
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = "Import funding rates from Parquet or CSV: timestamp (ms UTC), rate (fraction per interval, positive: longs pay). Importing again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--symbol", required=True, help="e.g. BTC/USDT:USDT")
        parser.add_argument("--venue", help="whose market it is (default: DEFAULT_VENUE)")
        parser.add_argument(
            "--skip-bad", action="store_true", help="sort rows, merge identical ones, import the good ones and report the others"
        )
        parser.add_argument("--new-market", action="store_true", help="add the market when the venue has none of this name")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.perf_counter()
        names = ("symbol", "venue", "skip_bad", "new_market")
        try:
            imported = transfer.import_funding(options["file"], **{name: options[name] for name in names})
        except UserError as error:
            raise CommandError(error.message) from error
        seconds = time.perf_counter() - started
        if options["json"]:
            self.stdout.write(reports.as_json(imported, seconds=seconds))
            return
        for line in reports.as_lines(imported, what="funding rates", seconds=seconds):
            self.stdout.write(line)
