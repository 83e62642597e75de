"""Holes in a series: found in what is stored, asked for again, and remembered as open (asking failed) or empty (the venue has none)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Min, Q, Window
from django.db.models.functions import Lag

from exchanges import candles
from exchanges.backfill.crew import Patience
from exchanges.candles.missing import between, note, of_answer, without
from exchanges.models import Candle, CandleGap, GapState, Market, Provenance
from exchanges.ports import CandleFrame, VenueError
from exchanges.timeframes import Gap, parse
from exchanges.venues import registry
from traderai.lib import clock
from traderai.lib.errors import UserError

SETTLED_MS = 3_600_000
"""Venues publish late: what is younger than this is never called empty."""
ASK_AGAIN_AFTER = timedelta(days=7)
"""Venues also repair their own history: an empty gap is asked for again after this."""
ATTEMPTS = 3
"""A look at a gap gives up sooner than a job: the next look comes by itself."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What one look at a series did: bars stored, and bars that are still missing by state."""

    symbol: str
    timeframe: str
    filled: int
    empty: int
    open: int
    reason: str = ""


def detect(market: Market, timeframe: str, start_ms: int, end_ms: int) -> list[Gap]:
    """Missing bars with start_ms <= open < end_ms, oldest first; none in a market that closes at night. Raises UnknownTimeframe."""
    length_ms = candles.length_ms(timeframe)
    if market.has_sessions or start_ms >= end_ms:
        return []
    stored = Candle.objects.filter(market=market, timeframe=timeframe, timestamp__gte=start_ms, timestamp__lt=end_ms)
    edge = stored.aggregate(first=Min("timestamp"), last=Max("timestamp"))
    if edge["first"] is None:
        return [between(start_ms, end_ms - length_ms, length_ms)]
    before = Window(Lag("timestamp"), order_by="timestamp")
    inner = stored.annotate(before=before).filter(timestamp__gt=F("before") + length_ms).order_by("timestamp")
    bounds = [(start_ms, edge["first"] - length_ms)]
    bounds += [(earlier + length_ms, at - length_ms) for earlier, at in inner.values_list("before", "timestamp")]
    bounds.append((edge["last"] + length_ms, end_ms - length_ms))
    return [between(first_ms, last_ms, length_ms) for first_ms, last_ms in bounds if last_ms >= first_ms]


def due(
    market: Market, timeframe: str, start_ms: int, end_ms: int, *, asked_since: datetime | None = None, all_empty: bool = False
) -> list[Gap]:
    """Missing bars the venue should be asked for: all but those asked for since then, and those it had none for lately (unless all_empty)."""
    length_ms = candles.length_ms(timeframe)
    lately = clock.now() - ASK_AGAIN_AFTER
    known = [
        Gap(row.first_ms, row.last_ms, 0)
        for row in CandleGap.objects.filter(market=market, timeframe=timeframe, first_ms__lt=end_ms, last_ms__gte=start_ms).order_by(
            "first_ms"
        )
        if (asked_since and row.checked_at >= asked_since) or (row.state == GapState.EMPTY and row.checked_at > lately and not all_empty)
    ]
    return list(without(detect(market, timeframe, start_ms, end_ms), known, length_ms))


def pages(gap: Gap, timeframe: str, page: int) -> Iterator[Gap]:
    """The gap in parts that one request can fill."""
    length_ms = parse(timeframe)
    for first_ms in range(gap.first_ms, gap.last_ms + 1, page * length_ms):
        yield between(first_ms, min(gap.last_ms, first_ms + (page - 1) * length_ms), length_ms)


def fill(market: Market, gap: Gap, frame: CandleFrame) -> tuple[int, list[Gap]]:
    """Store what the venue told when asked for the gap, inside the caller's transaction. Returns the rows written and what is missing still:
    to be asked for again when something came, and noted as empty when nothing did. Raises BadRows, MixedSources."""
    length_ms = parse(frame.timeframe)
    inside = frame.slice(*frame.timestamp.searchsorted([gap.first_ms, gap.last_ms + 1]).tolist())
    if not len(inside):
        settled_ms = (clock.now_ms() - SETTLED_MS) // length_ms * length_ms
        if settled_ms > gap.first_ms:
            note(market, frame.timeframe, between(gap.first_ms, min(gap.last_ms, settled_ms - length_ms), length_ms), GapState.EMPTY)
        return 0, []
    report = candles.ingest(market, inside, provenance=Provenance.VENUE)
    note(market, frame.timeframe, gap, None)
    return report.inserted + report.updated, of_answer(inside, gap.first_ms, gap.last_ms)


