"""manage.py train: walk-forward training now, in this process."""

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from signals import training
from signals.learners import DEFAULT, KINDS
from signals.models import ModelVersion, TrainingRun
from signals.training.params import barriers
from traderai.lib import clock
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = "Train, validate and register a model of both sides. Progress goes to stderr, the result to stdout."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbols", required=True, help="Markets, separated by commas: BTC/USDT:USDT,ETH/USDT:USDT")
        parser.add_argument("--timeframe", default="15m", help="Base timeframe of the candles (default 15m).")
        parser.add_argument("--folds", type=int, default=4, help="Walk-forward blocks (default 4).")
        parser.add_argument("--stride", type=int, default=4, help="Take every how many-th bar as a sample (default 4).")
        parser.add_argument("--rounds", type=int, default=200, help="Most trees of a learner (default 200).")
        parser.add_argument("--scope", default="default", help="Registry scope of the model (default: default).")
        parser.add_argument("--venue", default="", help="Slug of the venue (default: the platform's).")
        parser.add_argument(
            "--learners", metavar="KINDS", help=f"Separated by commas, from {', '.join(KINDS)} (default {','.join(DEFAULT)})."
        )
        parser.add_argument(
            "--barriers",
            default="",
            metavar="STOP,TP1,TP2,TP3",
            help="In ATR of 4h bars; signals of the model have them (default 1.5,1.5,2.75,4.5).",
        )
        parser.add_argument(
            "--trials",
            type=int,
            default=1,
            help="How many settings this one was chosen from, itself included: they deflate its Sharpe ratio (default 1).",
        )
        parser.add_argument("--alongside", action="store_true", help="Also when a training of the same scope and markets is not over.")
        parser.add_argument("--json", action="store_true", help="Print everything as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        params: dict[str, Any] = {name: options[name] for name in ("timeframe", "folds", "stride", "rounds", "trials", "scope", "venue")}
        if options["learners"] is not None:
            params["learners"] = [kind.strip() for kind in options["learners"].split(",") if kind.strip()]
        started = time.monotonic()
        try:
            params["plan"] = barriers(options["barriers"])
            run = training.queue(options["symbols"].split(","), params=params, alongside=options["alongside"])
            model = self._run(run)
        except UserError as error:
            raise CommandError(error.message) from error
        model.refresh_from_db()  # without a worker, it has been compared with the champion by now
        result = summary(model, seconds=time.monotonic() - started)
        self.stdout.write(json.dumps(result, indent=2) if options["json"] else text(result))

    def _run(self, run: TrainingRun) -> ModelVersion:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("training", total=1.0)
            return training.run(run.pk, progress=lambda stage, share: bar.update(task, description=stage, completed=share))


def summary(model: ModelVersion, *, seconds: float) -> dict[str, Any]:
    """What a training brought, for people and programs."""
    return {
        "model": model.pk,
        "scope": model.scope,
        "version": model.version,
        "status": model.status,
        "reason": model.reason,
        "symbols": model.symbols,
        "timeframe": model.timeframe,
        "provenance": model.provenance,
        "features": len(model.features),
        "train_start": clock.from_ms(model.train_start_ms).isoformat(),
        "train_end": clock.from_ms(model.train_end_ms).isoformat(),
        "out_of_sample_from": clock.from_ms(model.oos_start_ms).isoformat(),
        "data_hash": model.data_hash,
        "manifest_sha256": model.manifest_sha256,
        "seconds": round(seconds, 1),
        "metrics": model.metrics,
    }


def text(result: dict[str, Any]) -> str:
    """The summary in a few lines."""
    span = result["metrics"]["span"]
    return "\n".join(
        (
            f"{result['scope']} v{result['version']} ({result['status']}) from {', '.join(result['symbols'])}, {result['seconds']} s",
            f"{span['n']} samples from {span['start']} to {span['end']}; data before {result['out_of_sample_from']} only",
            result["metrics"]["text"],
        )
    )
