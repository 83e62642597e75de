"""A stretch of one stored series: short ones from the rows, long ones by way of the column cache."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from exchanges.candles import cache, months, storage
from exchanges.candles.cache import Block
from exchanges.candles.months import Month
from exchanges.candles.storage import Series
from exchanges.timeframes import TIMEFRAME_MS
from traderai.lib import clock

FROM_BARS = 5_000  # a shorter read is as quick from the rows


def columns(
    series: Series, *, start_ms: int | None, end_ms: int | None, last: int | None, known: Sequence[Month] | None = None
) -> list[NDArray[Any]]:
    """As storage.read. `known` are the series' months, for a caller that has them already."""
    market_id, timeframe = int(series.constants["market_id"]), str(series.constants["timeframe"])
    most = _most_bars(timeframe, start_ms, end_ms, last)
    if most < FROM_BARS and (start_ms is not None or connection.vendor != "postgresql"):
        return storage.read(series, start_ms=start_ms, end_ms=end_ms, last=last)
    held = months.stored([market_id], timeframe, series.price).get(market_id, []) if known is None else known
    inside = [month for month in held if (end_ms is None or month.start_ms < end_ms) and (start_ms is None or month.last_ms >= start_ms)]
    if last is not None:
        inside = _newest(inside, last)
    if min(most, sum(month.bars for month in inside)) >= FROM_BARS:
        table = _table(series, inside)
        if table is not None:
            return _cut(table, start_ms, end_ms, last)
    if start_ms is None and inside and last is not None:
        start_ms = inside[0].start_ms  # spares PostgreSQL to plan for older partitions
    return storage.read(series, start_ms=start_ms, end_ms=end_ms, last=last)


def _most_bars(timeframe: str, start_ms: int | None, end_ms: int | None, last: int | None) -> float:
    span_ms = float("inf") if start_ms is None else (clock.now_ms() if end_ms is None else end_ms) - start_ms
    return min(span_ms / TIMEFRAME_MS[timeframe], float("inf") if last is None else last)


def _newest(held: Sequence[Month], last: int) -> list[Month]:
    """The newest months that hold `last` bars, not counting the very newest, of which the caller's bounds may want a part only."""
    count, first = 0, len(held) - 1
    while first > 0 and count < last:
        first -= 1
        count += held[first].bars
    return list(held[max(first, 0) :])


def _table(series: Series, wanted: Sequence[Month]) -> Block | None:
    """All bars of these months as one block, and what files lacked of it is kept; None when they change while they are read."""
    stale: list[Month] = []
    blocks = cache.read(series, wanted, stale)
    if stale:
        found = np.vstack(storage.read(series, start_ms=stale[0].start_ms, end_ms=months.end_ms(stale[-1].start_ms)))
        bounds = np.searchsorted(found[0], [(month.start_ms, months.end_ms(month.start_ms)) for month in stale])
        for month, (first, stop) in zip(stale, bounds, strict=True):
            blocks[month.start_ms] = found[:, first:stop]
        if not _unchanged(series, wanted) or any(blocks[month.start_ms].shape[1] != month.bars for month in stale):
            return None
        if not connection.in_atomic_block:  # what a transaction sees may never be committed
            cache.write(series, blocks, stale)
    return np.concatenate([blocks[month.start_ms] for month in wanted], axis=1)


def _unchanged(series: Series, wanted: Sequence[Month]) -> bool:
    market_id = int(series.constants["market_id"])
    return set(wanted) <= set(months.stored([market_id], str(series.constants["timeframe"]), series.price).get(market_id, []))


def _cut(table: Block, start_ms: int | None, end_ms: int | None, last: int | None) -> list[NDArray[Any]]:
    timestamps = table[0].astype(np.int64)
    first = 0 if start_ms is None else int(timestamps.searchsorted(start_ms))
    stop = len(timestamps) if end_ms is None else max(first, int(timestamps.searchsorted(end_ms)))
    if last is not None:
        first = max(first, stop - last)
    return [timestamps[first:stop], *(column[first:stop] for column in table[1:])]
