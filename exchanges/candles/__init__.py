"""Market history: validated on the way in, arrays on the way out, higher frames derived from the base."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from exchanges import timeframes
from exchanges.candles import months, reading, storage
from exchanges.candles.catalogue import UnknownSymbol, UnknownVenue, add_market, find_market, find_venue
from exchanges.candles.months import Month
from exchanges.candles.storage import Series
from exchanges.candles.validation import EARLIEST_MS, BadRow, Checked, check_candles, check_funding
from exchanges.models import BackfillJob, Candle, CandleGap, CandleMonth, FundingRate, JobStatus, MarkCandle, Market, Provenance
from exchanges.ports import CandleFrame, FundingFrame
from traderai.lib import clock
from traderai.lib.errors import UserError

__all__ = [
    "EARLIEST_MS",
    "BadRow",
    "BadRows",
    "IngestReport",
    "MixedSources",
    "UnknownSymbol",
    "UnknownTimeframe",
    "UnknownVenue",
    "add_market",
    "check_source",
    "find_market",
    "find_venue",
    "forget",
    "funding",
    "holes",
    "ingest",
    "ingest_funding",
    "last_funding_ms",
    "last_open_ms",
    "length_ms",
    "most_bars",
    "read",
    "read_many",
]

LAST, MARK = "last", "mark"
OHLC = ("open", "high", "low", "close")


class BadRows(UserError):
    """Some rows cannot be stored, so none was. `rows` says which and why."""

    def __init__(self, rows: tuple[BadRow, ...], total: int) -> None:
        many = f"{len(rows)} bad row{'s' if len(rows) > 1 else ''} of {total}"
        super().__init__(
            f"{rows[0]} ({many}; nothing was stored); correct the data, or have rows sorted, merged and the bad ones left out with --skip-bad",
            field=rows[0].field,
        )
        self.rows = rows


class MixedSources(UserError):
    """The market's history comes from elsewhere."""


class UnknownTimeframe(UserError):
    """A timeframe this product does not keep."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of the rows given: rows = inserted + updated + unchanged + bad + merged duplicates."""

    rows: int
    inserted: int
    updated: int
    unchanged: int
    bad: tuple[BadRow, ...] = ()
    notes: tuple[str, ...] = ()


def length_ms(timeframe: str) -> int:
    """Length of a bar in ms. Raises UnknownTimeframe."""
    try:
        return timeframes.parse(timeframe)
    except timeframes.UnknownTimeframe as error:
        raise UnknownTimeframe(str(error), field="timeframe") from error


def ingest(
    market: Market, frame: CandleFrame, *, provenance: str, price: str = LAST, skip_bad: bool = False, ordered: bool = False
) -> IngestReport:
    """Store closed bars in one transaction; storing them again changes nothing. `price` is last or mark.

    Raises BadRows when a row is impossible (unless skip_bad: then it is left out and reported) or, with `ordered`, when rows
    are unsorted or repeated; MixedSources when the market's history is from another source, UnknownTimeframe.
    """
    length_ms(frame.timeframe)
    checked = check_candles(frame, now_ms=clock.now_ms(), ordered=ordered)
    columns = checked.columns if price == LAST else checked.columns[:-1]
    return _store(market, _series(market, frame.timeframe, price), checked._replace(columns=columns), len(frame), provenance, skip_bad)


def ingest_funding(market: Market, frame: FundingFrame, *, provenance: str, skip_bad: bool = False, ordered: bool = False) -> IngestReport:
    """Store funding boundaries in one transaction; storing them again changes nothing. Raises BadRows, MixedSources."""
    checked = check_funding(frame, now_ms=clock.now_ms(), ordered=ordered)
    return _store(market, _funding_series(market), checked, frame.timestamp.shape[0], provenance, skip_bad)


def read(
    market: Market, timeframe: str, *, start_ms: int | None = None, end_ms: int | None = None, last: int | None = None, price: str = LAST
) -> CandleFrame:
    """Closed bars with start_ms <= open < end_ms, of these the newest `last`; empty when there are none. Raises UnknownTimeframe.

    A frame that is stored is read as stored and continued from the base frame where that is newer; one that is not is
    derived from the base (or from the longest stored frame that divides it). With `last`, bars that are missing in the
    source count, so a derived series with holes may bring fewer.
    """
    length_ms(timeframe)
    return _read(market, timeframe, price, start_ms, end_ms, last)


