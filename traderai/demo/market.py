"""The demo's market: a folder of candles, else the venue's public API, else a generated market. Never two of them in one installation.

The newest ten days of a folder or of the generated market are not stored but written as a feed, which `manage.py replay` plays as the live market.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError

from exchanges import backfill, candles, simulated, streams
from exchanges.candles import files
from exchanges.models import Market, Provenance
from exchanges.ports import CandleFrame
from exchanges.timeframes import TIMEFRAME_MS
from exchanges.venues import registry
from traderai.lib import clock

SYMBOLS = [f"{base}/USDT:USDT" for base in ("BTC", "ETH", "SOL", "BNB", "XRP", "ADA", "DOGE", "AVAX", "LINK", "LTC")]
TIMEFRAME = settings.BASE_TIMEFRAME
BAR_MS = TIMEFRAME_MS[TIMEFRAME]
DAY_MS = 86_400_000
HISTORY_BARS = 20_000
FOLDER_BARS = 40_000
REPLAY_DAYS = 10
AHEAD_DAYS = 30
SEED = 7
FILE_NAME = re.compile(r"^(?P<base>[A-Z0-9]+)-(?P<quote>[A-Z]+)_(?P<what>15m|funding)\.(parquet|csv)$")

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class DemoMarket:
    """What was prepared. `live` is "replay" (play the feed) or "venue" (follow the venue)."""

    symbols: list[str]
    provenance: str
    live: str


def feed_folder() -> Path:
    """Where the candles to be replayed are."""
    return Path(settings.DATA_DIR) / "demo" / "feed"


def ensure(data: str | None, progress: Progress) -> DemoMarket:
    """Prepare the market unless one is there. Raises CommandError when `data` contradicts what is stored."""
    stored = list(Market.objects.with_candles().order_by("symbol"))
    if stored:
        provenance = stored[0].provenance
        if data and provenance != Provenance.FILE:
            raise CommandError(
                f"This installation already has a market ({stored[0].get_provenance_display()}): run `make demo DATA={data} RESET=1` to begin anew."
            )
        live = "venue" if provenance == Provenance.VENUE else "replay"
        return DemoMarket([market.symbol for market in stored], provenance, live)
    if data:
        return _from_folder(Path(data), progress)
    if registry.reachable(settings.DEFAULT_VENUE):
        return _from_venue(progress)
    return _generated(progress)


def _from_folder(folder: Path, progress: Progress) -> DemoMarket:
    if not folder.is_dir():
        raise CommandError(f"DATA: {folder} is not a folder. Give a folder with files named BTC-USDT_15m.parquet.")
    found = {path: match for path in sorted(folder.iterdir()) if (match := FILE_NAME.match(path.name))}
    series = {_symbol(match): path for path, match in found.items() if match["what"] == TIMEFRAME}
    if not series:
        raise CommandError(
            f"DATA: no candles in {folder}. Name the files like BTC-USDT_15m.parquet (columns timestamp, open, high, low, close, volume)."
        )
    frames = {symbol: files.load_candles(path, symbol=symbol, timeframe=TIMEFRAME)[0] for symbol, path in series.items()}
    newest = max(int(frame.timestamp[-1]) for frame in frames.values())
    cutoff = newest - REPLAY_DAYS * DAY_MS
    frames = {symbol: frame for symbol, frame in frames.items() if int(frame.timestamp[-1]) >= newest - DAY_MS}
    feed: list[CandleFrame] = []
    for done, (symbol, frame) in enumerate(frames.items()):
        progress(f"Importing {symbol}", done / len(frames))
        split = int(frame.timestamp.searchsorted(cutoff))
        candles.ingest(candles.find_market(symbol), frame.slice(max(0, split - FOLDER_BARS), split), provenance=Provenance.FILE)
        feed.append(frame.slice(split, len(frame)))
    for path, match in found.items():
        if match["what"] == "funding" and _symbol(match) in frames:
            candles.ingest_funding(candles.find_market(_symbol(match)), files.load_funding(path)[0], provenance=Provenance.FILE)
    streams.write_feed(feed_folder(), feed)
    return DemoMarket(list(frames), Provenance.FILE, "replay")


def _from_venue(progress: Progress) -> DemoMarket:
    since_ms = clock.now_ms() - HISTORY_BARS * BAR_MS
    job = backfill.start(symbols=SYMBOLS, timeframe=TIMEFRAME, since_ms=since_ms)
    backfill.run(job.pk, progress=lambda job: progress("Fetching history from the venue", job.progress))
    return DemoMarket(SYMBOLS, Provenance.VENUE, "venue")


def _generated(progress: Progress) -> DemoMarket:
    progress("Generating a market", 0.0)
    start_ms = (clock.now_ms() // BAR_MS) * BAR_MS - REPLAY_DAYS * DAY_MS - HISTORY_BARS * BAR_MS
    bars = HISTORY_BARS + (REPLAY_DAYS + AHEAD_DAYS) * DAY_MS // BAR_MS
    made = simulated.generate(SYMBOLS, start_ms=start_ms, bars=bars, seed=SEED)
    for done, frame in enumerate(made):
        progress(f"Storing {frame.symbol}", done / len(made))
        market = candles.find_market(frame.symbol)
        candles.ingest(market, frame.slice(0, HISTORY_BARS), provenance=Provenance.SIMULATED)
        # Rates of the replayed days are stored ahead of their candles; whoever reads them asks for those before a given time.
        past = frame.slice(0, HISTORY_BARS + REPLAY_DAYS * DAY_MS // BAR_MS)
        candles.ingest_funding(market, simulated.funding(past, SEED), provenance=Provenance.SIMULATED)
    streams.write_feed(feed_folder(), [frame.slice(HISTORY_BARS, bars) for frame in made])
    return DemoMarket(SYMBOLS, Provenance.SIMULATED, "replay")


def _symbol(match: re.Match[str]) -> str:
    return f"{match['base']}/{match['quote']}:{match['quote']}"
