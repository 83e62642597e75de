"""Hold the positions of an account against what the simulation makes of them today."""

import json
from argparse import ArgumentParser
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from accounts.models import User
from backtesting import parity
from exchanges.models import TradingAccount
from traderai.lib import clock

DAY_MS = 86_400_000


class Command(BaseCommand):
    help = "Simulate a user's positions of the last days again and say where they differ, and why; exit code 1 when a difference is unexplained."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, metavar="EMAIL", help="whose paper and live accounts")
        parser.add_argument("--days", type=int, default=30, help="positions opened in the last so many days (default 30)")
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email__iexact=options["user"]).first()
        if user is None:
            raise CommandError(f"--user: nobody here has the address {options['user']}")
        if not 1 <= options["days"] <= 3650:
            raise CommandError(f"--days: {options['days']} cannot be used; give a whole number from 1 to 3650")
        end_ms = clock.now_ms()
        accounts = TradingAccount.objects.for_user(user)
        lines, left_out = parity.compared(accounts, end_ms - options["days"] * DAY_MS, end_ms)
        found = parity.totals(lines, left_out)
        if options["json"]:
            self.stdout.write(json.dumps({**found._asdict(), "lines": [parity.as_json(line) for line in lines]}, indent=1))
        else:
            self._tell(lines, found, options["days"])
        if found.unexplained:
            raise CommandError(f"{found.unexplained} of {found.positions} positions differ and nothing stored says why")

    def _tell(self, lines: list[parity.Line], found: parity.Summary, days: int) -> None:
        console = Console(file=cast(IO[str], self.stdout), width=140)
        if not found.positions:
            console.print(f"No position of the last {days} days can be compared ({found.left_out} left out).", markup=False)
            return
        error = (
            ""
            if found.entry_mean_bps is None
            else f"; entries {found.entry_mean_bps:+.2f} bps on average, 95 % within {found.entry_p95_bps:.2f}"
        )
        console.print(f"{found.positions} positions, {found.same} the same, {found.left_out} left out{error}", markup=False)
        console.print(f"Net result recorded {found.recorded:+.4f}, simulated {found.simulated:+.4f}", markup=False)
        for cause, money in found.by_cause.items():
            console.print(f"  {parity.TITLES[cause]}: {money:+.4f}", markup=False)
        table = Table("position", "market", "opened (UTC)", "entry, bps", "recorded", "simulated", "why")
        for line in lines:
            if line.is_same:
                continue
            bps = "–" if line.entry_bps is None else f"{line.entry_bps:+.2f}"
            told = "–" if line.simulated is None else f"{line.simulated.net:+.4f}"
            why = " ".join(each.sentence for each in line.differences)
            opened = f"{line.position.opened_at:%Y-%m-%d %H:%M}"
            table.add_row(str(line.position.pk), line.position.market.symbol, opened, bps, f"{line.booked.net:+.4f}", told, why)
        if table.row_count:
            console.print(table)
