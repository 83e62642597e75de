"""The test venue as a process: python -m tests.venue --port 18091 --data FOLDER --symbols BTC,ETH --now 2025-03-01 --speed 60.

Without --data its markets are generated. When it serves it says so in one line of JSON; it ends with SIGTERM, or with its standard
input when told to --follow-stdin, so that it does not outlive the program that started it.
"""

import argparse
import asyncio
import json
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any

from tests.venue import history
from tests.venue.server import TestVenue


def main() -> None:
    options = _parser().parse_args()
    try:
        venue = _venue(options)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    asyncio.run(_serve(venue, follow_stdin=options.follow_stdin))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.venue", description="Venues' wire formats on loopback.")
    parser.add_argument("--port", type=int, default=18091, help="0: any free one")
    parser.add_argument("--data", type=Path, help="folder of Parquet files; generated markets without it")
    parser.add_argument("--symbols", default="BTC,ETH", help="BTC,ETH or, generated, a number of markets")
    parser.add_argument("--now", help="the venue's clock at the start, ISO 8601 in UTC; ours, or with --data a day before the files end")
    parser.add_argument("--speed", type=float, default=1.0, help="how fast the venue's clock runs; 0 stands still")
    parser.add_argument("--rate", type=float, default=10.0, help="updates a second of each market on each stream")
    parser.add_argument("--days", type=int, default=30, help="generated history")
    parser.add_argument("--ahead-days", type=int, default=30, help="generated future")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--no-limits", action="store_true", help="count requests, but turn nobody away")
    parser.add_argument("--limits-scale", type=float, default=1.0, help="shorten the windows of the limits by this factor")
    parser.add_argument("--follow-stdin", action="store_true", help="end when standard input does")
    return parser


def _venue(options: argparse.Namespace) -> TestVenue:
    """Raises ValueError with what is wrong."""
    bases = history.named(options.symbols)
    if not bases:
        raise ValueError("--symbols: name at least one, such as BTC")
    now_ms = None if options.now is None else int(_moment(options.now).timestamp() * 1000)
    if options.data:
        state = history.load(options.data, bases, now_ms)
    else:
        wanted_ms = int(time() * 1000) if now_ms is None else now_ms
        state = history.generate(bases, wanted_ms, days=options.days, ahead_days=options.ahead_days, seed=options.seed)
        state.now_ms = wanted_ms if options.now else int(time() * 1000)
    state.speed = options.speed
    try:
        venue = TestVenue(state, port=options.port, enforce_limits=not options.no_limits, limits_scale=options.limits_scale)
    except OSError as error:
        raise ValueError(f"--port: {options.port} cannot be had ({error.strerror}); use another, or 0 for any free one") from error
    venue.exchange.rate = options.rate
    return venue


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--now: {text!r} is no moment; write 2025-03-01 or 2025-03-01T12:30") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _serve(venue: TestVenue, *, follow_stdin: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, venue.stop)

    def watch() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(venue.stop)

    if follow_stdin:
        threading.Thread(target=watch, daemon=True).start()
    await venue.serve(lambda: _say(url=venue.url, symbols=list(venue.state.instruments)))


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


main()
