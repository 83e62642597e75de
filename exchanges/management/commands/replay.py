"""Play a feed of candles as the live market."""

import signal
from argparse import ArgumentParser
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from exchanges.streams import read_feed, replay
from traderai.lib import clock
from traderai.lib.errors import UserError


class Command(BaseCommand):
    help = (
        "Play candles that are not yet stored as the live market, faster than time until they reach the present, then with it. "
        "Continues after the newest stored bar; stops on SIGTERM and Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--folder", type=Path, help="the feed's Parquet files (default: DATA_DIR/demo/feed)")
        parser.add_argument("--speed", type=float, default=60.0, help="times real time, until the present is reached (default 60)")
        parser.add_argument("--venue", help="whose markets these are (default: DEFAULT_VENUE)")
        parser.add_argument("--once", action="store_true", help="leave when the feed ends instead of waiting to be stopped")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = Event()

        def leave(signum: int, frame: FrameType | None) -> None:
            stop.set()

        previous = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._play(options, stop)
        except UserError as error:
            raise CommandError(error.message) from error
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _play(self, options: dict[str, Any], stop: Event) -> None:
        folder = options["folder"] or Path(settings.DATA_DIR) / "demo" / "feed"
        playing = replay.tracks(read_feed(folder), venue=options["venue"])
        if playing:
            simulated = any(track.market.is_simulated for track in playing)
            start_ms = min(int(track.frame.timestamp[0]) for track in playing)
            label = "SIMULATED MARKET" if simulated else "REPLAY of stored history"
            self._say(
                f"{label}: {len(playing)} markets from {clock.from_ms(start_ms):%Y-%m-%d %H:%M} UTC at {options['speed']:g}x, {folder}"
            )
            played = replay.play(playing, speed=options["speed"], stop=stop)
            self._say(f"{'Stopped' if stop.is_set() else 'The feed has ended'} after {played:,} bars")
        else:
            self._say(f"Every bar of {folder} is stored already: nothing left to play")
        if not options["once"]:
            stop.wait()

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
