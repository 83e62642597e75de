"""Follow a venue's live market through its public API."""

import signal
from argparse import ArgumentParser
from threading import Event
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from exchanges import candles
from exchanges.models import Market, Provenance
from exchanges.ports import VenueError
from exchanges.streams import follow
from exchanges.venues import registry
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = "Publish live prices and store closed bars of every market whose history came from the venue's public API. Stops on SIGTERM and Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--venue", help="default: DEFAULT_VENUE")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = Event()

        def leave(signum: int, frame: FrameType | None) -> None:
            stop.set()

        previous = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._follow(options, stop)
        except UserError as error:
            raise CommandError(error.message) from error
        except VenueError as error:
            raise CommandError(f"{error}. Check the symbols and the venue, then start again.") from error
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _follow(self, options: dict[str, Any], stop: Event) -> None:
        venue = candles.find_venue(options["venue"] or settings.DEFAULT_VENUE)
        markets = list(Market.objects.with_candles().filter(venue=venue, provenance=Provenance.VENUE).order_by("symbol"))
        if not markets:
            raise CommandError(
                f"No market of {venue.slug} has history from its public API: run `manage.py backfill --symbols ... --since ...` first."
            )
        driver = registry.market_data(venue.slug)
        self.stdout.write(f"LIVE prices of {len(markets)} markets of {venue.slug}")
        self.stdout.flush()
        follow.follow(markets, driver, stop=stop)