def repair(market: Market, timeframe: str | None = None, *, all_empty: bool = False, patience: Patience | None = None) -> Repair:
    """Ask the venue for what is missing inside a stored series. Never raises for the venue's trouble: the gap stays open, with the reason.

    Holes it had none for within a week are left alone unless all_empty. Raises UnknownTimeframe, and UserError when the history is not the venue's.
    """
    timeframe = timeframe or settings.BASE_TIMEFRAME
    candles.length_ms(timeframe)
    candles.check_source(market, Provenance.VENUE)
    span = _span(market, timeframe)
    filled, reason = 0, ""
    if span is not None:
        holes = due(market, timeframe, *span, all_empty=all_empty)
        _forget_filled(market, timeframe, span)
        for hole in holes:
            try:
                filled += _ask_for(market, timeframe, hole, patience or Patience(attempts=ATTEMPTS))
            except (VenueError, UserError) as error:
                reason = str(error)
                with transaction.atomic():
                    note(market, timeframe, hole, GapState.OPEN, reason)
                break  # the others wait for the next look, as this one does
    left = missing(market, timeframe)
    return Repair(market.symbol, timeframe, filled, left[GapState.EMPTY], left[GapState.OPEN], reason)


def missing(market: Market, timeframe: str) -> dict[str, int]:
    """Bars noted as missing, by state."""
    counts = dict.fromkeys(GapState.values, 0)
    length_ms = parse(timeframe)
    for state, first_ms, last_ms in CandleGap.objects.filter(market=market, timeframe=timeframe).values_list(
        "state", "first_ms", "last_ms"
    ):
        counts[state] += (last_ms - first_ms) // length_ms + 1
    return counts


def gappy() -> list[tuple[int, str]]:
    """(market_id, timeframe) of series in which the venue should be asked for something: the base frame of each market whose history is
    the venue's and has a hole, and whatever else has noted gaps that are due."""
    markets = Market.objects.active().filter(provenance=Provenance.VENUE).order_by("pk")
    is_due = Q(state=GapState.OPEN) | Q(checked_at__lte=clock.now() - ASK_AGAIN_AFTER)
    noted = CandleGap.objects.filter(is_due, market__in=markets).order_by("market_id").values_list("market_id", "timeframe").distinct()
    base = settings.BASE_TIMEFRAME
    spans = {market: _span(market, base) for market in markets}
    holed = [(market.pk, base) for market, span in spans.items() if span and due(market, base, *span)]
    return list(dict.fromkeys([*holed, *noted]))


def _ask_for(market: Market, timeframe: str, hole: Gap, patience: Patience) -> int:
    venue = registry.market_data(market.venue.slug)
    written, parts = 0, list(pages(hole, timeframe, venue.page(market.symbol)))
    while parts:
        part = parts.pop(0)
        frame = patience.ask(partial(venue.candles, market.symbol, timeframe, part.first_ms, part.missing))
        with transaction.atomic():
            count, rest = fill(market, part, frame)
        written += count
        parts = rest + parts
    return written


def _span(market: Market, timeframe: str) -> tuple[int, int] | None:
    """From the first bar or gap to the end of the last one."""
    stored = Candle.objects.filter(market=market, timeframe=timeframe).aggregate(first=Min("timestamp"), last=Max("timestamp"))
    noted = CandleGap.objects.filter(market=market, timeframe=timeframe).aggregate(first=Min("first_ms"), last=Max("last_ms"))
    firsts = [edge["first"] for edge in (stored, noted) if edge["first"] is not None]
    lasts = [edge["last"] for edge in (stored, noted) if edge["last"] is not None]
    return (min(firsts), max(lasts) + candles.length_ms(timeframe)) if firsts else None


def _forget_filled(market: Market, timeframe: str, span: tuple[int, int]) -> None:
    """Bars may have come by another way: notes of what is stored go."""
    length_ms = parse(timeframe)
    holes = detect(market, timeframe, *span)
    for row in CandleGap.objects.filter(market=market, timeframe=timeframe).order_by("first_ms"):
        noted = between(row.first_ms, row.last_ms, length_ms)
        stale = list(without([noted], holes, length_ms))
        with transaction.atomic():
            for part in stale:
                note(market, timeframe, part, None)
