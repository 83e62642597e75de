"""Play candles as the live market."""

import signal
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from exchanges import candles
from exchanges.management.moments import parse_ms
from exchanges.models import Market
from exchanges.streams import read_feed, replay, rerun
from exchanges.streams.shards import Claim
from traderai.lib import clock
from traderai.lib.errors import UserError

STORED_ONLY = ("until", "symbols", "loop")


class Command(BaseCommand):
    help = (
        "Play candles as the live market. With --since: history that is stored, on the pages only; nothing is stored, scanned or traded by "
        "it. Without: a feed of candles that are not stored yet, faster than time until they reach the present, then with it; they are stored "
        "and traded on. Stops on SIGTERM and Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--speed", type=float, default=60.0, help="times real time, until the present is reached (default 60)")
        parser.add_argument("--venue", help="whose markets these are (default: DEFAULT_VENUE)")
        stored = parser.add_argument_group("stored history")
        stored.add_argument("--since", default="", help="play stored bars from this moment on, UTC: 2024-11-01 or 2024-11-01T12:00")
        stored.add_argument("--until", default="", help="up to this moment (default: the newest stored bar)")
        stored.add_argument("--symbols", default="", help="only these, separated by commas: BTC/USDT:USDT,ETH/USDT:USDT (default: all)")
        stored.add_argument("--loop", action="store_true", help="begin again at the end")
        feed = parser.add_argument_group("a feed")
        feed.add_argument("--folder", type=Path, help="the feed's Parquet files (default: DATA_DIR/demo/feed)")
        feed.add_argument("--once", action="store_true", help="leave when the feed ends instead of waiting to be stopped")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = Event()

        def leave(signum: int, frame: FrameType | None) -> None:
            stop.set()

        previous = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            if options["since"]:
                self._play_stored(options, stop)
            else:
                self._play_feed(options, stop)
        except UserError as error:
            raise CommandError(error.message) from error
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _play_stored(self, options: dict[str, Any], stop: Event) -> None:
        if options["folder"] or options["once"]:
            raise CommandError("--since plays stored history and --folder or --once a feed: give one of them.")
        start_ms = parse_ms(options["since"], option="--since")
        until_ms = parse_ms(options["until"], option="--until") if options["until"] else None
        venue = candles.find_venue(options["venue"] or settings.DEFAULT_VENUE)
        names = [name.strip() for name in options["symbols"].split(",") if name.strip()]
        markets = [candles.find_market(name, venue=venue.slug, field="symbols") for name in names]
        markets = markets or list(Market.objects.with_candles().filter(venue=venue).order_by("symbol"))
        with Claim(venue.slug):
            playing = rerun.tracks(markets, start_ms=start_ms, until_ms=until_ms)
            begin_ms = min(track.start_ms for track in playing)
            self._say(
                f"REPLAY of stored history: {len(playing)} markets of {venue.slug} from {_moment(begin_ms)} at {options['speed']:g}x; "
                f"nothing is traded on it"
            )
            while not stop.is_set():
                reached_ms = rerun.play(playing, speed=options["speed"], stop=stop, say=self._say)
                if not options["loop"]:
                    break
        self._say(f"{'Stopped' if stop.is_set() else 'The history has ended'} at {_moment(reached_ms)}")

    def _play_feed(self, options: dict[str, Any], stop: Event) -> None:
        given = [f"--{name}" for name in STORED_ONLY if options[name]]
        if given:
            raise CommandError(f"{' and '.join(given)} belong to stored history: give --since as well, like --since 2024-11-01.")
        folder = options["folder"] or Path(settings.DATA_DIR) / "demo" / "feed"
        playing = replay.tracks(read_feed(folder), venue=options["venue"])
        if playing:
            simulated = any(track.market.is_simulated for track in playing)
            start_ms = min(int(track.frame.timestamp[0]) for track in playing)
            label = "SIMULATED MARKET" if simulated else "REPLAY of stored history"
            self._say(f"{label}: {len(playing)} markets from {_moment(start_ms)} at {options['speed']:g}x, {folder}")
            played = replay.play(playing, speed=options["speed"], stop=stop)
            self._say(f"{'Stopped' if stop.is_set() else 'The feed has ended'} after {played:,} bars")
        else:
            self._say(f"Every bar of {folder} is stored already: nothing left to play")
        if not options["once"]:
            stop.wait()

    def _say(self, text: str) -> None:
        with suppress(OSError):  # a full disk under the output, or a reader that has gone, is no reason to stop
            self.stdout.write(text)
            self.stdout.flush()


def _moment(ms: int) -> str:
    return f"{clock.from_ms(ms):%Y-%m-%d %H:%M} UTC"
