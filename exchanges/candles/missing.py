"""What is known of missing bars: spans of a series that the venue was asked for, open (asking failed, or too soon to say) or empty (it has none)."""

from collections.abc import Iterable, Iterator

from exchanges.models import CandleGap, GapState, Market
from exchanges.ports import CandleFrame
from exchanges.timeframes import Gap, parse
from traderai.lib import clock


def note(market: Market, timeframe: str, gap: Gap, state: GapState | None, reason: str = "") -> None:
    """Remember what is known of this span (None: nothing is missing there), inside the caller's transaction. Neighbours of one state become one."""
    length_ms = parse(timeframe)
    Market.objects.select_for_update().get(pk=market.pk)
    first_ms, last_ms = gap.first_ms, gap.last_ms
    touching = CandleGap.objects.filter(
        market=market, timeframe=timeframe, first_ms__lte=last_ms + length_ms, last_ms__gte=first_ms - length_ms
    ).order_by("first_ms")
    for row in list(touching):
        row_is_outside = row.last_ms < gap.first_ms or row.first_ms > gap.last_ms
        if row.state == state and (row.reason == reason or not row_is_outside):
            first_ms, last_ms = min(first_ms, row.first_ms), max(last_ms, row.last_ms)
            row.delete()
        elif not row_is_outside:
            _cut(row, gap, length_ms)
    if state is not None:
        CandleGap.objects.create(
            market=market, timeframe=timeframe, first_ms=first_ms, last_ms=last_ms, state=state, reason=reason, checked_at=clock.now()
        )


def of_answer(frame: CandleFrame, first_ms: int, last_ms: int) -> list[Gap]:
    """What an answer leaves out of the bars with first_ms <= open <= last_ms."""
    length_ms = parse(frame.timeframe)
    told = (Gap(at_ms, at_ms, 1) for at_ms in frame.timestamp.tolist() if first_ms <= at_ms <= last_ms)
    return list(without([between(first_ms, last_ms, length_ms)], told, length_ms)) if first_ms <= last_ms else []


def between(first_ms: int, last_ms: int, length_ms: int) -> Gap:
    """The gap from the first missing bar to the last."""
    return Gap(first_ms, last_ms, (last_ms - first_ms) // length_ms + 1)


def without(gaps: Iterable[Gap], known: Iterable[Gap], length_ms: int) -> Iterator[Gap]:
    """The gaps less what is known; both oldest first."""
    known = list(known)
    for gap in gaps:
        first_ms = gap.first_ms
        for other in known:
            if other.last_ms < first_ms or other.first_ms > gap.last_ms:
                continue
            if other.first_ms > first_ms:
                yield between(first_ms, other.first_ms - length_ms, length_ms)
            first_ms = other.last_ms + length_ms
        if first_ms <= gap.last_ms:
            yield between(first_ms, gap.last_ms, length_ms)


def _cut(row: CandleGap, gap: Gap, length_ms: int) -> None:
    """Leave of the row what lies outside the gap."""
    parts = without([Gap(row.first_ms, row.last_ms, 0)], [gap], length_ms)
    row.delete()
    for part in list(parts):
        row.pk, row.first_ms, row.last_ms = None, part.first_ms, part.last_ms
        row.save(force_insert=True)
