"""Market history between files and the database."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from django.db import transaction

from exchanges import candles
from exchanges.candles import files
from exchanges.candles.validation import spacing_ms
from exchanges.models import Market, Provenance
from exchanges.ports import CandleFrame
from exchanges.timeframes import TIMEFRAME_MS
from traderai.lib.errors import UserError


class Imported(NamedTuple):
    market: Market
    report: candles.IngestReport


class NothingToExport(UserError):
    """No bar in the span asked for."""


def import_candles(
    path: Path,
    *,
    symbol: str,
    timeframe: str,
    venue: str | None = None,
    price: str = candles.LAST,
    skip_bad: bool = False,
    new_market: bool = False,
) -> Imported:
    """Store a file's bars as they stand, or with skip_bad the good ones, sorted and merged. Raises UserError, and then nothing has changed."""
    candles.length_ms(timeframe)
    with transaction.atomic():
        market = _market(symbol, venue, new_market)
        frame, notes = files.load_candles(path, symbol=symbol, timeframe=timeframe, with_volume=price != candles.MARK)
        _check_spacing(frame)
        report = candles.ingest(market, frame, provenance=Provenance.FILE, price=price, skip_bad=skip_bad, ordered=not skip_bad)
    return Imported(market, replace(report, notes=(*notes, *report.notes)))


def import_funding(path: Path, *, symbol: str, venue: str | None = None, skip_bad: bool = False, new_market: bool = False) -> Imported:
    """Store a file's funding rates. Raises UserError, and then nothing has changed."""
    with transaction.atomic():
        market = _market(symbol, venue, new_market)
        frame, notes = files.load_funding(path)
        report = candles.ingest_funding(market, frame, provenance=Provenance.FILE, skip_bad=skip_bad, ordered=not skip_bad)
    return Imported(market, replace(report, notes=(*notes, *report.notes)))


def export_candles(
    path: Path, *, symbol: str, timeframe: str, venue: str | None = None, start_ms: int | None = None, end_ms: int | None = None
) -> CandleFrame:
    """Write closed bars as import_candles reads them; frames that are not stored are derived. A Parquet file names its source. Raises UserError."""
    candles.length_ms(timeframe)
    market = candles.find_market(symbol, venue=venue)
    frame = candles.read(market, timeframe, start_ms=start_ms, end_ms=end_ms)
    if not len(frame):
        raise NothingToExport(
            f"symbol: {symbol} on {market.venue.slug} has no {timeframe} bars in that span; import or backfill it first", field="symbol"
        )
    metadata = {"symbol": symbol, "timeframe": timeframe, "venue": market.venue.slug, "source": Provenance(market.provenance).label}
    files.save(path, files.CANDLE_COLUMNS, frame[2:], metadata=metadata)
    return frame


def _check_spacing(frame: CandleFrame) -> None:
    """Hours fit into the grid of quarters: told as quarters, they would be a series of holes, which no row shows."""
    apart_ms = spacing_ms(frame.timestamp)
    if apart_ms in (None, candles.length_ms(frame.timeframe)):
        return
    names = {length: name for name, length in TIMEFRAME_MS.items()}
    apart = names.get(apart_ms, f"{apart_ms / 1000:g} s")
    remedy = f"import it with --timeframe {apart}" if apart_ms in names else "export it again"
    raise candles.UnknownTimeframe(f"timeframe: most rows lie {apart} apart, not {frame.timeframe}; {remedy}", field="timeframe")


def _market(symbol: str, venue: str | None, new_market: bool) -> Market:
    return candles.add_market(symbol, venue=venue) if new_market else candles.find_market(symbol, venue=venue)
