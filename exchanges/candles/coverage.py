"""How much of each month of a series is stored: what the staff's heat-map shows. Counts come from CandleMonth, so no bar is read."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import OuterRef, Subquery

from exchanges.candles import months
from exchanges.models import Candle, CandleMonth, Market
from exchanges.timeframes import parse

STEPS = (0.5, 0.9, 1.0)
"""Shares at which a cell changes its colour: some, half, most, all."""


class Cell(NamedTuple):
    """One month of one market. `expected` counts the bars that can be there by now; None where a market closes at night or nothing is stored."""

    month_ms: int
    bars: int
    expected: int | None

    @property
    def percent(self) -> int | None:
        """Whole percent, rounded down: 100 means that no bar is missing."""
        return None if not self.expected else min(100, self.bars * 100 // self.expected)

    @property
    def level(self) -> int:
        """0: nothing stored, 1 to 4: by STEPS; 4 where nobody can say what is missing."""
        if not self.bars:
            return 0
        return 4 if not self.expected else 1 + sum(self.bars >= step * self.expected for step in STEPS)


class Row(NamedTuple):
    """One market: its months beside those of Coverage.months, and all of its bars."""

    market: Market
    cells: tuple[Cell, ...]
    bars: int


class Coverage(NamedTuple):
    """The heat-map. `months` are first instants in ms, oldest first, without a hole."""

    months: tuple[int, ...]
    rows: tuple[Row, ...]


def timeframes_stored() -> list[str]:
    """Timeframes of which some market has bars, shortest first."""
    names = CandleMonth.objects.filter(price="last").order_by("timeframe").values_list("timeframe", flat=True).distinct()
    return sorted(names, key=parse)


def heat_map(markets: Sequence[Market], timeframe: str, *, now_ms: int) -> Coverage:
    """Stored and expected bars by month of those markets that have any, from the first month of any on. Two queries."""
    counts = months.stored([market.pk for market in markets], timeframe, "last")
    if not counts:
        return Coverage((), ())
    columns = _columns(min(known[0].start_ms for known in counts.values()), now_ms)
    first = _first_bars(list(counts), timeframe)
    rows = []
    for market in markets:
        if market.pk not in counts:
            continue
        bars = {month.start_ms: month.bars for month in counts[market.pk]}
        begins_ms = None if market.has_sessions else first[market.pk]
        cells = tuple(Cell(start, bars.get(start, 0), _expected(start, begins_ms, timeframe, now_ms)) for start in columns)
        rows.append(Row(market, cells, sum(bars.values())))
    return Coverage(columns, tuple(rows))


def _first_bars(market_ids: Sequence[int], timeframe: str) -> dict[int, int]:
    bars = Candle.objects.filter(market_id=OuterRef("pk"), timeframe=timeframe).order_by("timestamp").values("timestamp")
    return dict(Market.objects.filter(pk__in=market_ids).annotate(first_ms=Subquery(bars[:1])).values_list("pk", "first_ms"))


def _expected(month_ms: int, begins_ms: int | None, timeframe: str, now_ms: int) -> int | None:
    """Bars of a series that begins at begins_ms which the month has room for and that have closed."""
    length_ms = parse(timeframe)
    if begins_ms is None:
        return None
    start_ms = max(month_ms, begins_ms)
    end_ms = min(_next_month(month_ms), now_ms // length_ms * length_ms)
    return max(0, -(-(end_ms - start_ms) // length_ms)) or None


def _columns(first_ms: int, now_ms: int) -> tuple[int, ...]:
    found = [first_ms]
    while (following := _next_month(found[-1])) <= now_ms:
        found.append(following)
    return tuple(found)


def _next_month(month_ms: int) -> int:
    start = datetime.fromtimestamp(month_ms / 1000, UTC)
    return round(datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000)
