"""Thousands of combinations in one call, over all cores: each is a pass of its own over the same bars.

Compiled code releases the interpreter's lock, so plain threads share the work: numba's own thread pools end a process that forks after them.
"""

from typing import Any

import numpy as np

from backtesting.kernel.loops import run
from backtesting.kernel.types import ACCOUNT_ROW, POSITION_ROW, TRADE_ROW, Bars, Entries, F, I, Sweep
from exchanges.compiled import njit, records


@njit(cache=True)
def count_trades(trades: Any, m: int, k: int, out: Sweep) -> None:
    """What m trades of combination k add up to."""
    out.trades[k] = m
    for number in range(m):
        trade = trades[number]
        out.hits[k] += trade.tps >= 1
        out.wins[k] += trade.pnl > 0.0
        out.notional[k] += trade.qty * trade.entry
        if trade.pnl > 0.0:
            out.gross_profit[k] += trade.pnl
        else:
            out.gross_loss[k] -= trade.pnl


@njit(cache=True)
def one(
    k: int, bars: Bars, close: F, entries: Entries, specs: Any, tiers: Any, rules: Any, book: Any, account: Any, trades: Any, refused: I, out: Sweep
) -> None:  # fmt: skip
    """Combination k with the working arrays of one thread."""
    nothing = np.empty(0)
    m = run(
        bars.first, bars.times, bars.days, bars.at, bars.rows, close, bars.due, bars.detail_first, bars.details,
        entries.starts[k], entries.stops[k], entries.row, entries.side, entries.rank, entries.unit,
        specs, tiers, rules, book, account, trades, refused, nothing, nothing, out.daily[k],
    )  # fmt: skip
    out.balance[k], out.max_drawdown[k], out.exposed[k] = account.balance, account.fall, account.exposed
    count_trades(trades, m, k, out)


@njit(cache=True, nogil=True)
def every_nth(
    thread: int, threads: int, bars: Bars, close: F, entries: Entries, specs: Any, tiers: Any, rules: Any, book: Any, account: Any, trades: Any, refused: I,
    out: Sweep,
) -> None:  # fmt: skip
    """The combinations thread, thread + threads, ...: row k of the entries' starts and stops under rules[k]."""
    for k in range(thread, entries.starts.shape[0], threads):
        one(k, bars, close, entries, specs, tiers, rules[k], book, account, trades, refused, out)


def working_arrays(threads: int, symbols: int, most_trades: int) -> tuple[Any, Any, Any, I]:
    """Books, accounts, trades and refusals for each thread."""
    return (
        records(np.zeros((threads, symbols), POSITION_ROW)),
        records(np.zeros((threads, 1), ACCOUNT_ROW)),
        records(np.zeros((threads, most_trades + 1), TRADE_ROW)),
        np.zeros((threads, 16), np.int64),
    )


def empty(combinations: int, days: int) -> Sweep:
    """Room for the results."""

    def floats() -> F:
        return np.zeros(combinations)

    def ints() -> I:
        return np.zeros(combinations, np.int64)

    return Sweep(floats(), ints(), ints(), ints(), floats(), floats(), floats(), ints(), floats(), np.zeros((combinations, days)))
