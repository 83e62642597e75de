import shutil
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from traderai import embedded


class Command(BaseCommand):
    help = "Prepare a market, a model and two people, then run the site with a paper-trading strategy, which trades where the model has shown an edge."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--data", default="", help="Folder of candles (BTC-USDT_15m.parquet ...) to use instead of the venue or a generated market."
        )
        parser.add_argument("--speed", type=float, default=60.0, help="How many times faster than real time a replay runs.")
        parser.add_argument("--reset", action="store_true", help="Remove the demo's database, models and feed first.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("This is not a demo installation: set DEMO=true, or use `manage.py serve`.")
        if options["speed"] <= 0:
            raise CommandError("--speed must be positive: 1 is real time, 60 plays an hour in a minute.")
        embedded.require_free_port(options["host"], options["port"])
        embedded.require_only_one()
        if options["reset"]:
            _remove_embedded_data()
        begin = time.monotonic()
        # No worker runs yet: what follows from an event happens here and now.
        current_app.conf.task_always_eager = True
        console = Console(stderr=True, highlight=False)
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(), console=console
        ) as bars:
            prepared = _prepare(options["data"] or None, bars)
        current_app.conf.task_always_eager = False
        self.stdout.write(prepared.report())
        self.stdout.write(f"Ready to serve after {time.monotonic() - begin:.0f} s.")
        live = ["--feed", str(prepared.feed), "--speed", str(options["speed"])] if prepared.feed else ["--follow"]
        call_command("serve", "--host", options["host"], "--port", str(options["port"]), *live)


def _prepare(data: str | None, bars: Progress) -> Any:
    from traderai.demo import stages  # heavy: the learners, ccxt and numba load here, after the cheap checks

    return stages.prepare(data, bars)


def _remove_embedded_data() -> None:
    database = settings.DATABASES["default"]
    if not database["ENGINE"].endswith("sqlite3"):
        raise CommandError("--reset removes an embedded SQLite database only; empty the database that DATABASE_URL names by hand.")
    for path in Path(settings.DATA_DIR).iterdir():
        if path.name.startswith("traderai.sqlite3"):
            path.unlink()
        elif path.name in {"models", "demo", "mail"}:
            shutil.rmtree(path)
