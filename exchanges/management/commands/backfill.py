"""Fetch history from a venue's public API."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from exchanges import backfill
from exchanges.management.moments import parse_ms
from exchanges.models import BackfillJob, JobStatus
from exchanges.ports import VenueError
from traderai.lib.errors import UserError

SHOWN = 30  # symbols with a bar of their own


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
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[told]}"))
        try:
            with Progress(*columns, console=Console(stderr=True), disable=quiet) as bars:
                shown = _Bars(bars, job)
                return backfill.run(job.pk, progress=shown.show)
        except KeyboardInterrupt:
            job.refresh_from_db()
            raise CommandError(
                f"job {job.pk}: paused at {job.progress:.0%} with {job.rows_written:,} candles written; run the same command again to continue",
                returncode=130,
            ) from None

    def _tell(self, job: BackfillJob, *, as_json: bool) -> None:
        missing = _missing(job)
        if as_json:
            names = ("status", "progress", "requests", "errors", "error")
            facts = {"job": job.pk, "rows": job.rows_written, "missing": missing} | {name: getattr(job, name) for name in names}
            self.stdout.write(json.dumps(facts))
        if job.status == JobStatus.FAILED:
            for key, reason in job.errors.items() if len(job.errors) > 1 else ():
                self.stderr.write(f"{key}: {reason}")
            raise CommandError(f"job {job.pk}: {job.error}")
        if job.status == JobStatus.RUNNING:
            raise CommandError(f"job {job.pk}: another process is working on it; wait for it, or try again a minute after it has died")
        if as_json:
            return
        self.stdout.write(f"job {job.pk}: {job.status}, {job.rows_written:,} candles written, {job.requests:,} questions asked")
        for symbol, count in missing.items():
            self.stdout.write(f"{symbol}: the venue has no bars for {count['empty']:,}, and {count['open']:,} will be asked for again")


class _Bars:
    """One bar a symbol, and one for the whole job with its pace."""

    def __init__(self, bars: Progress, job: BackfillJob) -> None:
        self._bars = bars
        self._symbols: dict[str, TaskID] = {}
        if 1 < len(job.symbols) <= SHOWN:
            self._symbols = {symbol: bars.add_task(symbol, total=1.0, told="") for symbol in job.symbols}
        self._all = bars.add_task(f"{len(job.symbols)} markets from {job.venue.name}", total=1.0, told="")
        self.show(job)

    def show(self, job: BackfillJob) -> None:
        for symbol, task in self._symbols.items():
            self._bars.update(task, completed=job.progress_of(symbol), told="failed" if symbol in job.errors else "")
        pace = backfill.pace(job)
        rate = "" if pace.rows_per_s is None else f"{pace.rows_per_s:,.0f} candles/s"
        left = "" if pace.eta_s is None else f", {pace.eta_s:,.0f} s left"
        self._bars.update(self._all, completed=job.progress, told=f"{rate}{left}")


def _missing(job: BackfillJob) -> dict[str, dict[str, int]]:
    """Missing bars by symbol and state, of symbols that have any."""
    counts = {market.symbol: backfill.missing(market, job.timeframe) for market in job.venue.markets.filter(symbol__in=job.symbols)}
    return {symbol: count for symbol, count in counts.items() if any(count.values())}
