"""Stream a venue's live market."""

import asyncio
import signal
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from exchanges import candles
from exchanges.ports import VenueError
from exchanges.streams import shards
from exchanges.streams.run import Streams
from exchanges.venues import registry
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = (
        "Stream live prices, bars and order books of every market whose history came from the venue's public API, and store closed bars. "
        "Reconnects by itself; stops on SIGTERM and Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--venue", help="default: DEFAULT_VENUE")
        parser.add_argument("--symbols", default="", help="only these, separated by commas: BTC/USDT:USDT,ETH/USDT:USDT (default: all)")
        parser.add_argument("--shard", default="1/1", metavar="I/N", help="the I-th of N equal parts, each for a process of its own")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            shard = shards.parse(options["shard"])
            venue = candles.find_venue(options["venue"] or settings.DEFAULT_VENUE)
            symbols = [name.strip() for name in options["symbols"].split(",") if name.strip()]
            for symbol in symbols:
                candles.find_market(symbol, venue=venue.slug, field="symbols")
            live, rest = registry.live(venue.slug), registry.market_data(venue.slug)
            with shards.Claim(venue.slug, shard) as claim:
                self._run(Streams(venue, live, rest, claim=claim, symbols=symbols, say=self._say))
            self._say("Stopped.")
        except UserError as error:
            raise CommandError(error.message) from error
        except VenueError as error:
            raise CommandError(str(error)) from error

    def _run(self, streams: Streams) -> None:
        """Not asyncio.run: that waits for threads which talk to a venue that may be away."""
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()
        previous = {
            number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set)) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            loop.run_until_complete(streams.run(stop))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _say(self, text: str) -> None:
        with suppress(OSError):  # a full disk under the output, or a reader that has gone, is no reason to stop
            self.stdout.write(text)
            self.stdout.flush()
