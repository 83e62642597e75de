"""Fetch history from a venue's public API."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from exchanges import backfill
from exchanges.management.moments import parse_ms
from exchanges.models import BackfillJob, JobStatus
from exchanges.ports import VenueError
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = "Fetch candles and funding rates from a venue's public API. Run it again to continue where it stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbols", required=True, help="separated by commas: BTC/USDT:USDT,ETH/USDT:USDT")
        parser.add_argument("--since", required=True, help="e.g. 2024-01-01 (UTC)")
        parser.add_argument("--until", help="e.g. 2024-06-01 (default: now)")
        parser.add_argument("--timeframe", help="default: the base timeframe")
        parser.add_argument("--venue", help="default: DEFAULT_VENUE")
        parser.add_argument("--json", action="store_true", help="print the job as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        symbols = [name.strip() for name in options["symbols"].split(",") if name.strip()]
        since_ms = parse_ms(options["since"], option="--since")
        until_ms = parse_ms(options["until"], option="--until") if options["until"] else None
        try:
            backfill.adopt(symbols, venue=options["venue"])
            job = backfill.start(
                symbols=symbols, since_ms=since_ms, until_ms=until_ms, timeframe=options["timeframe"], venue=options["venue"]
            )
            job = self._run(job, quiet=options["json"])
        except (UserError, VenueError) as error:
            raise CommandError(str(error)) from error
        self._tell(job, as_json=options["json"])

    def _run(self, job: BackfillJob, *, quiet: bool) -> BackfillJob:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), disable=quiet) as bars:
            task = bars.add_task(f"{len(job.symbols)} markets from {job.venue.name}", total=1.0)
            bars.update(task, completed=job.progress)
            return backfill.run(job.pk, progress=lambda share: bars.update(task, completed=share))

    def _tell(self, job: BackfillJob, *, as_json: bool) -> None:
        if as_json:
            facts = {"job": job.pk, "status": job.status, "progress": job.progress, "rows": job.rows_written, "error": job.error}
            self.stdout.write(json.dumps(facts))
        if job.status == JobStatus.FAILED:
            raise CommandError(job.error)
        if job.status == JobStatus.RUNNING:
            raise CommandError(f"job {job.pk}: another process is working on it; wait for it, or try again two minutes after it has died")
        if not as_json:
            self.stdout.write(f"job {job.pk}: {job.status}, {job.rows_written:,} candles written")
