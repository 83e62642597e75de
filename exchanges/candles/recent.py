"""Many markets at once, or all frames of one, in a fixed number of queries; no series is read whole."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import chain
from operator import or_
from typing import NamedTuple

import numpy as np
from django.db.models import OuterRef, Q, Subquery

from exchanges.models import Candle, Market
from exchanges.ports import CandleFrame
from exchanges.timeframes import TIMEFRAME_MS

COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
SPANS_A_QUERY = 100
"""Markets whose newest bars differ in time need a clause each, and SQLite nests no more than 1,000."""


class Extent(NamedTuple):
    """Opens of the oldest and the newest stored bar of one timeframe, ms."""

    first_ms: int
    last_ms: int


def newest_bars(markets: Iterable[Market], timeframe: str, span_ms: int, until_ms: Mapping[int, int]) -> dict[int, CandleFrame]:
    """By market id the stored bars of the `span_ms` up to each market's newest bar; markets without such bars are left out.

    For those named in `until_ms` the newest bar is the last that had closed by then, which where history is played is not the last stored.
    """
    symbols = {market.pk: market.symbol for market in markets}
    length_ms = TIMEFRAME_MS[timeframe]
    newest = Candle.objects.filter(market=OuterRef("pk"), timeframe=timeframe).order_by("-timestamp").values("timestamp")[:1]
    rest = symbols.keys() - until_ms.keys()
    ends = dict(Market.objects.filter(pk__in=rest).annotate(newest_ms=Subquery(newest)).values_list("pk", "newest_ms")) if rest else {}
    ends |= {pk: until_ms[pk] // length_ms * length_ms - length_ms for pk in symbols.keys() & until_ms.keys()}
    by_end: dict[int, list[int]] = {}
    for market_id, end_ms in ends.items():
        if end_ms is not None:
            by_end.setdefault(end_ms, []).append(market_id)
    spans = [Q(market_id__in=ids, timestamp__gt=end_ms - span_ms, timestamp__lte=end_ms) for end_ms, ids in by_end.items()]
    found: dict[int, CandleFrame] = {}
    for start in range(0, len(spans), SPANS_A_QUERY):
        found |= _bars(spans[start : start + SPANS_A_QUERY], timeframe, symbols)
    return found


def extents(market: Market, *, before_ms: int | None = None) -> dict[str, Extent]:
    """What is stored of a market by timeframe; with `before_ms` only bars that open before. Frames of which nothing is stored are left out."""
    sought = {}
    for timeframe in TIMEFRAME_MS:
        bars = Candle.objects.filter(market=OuterRef("pk"), timeframe=timeframe)
        if before_ms is not None:
            bars = bars.filter(timestamp__lt=before_ms)
        sought[f"first_{timeframe}"] = Subquery(bars.order_by("timestamp").values("timestamp")[:1])
        sought[f"last_{timeframe}"] = Subquery(bars.order_by("-timestamp").values("timestamp")[:1])
    found: dict[str, int | None] = Market.objects.filter(pk=market.pk).values(**sought).get()  # type: ignore[assignment]
    kept = {}
    for timeframe in TIMEFRAME_MS:
        first_ms, last_ms = found[f"first_{timeframe}"], found[f"last_{timeframe}"]
        if first_ms is not None and last_ms is not None:
            kept[timeframe] = Extent(first_ms, last_ms)
    return kept


def _bars(spans: Sequence[Q], timeframe: str, symbols: Mapping[int, str]) -> dict[int, CandleFrame]:
    rows = (
        Candle.objects.filter(reduce(or_, spans), timeframe=timeframe).order_by("market_id", "timestamp").values_list("market_id", *COLUMNS)
    )
    # Milliseconds since 1970 are exact in float64 until the year 287396.
    table = np.fromiter(chain.from_iterable(rows.iterator(chunk_size=20_000)), np.float64).reshape(-1, len(COLUMNS) + 1)
    starts = np.flatnonzero(np.diff(table[:, 0], prepend=-1.0))
    found = {}
    for part in np.split(table, starts[1:]) if len(table) else ():
        market_id = int(part[0, 0])
        columns = (np.ascontiguousarray(part[:, i]) for i in range(2, len(COLUMNS) + 1))
        found[market_id] = CandleFrame(symbols[market_id], timeframe, part[:, 1].astype(np.int64), *columns)
    return found
