"""What each month of a series holds, as the database's own triggers count it (CandleMonth)."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from exchanges.models import CandleMonth


class Month(NamedTuple):
    """`revision` is another number after every change of the month's bars, whoever made it."""

    start_ms: int
    bars: int
    last_ms: int
    revision: int


def stored(market_ids: Sequence[int], timeframe: str, price: str) -> dict[int, list[Month]]:
    """Months with bars of each market, oldest first; one query. A market without any is not in it."""
    rows = CandleMonth.objects.filter(market_id__in=market_ids, timeframe=timeframe, price=price)
    found: dict[int, list[Month]] = defaultdict(list)
    for market_id, *month in rows.order_by("market_id", "month_ms").values_list("market_id", "month_ms", "bars", "last_ms", "revision"):
        found[market_id].append(Month(*month))
    return found


def newest_ms(market_id: int, timeframe: str, price: str) -> int | None:
    """Open of the newest bar."""
    rows = CandleMonth.objects.filter(market_id=market_id, timeframe=timeframe, price=price)
    return rows.order_by("-month_ms").values_list("last_ms", flat=True).first()


def end_ms(start_ms: int) -> int:
    """First instant of the month after the one that starts then."""
    return int((np.datetime64(start_ms, "ms").astype("datetime64[M]") + 1).astype("datetime64[ms]").astype(np.int64))
