"""Search a rule strategy's parameters."""

import json
import sys
from argparse import ArgumentParser
from datetime import UTC, date, datetime, time
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from backtesting import searches
from backtesting.combos import ranking
from backtesting.models import Method, ParameterSearch, Walk
from backtesting.searches import running
from exchanges.models import JobStatus
from signals import rules
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = "Try many parameter combinations of a rule strategy and say how much of the best is luck."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("strategy", help=", ".join(rules.STRATEGIES))
        parser.add_argument("--symbols", required=True, help="comma separated: BTC/USDT:USDT,ETH/USDT:USDT")
        parser.add_argument(
            "--vary",
            action="append",
            default=[],
            metavar="NAME=LOW:HIGH[:STEP]",
            help="a parameter's range, fast=5:50:5, or its value, stop_atr=2; may be repeated (default: the strategy's usual ranges)",
        )
        parser.add_argument("--capital", default="100", help="starting equity in quote currency (default 100)")
        parser.add_argument("--risk-profile", default="medium", help="low, medium or high (default medium)")
        parser.add_argument("--start", default="", help="first day, 2025-01-31 (default: the oldest candle)")
        parser.add_argument("--end", default="", help="day before which to stop (default: the newest candle)")
        parser.add_argument(
            "--method", default=Method.GRID, help="grid: every combination (default); tpe: as many as --trials, each learning"
        )
        parser.add_argument("--trials", type=int, help="how many combinations tpe tries (default 200)")
        parser.add_argument("--objective", default="sharpe", help=f"{', '.join(ranking.OBJECTIVES)} (default sharpe)")
        parser.add_argument("--least-trades", type=int, default=30, help="a combination with fewer cannot be the best (default 30)")
        parser.add_argument("--walk", default=Walk.ROLLING, help="walk-forward test: none, rolling (default) or anchored")
        parser.add_argument("--train-days", type=int, default=180, help="days of a window to choose on (default 180)")
        parser.add_argument("--test-days", type=int, default=60, help="days of a window to judge on (default 60)")
        parser.add_argument(
            "--engine",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="how it is simulated: opposite=reverse, path=adaptive, detail=1m",
        )
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            search = searches.start(
                None,
                strategy=options["strategy"],
                space=_space(options["strategy"], options["vary"]),
                symbols=[symbol.strip() for symbol in options["symbols"].split(",") if symbol.strip()],
                start_ms=_day_ms("start", options["start"]),
                end_ms=_day_ms("end", options["end"]),
                engine=_engine(options["engine"]),
                queue=False,
                **{
                    name: options[name]
                    for name in (
                        "capital", "risk_profile", "method", "trials", "objective", "least_trades", "walk", "train_days", "test_days",
                    )
                },
            )  # fmt: skip
            search = self._execute(search)
        except UserError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps({"id": search.pk, "strategy": search.strategy, "space": search.space, **search.result}, indent=1))
        else:
            self._table(search)

    def _execute(self, search: ParameterSearch) -> ParameterSearch:
        console = Console(stderr=True)
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, disable=not sys.stderr.isatty()
        ) as bar:
            task = bar.add_task("Search", total=1.0)
            search = running.execute(search.pk, progress=lambda stage, share: bar.update(task, description=stage, completed=share))
        if search.status != JobStatus.DONE:
            raise CommandError(f"search {search.pk} is {search.status}: {search.error or 'another process works on it'}")
        return search

    def _table(self, search: ParameterSearch) -> None:
        found = search.result
        console = Console(file=cast(IO[str], self.stdout), width=140)
        console.print(
            f"Search {search.pk}: {found['tried']:,} combinations, {found['tried_in_all']:,} different tries over this time: {found['made_of']}"
        )
        console.print(f"Out of sample: {found['verdict']['word']}. {found['verdict']['text']}")
        for warning in found["warnings"]:
            console.print(f"- {warning}")
        names = [name for name, axis in search.space.items() if axis["low"] != axis["high"]]
        table = Table(*names, *ranking.OBJECTIVES, "fall %", "trades", title="The best in sample")
        for row in found["top"]:
            figures = [row[name] for name in ranking.OBJECTIVES]
            table.add_row(
                *(f"{row['values'][name]:g}" for name in names),
                *("–" if value is None else f"{value:.4g}" for value in figures),
                f"{row['fall_pct']:.1f}",
                str(row["trades"]),
            )
        console.print(table)


def _space(strategy: str, varied: list[str]) -> dict[str, Any]:
    """--vary as the service takes it. An unknown strategy is left for the service to refuse."""
    if not varied and strategy in rules.STRATEGIES:
        known = rules.rule(strategy).parameters
        return {each.name: {"low": each.usual[0], "high": each.usual[1], "step": each.step} for each in known if each.usual}
    found: dict[str, Any] = {}
    for text in varied:
        name, equals, values = text.partition("=")
        parts = values.split(":")
        if not equals or len(parts) > 3:
            raise CommandError(f"vary: {text!r} cannot be read; write it like fast=5:50:5 or stop_atr=2")
        found[name] = parts[0] if len(parts) == 1 else dict(zip(("low", "high", "step"), parts, strict=False))
    return found


def _engine(texts: list[str]) -> dict[str, str]:
    found = dict(text.partition("=")[::2] for text in texts)
    if not all("=" in text for text in texts):
        raise CommandError("engine: write settings like opposite=reverse")
    return found


def _day_ms(field: str, text: str) -> int | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{field}: {text!r} is not a day; write it like 2025-01-31") from None
    return int(datetime.combine(day, time(), UTC).timestamp() * 1000)
