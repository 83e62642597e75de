"""Results by calendar and by group."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting.metrics.base import DAY_MS, HOUR_MS, F, Ints
from backtesting.metrics.returns import steps

MONTHS = 12
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Year(NamedTuple):
    """Returns in % of the UTC months of one year, None where the span does not reach, and of what it holds of the year, compounded."""

    year: int
    months: tuple[float | None, ...]
    total: float


class Group(NamedTuple):
    """The n trades of one key. net in money; won: share with a profit, 0 to 1; mean_pct: mean net result in % of notional.

    share: of the net result of all trades, which is what the shares add up to; None when all trades together earned nothing.
    """

    key: str
    n: int
    net: float
    won: float
    mean_pct: float
    share: float | None


def monthly(times: Ints, equity: F, capital: float) -> list[Year]:
    """Year by year, oldest first. Equity marked at times (ms UTC), [t]. The first month begins at `capital`; one without a bar stands at 0."""
    if not times.shape[0]:
        return []
    month = months_since_1970(times)
    reached = np.arange(month[0], month[-1] + 1)
    newest = np.searchsorted(month, reached, side="right") - 1
    growth = 1.0 + steps(np.concatenate(([capital], equity[newest])))
    found = []
    for year in range(int(reached[0]) // MONTHS, int(reached[-1]) // MONTHS + 1):
        own = {int(m) % MONTHS: float(g) for m, g in zip(reached, growth, strict=True) if int(m) // MONTHS == year}
        cells = tuple((own[m] - 1.0) * 100.0 if m in own else None for m in range(MONTHS))
        found.append(Year(1970 + year, cells, (float(np.prod(list(own.values()))) - 1.0) * 100.0))
    return found


def breakdown(keys: Sequence[str], pnl: F, notional: F) -> list[Group]:
    """Trades by their key, arrays and keys of length m; in the order in which keys first appear."""
    place = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    group = np.fromiter((place[key] for key in keys), np.int64, len(keys))
    count, size = np.bincount(group, minlength=len(place)), len(place)
    net = np.bincount(group, weights=pnl, minlength=size)
    won = np.bincount(group, weights=pnl > 0.0, minlength=size)
    pct = np.bincount(group, weights=pnl / notional * 100.0, minlength=size)
    total = float(pnl.sum())
    return [
        Group(
            key,
            int(count[i]),
            float(net[i]),
            float(won[i] / count[i]),
            float(pct[i] / count[i]),
            float(net[i]) / total if total > 0.0 else None,
        )
        for key, i in place.items()
    ]


def best_share(groups: Sequence[Group]) -> tuple[str, float] | None:
    """(key, share of the net result) of the group that earned most, which is over 1 when the others lost; None where shares are not defined."""
    shares = [(group.share, group.key) for group in groups if group.share is not None]
    if not shares:
        return None
    share, key = max(shares, key=lambda found: found[0])
    return key, share


def concentration(results: F) -> float | None:
    """Herfindahl's index of the profits (O. C. Herfindahl, 1950): 1 when one trade or group earned it all, 1 / n when n earned the same. Losses
    do not count. None without a profit."""
    profits = results[results > 0.0]
    return float(np.sum((profits / profits.sum()) ** 2)) if profits.shape[0] else None


def hour_of(ms: Ints) -> Ints:
    """Hour of the day, UTC, 0 to 23."""
    return ms % DAY_MS // HOUR_MS


def weekday_of(ms: Ints) -> Ints:
    """Day of the week, UTC, 0 (Monday) to 6: an index of WEEKDAYS."""
    return (ms // DAY_MS + 3) % 7  # 1970-01-01 was a Thursday


def month_of(ms: Ints) -> list[str]:
    """The UTC month of each moment, like 2025-03."""
    return [str(month) for month in months_since_1970(ms).astype("datetime64[M]")]


def months_since_1970(ms: Ints) -> NDArray[np.int64]:
    return ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
