"""When funding falls due and at which rate: ONE rule for the backtest and for open positions.

A stored rate falls due at its boundary and stands for the eight hours before it at most (no venue's interval is longer). Every full
hour that no stored rate stands for (before the history, after it, in a hole of it) pays the default, whichever the side: eight hours
later, when no boundary can come for it any more, so that a market whose rates arrive in time never pays it. A position pays what
falls due after it was opened, up to and including the moment it is left; what falls due in a bar that does not exist is paid with
the next bar that does.

What holding will cost is not known when a position is opened: `expected` is what a careful trader reckons with by then.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges.ports import CandleFrame, FundingFrame

HOUR_MS = 3_600_000
LONGEST_INTERVAL_MS = 8 * HOUR_MS
TRAILING_MS = 7 * 24 * HOUR_MS
STALE_MS = 24 * HOUR_MS


class Due(NamedTuple):
    """What falls due, oldest first, arrays of length n: the time, the rate that longs pay and shorts get, and the cost that either side
    pays (fractions of notional; one of the two is 0)."""

    timestamp: NDArray[np.int64]
    rate: NDArray[np.float64]
    cost: NDArray[np.float64]


def due(stored: FundingFrame, *, start_ms: int, end_ms: int, hourly_cost: float) -> Due:
    """What falls due in start_ms <= time < end_ms. `stored` has to reach LONGEST_INTERVAL_MS further back where it can;
    `hourly_cost` is the default, 0.0 where there is no funding."""
    at = stored.timestamp
    inside = (at >= start_ms) & (at < end_ms)
    hours = np.empty(0, np.int64)
    if hourly_cost > 0.0:
        hours = _uncovered_hours(at, start_ms - LONGEST_INTERVAL_MS, end_ms - LONGEST_INTERVAL_MS) + LONGEST_INTERVAL_MS
    timestamp = np.concatenate((at[inside], hours))
    order = np.argsort(timestamp, kind="stable")
    return Due(
        timestamp[order],
        np.concatenate((stored.rate[inside], np.zeros(hours.shape[0])))[order],
        np.concatenate((np.zeros(int(inside.sum())), np.full(hours.shape[0], hourly_cost)))[order],
    )


def expected(stored: FundingFrame, at: NDArray[np.int64], *, hourly_cost: float) -> NDArray[np.float64]:
    """What an hour of holding is reckoned to cost at the times `at` [n], in ms: float64 [n, 2], LONG, SHORT, fractions of notional.

    Of two readings of the rates known by then the one that is dearer for the side: the newest rate, and the mean of the last TRAILING_MS,
    both spread over the hours that they stand for. Never below 0: what a side gets today may end with the next boundary. `hourly_cost`,
    the default, where no rate of the last STALE_MS is known. `stored` has to reach TRAILING_MS and an interval back.
    """
    boundary = stored.timestamp
    out = np.full((at.shape[0], 2), hourly_cost)
    newest = np.searchsorted(boundary, at, side="right") - 1
    known = np.flatnonzero((newest >= 0) & (at - boundary[newest] <= STALE_MS)) if boundary.size else np.empty(0, np.int64)
    if not known.size:
        return out
    hours = np.clip(np.diff(boundary, prepend=boundary[0] - LONGEST_INTERVAL_MS), HOUR_MS, LONGEST_INTERVAL_MS) / HOUR_MS
    rates, spans = (np.concatenate((np.zeros(1), np.cumsum(values))) for values in (stored.rate, hours))
    last = newest[known]
    first = np.searchsorted(boundary, at[known] - TRAILING_MS, side="right")
    mean = (rates[last + 1] - rates[first]) / (spans[last + 1] - spans[first])
    latest = stored.rate[last] / hours[last]
    out[known] = np.maximum(np.column_stack((np.maximum(latest, mean), np.maximum(-latest, -mean))), 0.0)
    return out


def paying_bar(timestamp: NDArray[np.int64], opens: NDArray[np.int64], bar_ms: int) -> NDArray[np.int64]:
    """For each time the index of the bar it is paid with: the one it lies in, else the next one; len(opens) when there is none."""
    return np.searchsorted(opens, timestamp - bar_ms, side="right")


def prices(at: NDArray[np.int64], marks: CandleFrame, otherwise: NDArray[np.float64], bar_ms: int) -> NDArray[np.float64]:
    """What a coin counts as worth at each of the times `at`: the open of the mark price's bar that it lies in, which is the mark price at a
    boundary that begins a bar; `otherwise`, of the length of `at`, where no such bar is stored.

    A position pays quantity x mark price x rate (Binance, Introduction to Binance Futures Funding Rates; OKX and Bybit reckon alike).
    """
    opens = marks.timestamp
    if not opens.shape[0]:
        return otherwise
    row = np.maximum(np.searchsorted(opens, at, side="right") - 1, 0)
    return np.where((at >= opens[row]) & (at - opens[row] < bar_ms), marks.open[row], otherwise)


def by_bar(owed: Due, opens: NDArray[np.int64], bar_ms: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per bar the sum of the rates and the sum of the costs that are paid with it."""
    paying, count = paying_bar(owed.timestamp, opens, bar_ms), opens.shape[0]
    rate, cost = np.zeros(count + 1), np.zeros(count + 1)  # the last one is for what no bar follows on
    np.add.at(rate, paying, owed.rate)
    np.add.at(cost, paying, owed.cost)
    return rate[:count], cost[:count]


def _uncovered_hours(at: NDArray[np.int64], start_ms: int, end_ms: int) -> NDArray[np.int64]:
    """Full hours for which no stored boundary follows in less than the longest interval."""
    hours = np.arange(-(-start_ms // HOUR_MS) * HOUR_MS, end_ms, HOUR_MS, dtype=np.int64)
    following = np.append(at, np.iinfo(np.int64).max)[np.searchsorted(at, hours)]
    return hours[following - hours >= LONGEST_INTERVAL_MS]