def read_many(
    markets: Sequence[Market],
    timeframe: str,
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    last: int | None = None,
    price: str = LAST,
) -> list[CandleFrame]:
    """`read` of each market, in their order; what files have to be read anew is found with one query for all."""
    length_ms(timeframe)
    known = months.stored([market.pk for market in markets], timeframe, price)
    return [_read(market, timeframe, price, start_ms, end_ms, last, known.get(market.pk, [])) for market in markets]


def most_bars(market: Market, timeframe: str) -> int:
    """A count that `read` cannot exceed, from the months' counts alone: stored bars, and those that finer ones make. Raises UnknownTimeframe."""
    wanted_ms = length_ms(timeframe)
    counts = CandleMonth.objects.filter(market=market, price=LAST).values_list("timeframe").annotate(Sum("bars"))
    return sum(bars * length_ms(name) // wanted_ms for name, bars in counts if wanted_ms % length_ms(name) == 0)


def holes(market: Market, timeframe: str, *, price: str = LAST) -> list[timeframes.Gap]:
    """Bars missing between the first and the last of `read`, oldest first. Markets with sessions have one every night. Raises UnknownTimeframe."""
    return timeframes.gaps(read(market, timeframe, price=price).timestamp, timeframe)


def _read(
    market: Market,
    timeframe: str,
    price: str,
    start_ms: int | None,
    end_ms: int | None,
    last: int | None,
    known: Sequence[Month] | None = None,
) -> CandleFrame:
    stored = _load(market, timeframe, price, start_ms, end_ms, last, known)
    if timeframe == settings.BASE_TIMEFRAME and (len(stored) or months.newest_ms(market.pk, timeframe, price) is not None):
        return stored  # what is stored of it is all of it: streamed minutes run ahead of the base frame's own bar
    source = next((finer for finer in _finer(timeframe) if months.newest_ms(market.pk, finer, price) is not None), None)
    if source is None:
        return stored
    if not len(stored):
        return _derive(market, source, timeframe, price, start_ms, end_ms, last)
    tail = _derive(market, source, timeframe, price, int(stored.timestamp[-1]) + length_ms(timeframe), end_ms, last)
    if not len(tail):
        return stored
    joined = CandleFrame(market.symbol, timeframe, *(np.concatenate(pair) for pair in zip(stored[2:], tail[2:], strict=True)))
    return joined if last is None else joined.slice(max(0, len(joined) - last), len(joined))


def funding(market: Market, *, start_ms: int | None = None, end_ms: int | None = None) -> FundingFrame:
    """Funding boundaries with start_ms <= time < end_ms; empty arrays when there are none."""
    return FundingFrame(*storage.read(_funding_series(market), start_ms=start_ms, end_ms=end_ms))


def last_open_ms(market: Market, timeframe: str) -> int | None:
    """Open of the newest closed bar, stored or derived. Raises UnknownTimeframe."""
    length_ms(timeframe)
    if timeframe == settings.BASE_TIMEFRAME:
        newest = months.newest_ms(market.pk, timeframe, LAST)
        if newest is not None:
            return newest
    for count in (1, 64, None):  # holes at the end of a derived series need a longer look
        frame = read(market, timeframe, last=count)
        if len(frame):
            return int(frame.timestamp[-1])
    return None


def last_funding_ms(market: Market) -> int | None:
    """Time of the newest funding boundary."""
    return storage.newest(_funding_series(market))


def check_source(market: Market, provenance: str) -> None:
    """Raises MixedSources when the market holds history that is not from here."""
    if market.provenance not in (Provenance.NONE, provenance):
        raise MixedSources(
            f"symbol: {market.symbol} on {market.venue.slug} holds history of another source ({Provenance(market.provenance).label}), and one "
            f"series never mixes two; use another venue's market (--venue) or remove its history in the admin first",
            field="symbol",
        )


def forget(market: Market) -> int:
    """Remove the market's whole history, so that it can begin anew from another source. Returns the number of rows removed.

    Raises UserError while a backfill fetches it.
    """
    with transaction.atomic():
        _forget_checkpoints(market)
        removed = sum(model.objects.filter(market=market).delete()[0] for model in (Candle, MarkCandle, FundingRate))
        CandleGap.objects.filter(market=market).delete()
        market.provenance = Provenance.NONE
        market.save(update_fields=["provenance"])
    return removed


def _forget_checkpoints(market: Market) -> None:
    """What a backfill has reached speaks of rows that go: whoever asks again begins anew."""
    keys = {market.symbol, f"{market.symbol} funding"}
    for job in BackfillJob.objects.select_for_update().filter(venue_id=market.venue_id).order_by("pk"):
        if market.symbol not in job.symbols:
            continue
        if job.status in (JobStatus.QUEUED, JobStatus.RUNNING):
            raise UserError(f"symbol: backfill {job.pk} is fetching {market.symbol}; cancel it first", field="symbol")
        job.checkpoints = {key: at_ms for key, at_ms in job.checkpoints.items() if key not in keys}
        job.starts = {key: at_ms for key, at_ms in job.starts.items() if key not in keys}
        job.save(update_fields=["checkpoints", "starts"])


def _store(market: Market, series: Series, checked: Checked, rows: int, provenance: str, skip_bad: bool) -> IngestReport:
    if checked.bad and (not skip_bad or not len(checked.columns[0])):
        raise BadRows(checked.bad, rows)
    if not rows:
        return IngestReport(0, 0, 0, 0)
    with transaction.atomic():
        _claim(market, provenance)
        counts = storage.write(series, checked.columns)
    return IngestReport(rows, counts.inserted, counts.updated, counts.unchanged, checked.bad, checked.notes)


def _claim(market: Market, provenance: str) -> None:
    """Lock the market's row and let it hold history of this source only."""
    held = Market.objects.select_for_update().get(pk=market.pk)
    market.provenance = held.provenance
    check_source(market, provenance)
    if held.provenance == Provenance.NONE:
        held.provenance = provenance
        held.save(update_fields=["provenance"])
        market.provenance = provenance


def _series(market: Market, timeframe: str, price: str = LAST) -> Series:
    if price not in (LAST, MARK):
        raise UserError(f"price: {price!r} is neither last nor mark; use one of them", field="price")
    keys: dict[str, int | str] = {"market_id": market.pk, "timeframe": timeframe}
    return Series(Candle, keys, (*OHLC, "volume")) if price == LAST else Series(MarkCandle, keys, OHLC)


def _funding_series(market: Market) -> Series:
    return Series(FundingRate, {"market_id": market.pk}, ("rate",))


def _finer(timeframe: str) -> list[str]:
    """Frames this one can be derived from, best first: the base, then from long to short."""
    finer = [name for name in reversed(timeframes.TIMEFRAME_MS) if timeframes.derives(name, timeframe)]
    return sorted(finer, key=lambda name: name != settings.BASE_TIMEFRAME)


def _load(
    market: Market,
    timeframe: str,
    price: str,
    start_ms: int | None,
    end_ms: int | None,
    last: int | None,
    known: Sequence[Month] | None = None,
) -> CandleFrame:
    columns = reading.columns(_series(market, timeframe, price), start_ms=start_ms, end_ms=end_ms, last=last, known=known)
    if price == MARK:
        columns.append(np.zeros(len(columns[0])))
    return CandleFrame(market.symbol, timeframe, *columns)


def _derive(
    market: Market, source: str, timeframe: str, price: str, start_ms: int | None, end_ms: int | None, last: int | None
) -> CandleFrame:
    """Bounds are those of the higher bars' opens; the source is read for exactly the bars they are made of."""
    step = length_ms(timeframe)
    if end_ms is not None:
        end_ms = -(-end_ms // step) * step
    if start_ms is not None:
        start_ms = -(-start_ms // step) * step
    if last is not None:
        newest = months.newest_ms(market.pk, source, price)
        known_ms = (newest or 0) + length_ms(source)
        until_ms = known_ms if end_ms is None else min(known_ms, end_ms)
        start_ms = max(start_ms or 0, until_ms // step * step - last * step)
    frame = timeframes.aggregate(_load(market, source, price, start_ms, end_ms, None), timeframe)
    return frame if last is None else frame.slice(max(0, len(frame) - last), len(frame))
