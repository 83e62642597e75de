"""Find out whether a strategy knows its future, or too little of its past."""

import json
import sys
from argparse import ArgumentParser
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from backtesting import checks
from backtesting.models import LookaheadCheck
from exchanges.models import JobStatus
from traderai.lib import clock
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = "Run a strategy with the champion on shortened data and compare every feature and every decision; exit code 1 when one moved."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--strategy", required=True, help="a strategy's key, such as ml-ensemble")
        parser.add_argument("--symbols", default="", help="comma separated (default: the first three that the model learned from)")
        parser.add_argument("--bars", type=int, default=checks.BARS, help=f"the newest so many of each market (default {checks.BARS})")
        parser.add_argument("--cuts", type=int, default=checks.CUTS, help=f"places at which the data is cut off (default {checks.CUTS})")
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        symbols = [symbol.strip() for symbol in options["symbols"].split(",") if symbol.strip()]
        try:
            check = checks.start(
                None,
                strategy=options["strategy"],
                symbols=symbols or None,
                bars=options["bars"],
                cuts=options["cuts"],
                queue=False,
            )
            check = self._execute(check)
        except UserError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            head = {"id": check.pk, "strategy": check.strategy, "model_version": check.model.version, "data": check.provenance}
            self.stdout.write(json.dumps({**head, "passed": check.passed, **check.findings}, indent=1))
        else:
            self._tell(check)
        if not check.passed:
            moved = {found["name"]: None for report in check.findings["markets"] for found in report["findings"]}
            raise CommandError(
                f"look-ahead or warm-up: {', '.join(moved)} moved when the data was shortened; the report has times and values"
            )

    def _execute(self, check: LookaheadCheck) -> LookaheadCheck:
        console = Console(stderr=True)
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, disable=not sys.stderr.isatty()
        ) as bar:
            task = bar.add_task("Look-ahead check", total=1.0)
            check = checks.execute(check.pk, progress=lambda stage, share: bar.update(task, description=stage, completed=share))
        if check.status != JobStatus.DONE:
            raise CommandError(f"check {check.pk} is {check.status}: {check.error or 'another process works on it'}")
        return check

    def _tell(self, check: LookaheadCheck) -> None:
        console = Console(file=cast(IO[str], self.stdout), width=120)
        label = " [SIMULATED MARKET]" if check.provenance == "simulated" else ""
        console.print(
            f"{check.strategy} with model version {check.model.version}: {'passed' if check.passed else 'FAILED'}{label}", markup=False
        )
        for report in check.findings["markets"]:
            span = f"{clock.from_ms(report['first_ms']):%Y-%m-%d %H:%M} to {clock.from_ms(report['last_ms']):%Y-%m-%d %H:%M} UTC"
            settled = report["settled_bars"]
            still = (
                f"every feature stands still from {settled} bars on" if settled else "not every feature stands still within a live history"
            )
            console.print(
                f"{report['symbol']}: {report['bars']} bars, {span}; cut off at {report['cuts']} places, {report['compared']:,} values "
                f"compared, {report['decided']} bars pass every test; {still}",
                markup=False,
            )
            if report["findings"]:
                console.print(_table(report["findings"]))


def _table(findings: list[dict[str, Any]]) -> Table:
    table = Table("what moved", "analysis", "values", "newest example", "data", "whole", "shortened")
    for found in findings:
        at, end = (f"{clock.from_ms(found[key]):%Y-%m-%d %H:%M}" for key in ("at_ms", "end_ms"))
        numbers = ("nothing" if found[key] is None else f"{found[key]:.8g}" for key in ("whole", "short"))
        table.add_row(
            f"{found['name']} ({found['kind']})", found["analysis"], str(found["bars"]), at, f"{found['held']} bars until {end}", *numbers
        )
    return table
