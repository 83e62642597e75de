"""What entries that know nothing earn under the same plan and costs: the luck a strategy has to beat.

A strategy's own entries are turned round in time, all markets by the same part of their history: as many entries, as close together, on the same
sides and as often in several markets at once, only without the moments the strategy chose. What the markets did on the whole, long or
short, is left in: an edge is what remains. Moments that repeat at even distances, like an hour of the day, meet themselves in some turns, so
such a strategy is judged too hard rather than too kindly.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import kernel
from backtesting.kernel import Bars, Entries

F = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_RUNS, MOST_RUNS = 40, 100
MOST_ROWS, MOST_ENTRIES = 50_000_000, 1_000_000
"""What all runs together may walk through: half a second on two cores."""
LEAST_TURN = 0.02
"""A turn by less of the history would leave the entries near their own moments."""


class Baseline(NamedTuple):
    """Of `runs` with random moments: 5, 50 and 95 % of their total return in %; beaten: share that the strategy earned more than; p_value: the
    chance that moments without knowledge earn as much or more (B. Phipson and G. Smyth, 2010: never 0); trades: their median number."""

    runs: int
    low_pct: float
    middle_pct: float
    high_pct: float
    beaten: float
    p_value: float
    trades: float


def random_moments(
    bars: Bars, entries: Entries, specs: Sequence[kernel.Spec], rules: kernel.Rules, result: kernel.Result, *, seed: int
) -> Baseline | None:
    """What `result`, that of these entries, has to beat. None when it has no trades, or random moments hardly any."""
    if not result.trades.pnl.shape[0]:
        return None
    moved = turned(bars, entries, seed=seed)
    swept = kernel.sweep(bars, moved, specs, [rules] * moved.starts.shape[0])
    return judge(swept.balance, swept.trades, rules.capital, result.balance)


def turned(bars: Bars, entries: Entries, *, seed: int) -> Entries:
    """The entries many times, each time turned by another part of the history, as kernel.sweep takes them (starts and stops [runs, s]).

    An entry that comes to lie on a bar without a unit (the indicators' warm-up) is left out. The same seed turns them the same way. MOST_RUNS
    runs, fewer where they would walk through more than MOST_ROWS bars, and never more than MOST_ENTRIES entries.
    """
    symbols = bars.first.shape[0] - 1
    runs = min(MOST_RUNS, max(LEAST_RUNS, MOST_ROWS // max(entries.unit.shape[0], 1)))
    runs = max(1, min(runs, MOST_ENTRIES // max(entries.row.shape[0], 1)))
    turns = np.random.default_rng(seed).uniform(LEAST_TURN, 1.0 - LEAST_TURN, runs)
    starts, stops = np.zeros((runs, symbols), np.int64), np.zeros((runs, symbols), np.int64)
    rows, picks, total = [], [], 0
    for k, turn in enumerate(turns.tolist()):
        for s in range(symbols):
            own = np.arange(entries.starts[s], entries.stops[s])
            first, size = int(bars.first[s]), int(bars.first[s + 1] - bars.first[s])
            moved = first + (entries.row[own] - first + int(turn * size)) % max(size, 1)
            order = np.argsort(moved, kind="stable")
            order = order[entries.unit[moved[order]] > 0.0]
            starts[k, s], total = total, total + order.shape[0]
            stops[k, s] = total
            rows.append(moved[order])
            picks.append(own[order])
    pick = np.concatenate(picks) if picks else np.zeros(0, np.int64)
    rank = entries.rank[pick] if entries.rank.shape[0] else entries.rank
    return entries._replace(starts=starts, stops=stops, row=np.concatenate(rows), side=entries.side[pick], rank=rank)


def judge(balances: F, trades: Ints, capital: float, final: float) -> Baseline | None:
    """Where a strategy that ended at `final` stands among random runs of the same capital, [runs]. None when half of them did not trade."""
    if not balances.shape[0] or float(np.median(trades)) < 1.0:
        return None
    low, middle, high = np.quantile((balances / capital - 1.0) * 100.0, (0.05, 0.5, 0.95))
    as_good = int(np.count_nonzero(balances >= final - 1e-9))
    n = int(balances.shape[0])
    return Baseline(n, float(low), float(middle), float(high), 1.0 - as_good / n, (as_good + 1) / (n + 1), float(np.median(trades)))
