"""Ask venues for bars that are missing inside stored series."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchanges import backfill, candles
from exchanges.models import Market, Provenance
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = "Ask venues for bars that are missing inside stored series, those they had none for before included. A worker looks every hour by itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbols", help="separated by commas (default: every market whose history is its venue's)")
        parser.add_argument("--timeframe", help="default: the base timeframe")
        parser.add_argument("--venue", help="default: DEFAULT_VENUE with --symbols, else every venue")
        parser.add_argument("--json", action="store_true", help="print what was done as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            repairs = [backfill.repair(market, options["timeframe"], all_empty=True) for market in _wanted(options)]
        except UserError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps([asdict(repair) for repair in repairs]))
        else:
            for repair in repairs:
                self.stdout.write(
                    f"{repair.symbol} {repair.timeframe}: {repair.filled:,} bars filled; missing: {repair.empty:,} that the venue has not, {repair.open:,} it did not tell"
                )
        if failed := [repair for repair in repairs if repair.reason]:
            raise CommandError("\n".join(f"{repair.symbol}: {repair.reason}; run this again later" for repair in failed))


def _wanted(options: dict[str, Any]) -> list[Market]:
    if options["symbols"]:
        names = [name.strip() for name in options["symbols"].split(",") if name.strip()]
        return [candles.find_market(name, venue=options["venue"], field="symbols") for name in names]
    markets = Market.objects.active().filter(provenance=Provenance.VENUE).select_related("venue").order_by("venue__slug", "symbol")
    return list(markets.filter(venue=candles.find_venue(options["venue"])) if options["venue"] else markets)
