from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from traderai import embedded
from traderai.supervisor import ChildNeverReady, Supervisor


class Command(BaseCommand):
    help = "Run the whole site on this machine: web, worker with beat, and a private Valkey unless REDIS_URL names a server."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--feed", default="", help="Folder of candles to replay as the live market.")
        parser.add_argument("--follow", action="store_true", help="Stream the venue's live market.")
        parser.add_argument("--speed", type=float, default=60.0, help="How many times faster than real time the replay runs.")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        embedded.require_free_port(host, port)
        embedded.require_only_one()
        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        children = [] if settings.REDIS_URL else [embedded.valkey()]
        children += [embedded.web(host, port), embedded.worker()]
        if options["feed"]:
            children.append(embedded.command("feed", "replay", "--folder", options["feed"], "--speed", str(options["speed"])))
        elif options["follow"]:
            children.append(embedded.command("feed", "run_streams"))
        supervisor = Supervisor(children)
        try:
            supervisor.start()
        except ChildNeverReady as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"TraderAI is on http://{host}:{port}  (Ctrl-C stops everything)")
        self.stdout.flush()
        supervisor.watch()
        self.stdout.write("Stopped.")
