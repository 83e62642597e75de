"""Simulate the champion on time it has never seen, or a rule on stored history."""

import json
import sys
from argparse import ArgumentParser
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from backtesting import exports, runs, wording
from backtesting.honesty.sayings import counted
from backtesting.models import BacktestRun
from exchanges.models import JobStatus
from signals import rules
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = (
        "Run a backtest of the newest champion on out-of-sample time, or of a rule, and print its figures with their span and sample size."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--symbols", help="comma separated: BTC/USDT:USDT,ETH/USDT:USDT")
        what.add_argument(
            "--rerun",
            type=int,
            metavar="ID",
            help="run a finished backtest exactly again (its model, span and settings; other options but --json and --trades do not count) and compare every trade; exits with 1 when they differ",
        )
        parser.add_argument(
            "--strategy", default=runs.TEMPLATE, help="ml-ensemble (the champion), or a rule: " + ", ".join(rules.STRATEGIES)
        )
        parser.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="a rule's parameter or its plan's: fast=20, stop_atr=1.5"
        )
        parser.add_argument(
            "--engine", action="append", default=[], metavar="NAME=VALUE", help="how it is simulated: path=adaptive, detail=1m, entry=limit"
        )
        parser.add_argument("--capital", default="100", help="starting equity in quote currency (default 100)")
        parser.add_argument("--risk-profile", default="medium", help="low, medium or high (default medium)")
        parser.add_argument(
            "--start", default="", help="first day, 2025-01-31 (default: where out-of-sample time begins, for a rule the first candle)"
        )
        parser.add_argument("--end", default="", help="day before which to stop (default: the newest candle)")
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
        parser.add_argument("--trades", type=Path, help="also write the trades to FILE.csv or FILE.parquet")

    def handle(self, *args: Any, **options: Any) -> None:
        trades: Path | None = options["trades"]
        if trades is not None and trades.suffix not in exports.SUFFIXES:
            raise CommandError(f"trades: {trades.name} must end in .csv or .parquet")
        if trades is not None and not trades.absolute().parent.is_dir():
            raise CommandError(f"trades: there is no folder {trades.parent}; create it first")
        try:
            run = self._execute(_started(options))
        except UserError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps({**_head(run), **run.metrics}, indent=1))
        else:
            self._table(run)
        if trades is not None:
            self._export(run, trades)
        if run.comparison:
            self._compared(run, quiet=options["json"])

    def _compared(self, run: BacktestRun, *, quiet: bool) -> None:
        """Say whether the trades are the same; raises CommandError when they are not."""
        seen, first = run.comparison, f"run {run.repeats_id}"
        if not quiet:
            for line in [*seen["differences"], *seen["causes"]]:
                self.stdout.write(line)
        if not seen["same"]:
            raise CommandError(f"{counted(seen['differing'], 'trade')} not as in {first}; run {run.pk} is kept")
        if not quiet:
            self.stdout.write(f"Same trades: all {seen['trades'][0]} of {first}.")

    def _export(self, run: BacktestRun, path: Path) -> None:
        try:
            exports.write(run, path)
        except OSError as error:
            raise CommandError(
                f"trades: {path} cannot be written ({error.strerror or error}); choose another place, run {run.pk} is kept"
            ) from error

    def _execute(self, run: BacktestRun) -> BacktestRun:
        console = Console(stderr=True)
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, disable=not sys.stderr.isatty()
        ) as bar:
            task = bar.add_task("Backtest", total=1.0)
            runs.execute(run.pk, progress=lambda stage, share: bar.update(task, description=stage, completed=share))
        run.refresh_from_db()
        if run.status != JobStatus.DONE:
            raise CommandError(f"run {run.pk} is {run.status}: {run.error or 'another process works on it'}")
        return run

    def _table(self, run: BacktestRun) -> None:
        found = run.metrics
        console = Console(file=cast(IO[str], self.stdout), width=120)
        label = f" {found['label']}" if found["label"] else ""
        console.print(f"Backtest {run.pk}:{label} {found['span']['start']} to {found['span']['end']}, {run.strategy_label}")
        console.print(found["sample"]["note"])
        for sentence in filter(None, (found["sample"]["stopped"], found["sample"]["paused"])):
            console.print(sentence)
        judged = ", ".join(f"{code} {count}" for code, count in found["sample"]["judged"].items()) or "none"
        refused = ", ".join(f"{word} {count}" for word, count in found["sample"]["refused"].items()) or "none"
        console.print(f"{counted(found['sample']['bars'], 'bar')}; without a candidate: {judged}")
        console.print(
            f"{counted(found['sample']['candidates'], 'candidate')}, {counted(found['sample']['signals'], 'signal')}; not entered: {refused}"
        )
        for sentence in wording.charged(found["costs"]):
            console.print(f"Costs: {sentence}")
        simulated = [*(wording.unusual(run.engine) or [("Engine", "usual settings")]), *wording.plan(run.params)]
        console.print("Simulated with: " + "; ".join(f"{label}: {value}" for label, value in simulated))
        table = Table("figure", "value", "95 % interval", "n")
        for name, figure in found["metrics"].items():
            value = f"not defined: {figure['reason']}" if figure["value"] is None else f"{figure['value']:.4g}"
            interval = f"{figure['low']:.3g} to {figure['high']:.3g}" if "low" in figure else ""
            table.add_row(name, value, interval, str(figure["n"]))
        console.print(table)


def _started(options: dict[str, Any]) -> BacktestRun:
    """The run that is asked for, not yet executed. Raises UserError, CommandError."""
    if options["rerun"] is not None:
        old = BacktestRun.objects.select_related("model", "user").filter(pk=options["rerun"]).first()
        if old is None:
            raise CommandError(f"rerun: there is no backtest {options['rerun']}; take an id from the list of backtests")
        return runs.repeat(old, queue=False)
    return runs.start(
        None,
        symbols=[symbol.strip() for symbol in options["symbols"].split(",") if symbol.strip()],
        capital=options["capital"],
        risk_profile=options["risk_profile"],
        strategy=options["strategy"],
        strategy_params=_pairs("set", options["set"]),
        engine=_pairs("engine", options["engine"]),
        start_ms=_day_ms("start", options["start"]),
        end_ms=_day_ms("end", options["end"]),
        queue=False,
    )


def _head(run: BacktestRun) -> dict[str, Any]:
    """What of a run's row belongs to its JSON."""
    head: dict[str, Any] = {"id": run.pk, "status": run.status, "capital": float(run.capital), "risk_profile": run.risk_profile}
    head |= {"strategy": run.strategy, "strategy_params": run.strategy_params, "engine": run.engine}
    head |= {"data_hash": run.data_hash, "code_version": run.code_version, "seed": run.params.get("seed")}
    return head | ({"repeats": run.repeats_id, "comparison": run.comparison} if run.comparison else {})


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    for name, equals, value in pairs:
        if not (name and equals and value):
            example = "path=adaptive" if option == "engine" else "fast=20"
            raise CommandError(f"{option}: {name + equals + value!r} is not NAME=VALUE, like {example}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _day_ms(field: str, text: str) -> int | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{field}: {text!r} is not a day; write it like 2025-01-31") from None
    return int(datetime.combine(day, time(), UTC).timestamp() * 1000)
