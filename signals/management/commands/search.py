"""manage.py search: look for better parameters of the learners now, in this process; other workers of the installation may join in."""

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from exchanges.models import JobStatus
from signals import search as searching
from signals.models import Search
from signals.training.params import barriers
from traderai.lib.errors import UserError

LOOK_EVERY_S = 2.0


class Command(BaseCommand):
    help = "Search the learners' parameters. Ctrl-C cancels; --resume ID goes on. Progress goes to stderr, the result to stdout."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbols", default="", help="Markets, separated by commas: BTC/USDT:USDT,ETH/USDT:USDT")
        parser.add_argument(
            "--trials", type=int, default=50, help="How many combinations to try (default 50); with --resume: how many more."
        )
        parser.add_argument("--workers", type=int, default=1, help="How many trials may run at once, on all machines (default 1).")
        parser.add_argument("--resume", type=int, help="Go on with this search.")
        parser.add_argument("--timeframe", default="15m", help="Base timeframe of the candles (default 15m).")
        parser.add_argument("--folds", type=int, default=4, help="Walk-forward blocks (default 4).")
        parser.add_argument("--stride", type=int, default=4, help="Take every how many-th bar as a sample (default 4).")
        parser.add_argument("--rounds", type=int, default=200, help="Most trees of a learner (default 200).")
        parser.add_argument(
            "--barriers",
            default="",
            metavar="STOP,TP1,TP2,TP3",
            help="In ATR of 4h bars; signals of the model have them (default 1.5,1.5,2.75,4.5).",
        )
        parser.add_argument("--learners", default="lightgbm,xgboost", help="Kinds of learners, separated by commas.")
        parser.add_argument("--scope", default="default", help="Registry scope of the model that is trained with what is found.")
        parser.add_argument("--venue", default="", help="Slug of the venue (default: the platform's).")
        parser.add_argument("--json", action="store_true", help="Print everything as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            search = self._search(options)
            self._work(search)
        except UserError as error:
            raise CommandError(error.message) from error
        search.refresh_from_db()
        result = summary(search)
        self.stdout.write(json.dumps(result, indent=2) if options["json"] else text(result))
        if search.status == JobStatus.FAILED:
            raise CommandError(search.error)

    def _search(self, options: dict[str, Any]) -> Search:
        if options["resume"] is None:
            params: dict[str, Any] = {name: options[name] for name in ("timeframe", "folds", "stride", "rounds", "scope", "venue")}
            params["plan"] = barriers(options["barriers"])
            params["learners"] = [kind.strip() for kind in options["learners"].split(",")]
            return searching.start(options["symbols"].split(","), trials=options["trials"], workers=options["workers"], params=params)
        search = Search.objects.filter(pk=options["resume"]).first()
        if search is None:
            raise CommandError(f"resume: there is no search {options['resume']}; the staff's page of searches lists them")
        if not searching.resume(search, more_trials=options["trials"] if search.status == JobStatus.DONE else 0):
            raise CommandError(f"resume: search {search.pk} is {search.status}: it goes on by itself")
        return search

    def _work(self, search: Search) -> None:
        from signals.search import lane  # Optuna and the learners: only what searches pays for them

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("trials", total=search.trials_wanted)
            try:
                lane.run(search.pk, progress=lambda: bar.update(task, completed=_counted(search)))
                while self._others_work(search):
                    bar.update(task, completed=_counted(search))
            except KeyboardInterrupt:
                searching.cancel(search)
                raise CommandError(f"cancelled; go on with --resume {search.pk}") from None

    def _others_work(self, search: Search) -> bool:
        search.refresh_from_db()
        if search.status != JobStatus.RUNNING:
            return False
        time.sleep(LOOK_EVERY_S)
        return True


def _counted(search: Search) -> int:
    return search.trials.filter(state__in=searching.COUNTED).count()


def summary(search: Search) -> dict[str, Any]:
    """What a search brought, for people and programs."""
    best = searching.best(search)
    return {
        "search": search.pk,
        "status": search.status,
        "symbols": search.symbols,
        "trials": [
            {
                "number": trial.number,
                "state": trial.state,
                "skill": trial.value,
                "folds": trial.folds,
                "sharpe_daily": trial.sharpe,
                "tuning": trial.tuning,
            }
            for trial in search.trials.order_by("number")
        ],
        "trial_variance": searching.trial_variance(search),
        "best": None if best is None else {"number": best.number, "skill": best.value, "tuning": best.tuning},
    }


def text(result: dict[str, Any]) -> str:
    """The summary in a few lines."""
    counted = sum(trial["state"] in searching.COUNTED for trial in result["trials"])
    lines = [f"search {result['search']} is {result['status']}: {counted} trials on {', '.join(result['symbols'])}"]
    if result["best"] is None:
        return "\n".join([*lines, "No trial is done."])
    best = result["best"]
    verdict = "" if best["skill"] > 0.0 else " (no better than the base rate: no edge was found)"
    chosen = [f"  {kind}: {', '.join(f'{name} {value}' for name, value in values.items())}" for kind, values in best["tuning"].items()]
    return "\n".join([*lines, f"best: trial {best['number']}, skill {best['skill']:+.5f}{verdict}", *chosen])
