"""The portfolio loop: one pass over the moments of all symbols on one shared equity.

At a moment, in this order: positions that an opposite signal closes, entries at the open (the highest rank first), then every symbol with a
position or a waiting order through its bar (funding, exits), then marking to the close. Stretches without a position, and quiet bars
of a single one, are passed without looking at anything else: nothing can happen there.
"""

from typing import Any

import numpy as np

from backtesting.kernel.books import equity_of, leave, pay_funding, record, slippage
from backtesting.kernel.carrying import glide, live_through, set_bands
from backtesting.kernel.entering import enter, note_signal, signal_lasts
from backtesting.kernel.types import F, I
from exchanges.compiled import njit
from exchanges.exits import OPPOSITE


@njit(cache=True, inline="always")
def next_entry(entries_row: I, stops: I, at: Any, total: int, cursor: I) -> int:
    """The moment behind the next decision; `total` when there is none."""
    soonest = total
    for s in range(cursor.shape[0]):
        if cursor[s] < stops[s]:
            soonest = min(soonest, at[entries_row[cursor[s]]] + 1)
    return soonest


@njit(cache=True)
def join(active: I, count: int, s: int) -> int:
    """Add a symbol to those with a position or an order, which stay in their order. Returns how many there are."""
    k = count
    while k > 0 and active[k - 1] > s:
        active[k] = active[k - 1]
        k -= 1
    active[k] = s
    return count + 1


@njit(cache=True, inline="always")
def compact(book: Any, active: I, count: int) -> int:
    """Drop the symbols that have nothing any more. Returns how many are left."""
    kept = 0
    for k in range(count):
        p = book[active[k]]
        if p.qty > 0.0 or p.waits == 1:
            active[kept] = active[k]
            kept += 1
    return kept


@njit(cache=True)
def close_opposite(
    book: Any, account: Any, rows: Any, due: Any, entries_row: I, entries_side: Any, specs: Any, rules: Any, waiting: I, trades: Any, m: int
) -> int:
    """Close, at the open, positions whose symbol has a signal to the other side. Returns the number of trades."""
    for s in range(waiting.shape[0]):
        p = book[s]
        if waiting[s] < 0 or p.side == entries_side[waiting[s]]:
            continue
        if p.waits == 1:
            p.waits, p.margin = 0, 0.0
            account.held -= 1
        elif p.qty > 0.0:
            row = entries_row[waiting[s]] + 1
            opened = rows[row].open
            pay_funding(p, account, due, row)
            leave(p, account, p.qty, opened, slippage(rows[row], rules, p.qty * opened), specs[s].tick, specs[s].taker)
            record(trades[m], p, s, row, OPPOSITE)
            account.held -= 1
            m += 1
    return m


@njit(cache=True, inline="always")
def find_signals(
    book: Any, account: Any, rows: Any, first: I, times: I, entries_row: I, stops: I, entries_side: Any, unit: F, rules: Any, cursor: I,
    waiting: I, t: int,
) -> None:  # fmt: skip
    """The decision of each symbol that is a signal at moment t goes into `waiting`, -1 for none; cursors move on. A decision that no bar of its
    symbol follows directly cannot be acted on."""
    is_next = t < times.shape[0] and times[t] - times[t - 1] == rules.bar_ms
    for s in range(cursor.shape[0]):
        waiting[s] = -1
        e = cursor[s]
        if e >= stops[s] or rows[entries_row[e]].at + 1 != t:
            continue
        cursor[s] = e + 1
        row, side = entries_row[e], entries_side[e]
        if not is_next or row + 1 == first[s + 1] or rows[row + 1].at != t:
            continue
        if rules.signal_bars == 0 or not signal_lasts(book[s], rows, times, side, row, rules):
            if rules.signal_bars > 0:
                note_signal(book[s], rows[row].close, unit[row], side, row, rules)
            waiting[s] = e
            account.signals += 1


@njit(cache=True, inline="always")
def best_of(waiting: I, rank: F) -> int:
    """The symbol whose waiting entry ranks highest, the first of equals; -1 when none waits."""
    chosen = -1
    for s in range(waiting.shape[0]):
        if waiting[s] >= 0 and (chosen < 0 or (rank.shape[0] > 0 and rank[waiting[s]] > rank[waiting[chosen]])):
            chosen = s
    return chosen


@njit(cache=True)
def rest(account: Any, t: int, until: int, equity: F) -> None:
    """Moments without a position: the equity is the balance."""
    worth = account.balance
    account.peak = max(account.peak, worth)
    account.fall = max(account.fall, 1.0 - worth / account.peak)
    if equity.shape[0] > 0:
        equity[t:until] = worth


@njit(cache=True)
def close_days(account: Any, days: I, t: int, worth: float, daily: F) -> None:
    """At moment t: `worth` is the equity that the days before it ended with, and a day that has begun starts with the balance."""
    while account.day + 1 < days.shape[0] and days[account.day + 1] <= t:
        if daily.shape[0] > 0:
            daily[account.day] = worth
        account.day += 1
        account.day_start = account.balance


@njit(cache=True, inline="always")
def enter_best_first(
    book: Any, account: Any, active: I, count: int, rows: Any, close: F, first: I, times: I, due: Any, unit: F, specs: Any, tiers: Any, rules: Any,
    entries_row: I, entries_side: Any, rank: F, waiting: I, refused: I,
) -> int:  # fmt: skip
    """What waits is entered, the highest rank first, equals by symbol. Returns the number of active symbols."""
    chosen = best_of(waiting, rank)
    while chosen >= 0:
        row, side = entries_row[waiting[chosen]], entries_side[waiting[chosen]]
        refusal = enter(book, account, active, count, rows, close, first, times, due, unit[row], specs, tiers, rules, chosen, row, side)
        waiting[chosen] = -1
        refused[refusal] += 1
        if refusal == 0:
            set_bands(book[chosen])
            count = join(active, count, chosen)
            account.held += 1
        chosen = best_of(waiting, rank)
    return count


@njit(cache=True, inline="always")
def carry(
    book: Any, account: Any, active: I, count: int, rows: Any, times: I, due: Any, detail_first: I, details: Any, specs: Any, tiers: Any, rules: Any,
    t: int, trades: Any, m: int, refused: I,
) -> int:  # fmt: skip
    """Every symbol with a position or an order through moment t. Returns how many positions were closed, -1 when nothing has ended."""
    closed, is_changed = 0, False
    for k in range(count):
        s = active[k]
        became = live_through(
            book[s], account, rows, times, due, detail_first, details, specs[s], tiers, rules, s, t, trades[m + closed]
        )  # fmt: skip
        if became != 0:
            is_changed = True
            account.held -= 1
        if became > 0:
            closed += 1
        elif became < 0:
            refused[-became] += 1
    return closed if is_changed else -1


@njit(cache=True, inline="always")
def mark(book: Any, account: Any, active: I, count: int, t: int, equity: F, notional: F) -> float:
    """The equity at the close of moment t, where some symbol has something."""
    worth = equity_of(book, active, count, account.balance)
    gross = 0.0
    for k in range(count):
        gross += book[active[k]].qty * book[active[k]].mark
    if equity.shape[0] > 0:
        equity[t], notional[t] = worth, gross
    account.peak = max(account.peak, worth)
    account.fall = max(account.fall, 1.0 - worth / account.peak)
    account.exposed += gross > 0.0
    return worth


@njit(cache=True)
def run(
    first: I, times: I, days: I, at: Any, rows: Any, close: F, due: Any, detail_first: I, details: Any,
    starts: I, stops: I, entries_row: I, entries_side: Any, rank: F, unit: F,
    specs: Any, tiers: Any, rules: Any, book: Any, account: Any, trades: Any, refused: I, equity: F, notional: F, daily: F,
) -> int:  # fmt: skip
    """The pass. Returns the number of trades.

    The fields of Bars and Entries come one by one: a tuple of arrays is copied with every call, which costs more than a bar.
    `close` is that of the rows as an array of its own where max_joint_pct asks for it, else empty.
    """
    total, symbols = times.shape[0], book.shape[0]
    active, waiting, cursor = np.zeros(symbols + 1, np.int64), np.zeros(symbols, np.int64), starts.copy()
    next_at, t, m, count, worth = next_entry(entries_row, stops, at, total, cursor), 0, 0, 0, account.balance
    while t < total:
        next_day = days[account.day + 1]
        if count == 0 and t < next_at:
            rest(account, t, min(next_at, total), equity)
            t, worth = min(next_at, total), account.balance
        elif count == 1 and t < min(next_at, next_day) and book[active[0]].qty > 0.0:
            p = book[active[0]]
            t = glide(p, account, rows, due, t, min(next_at, next_day), equity, notional)
            worth = account.balance + (p.mark - p.entry) * p.qty * p.side
        if t >= next_day:
            close_days(account, days, t, worth, daily)
            continue
        if t == next_at:
            find_signals(book, account, rows, first, times, entries_row, stops, entries_side, unit, rules, cursor, waiting, t)
            next_at = next_entry(entries_row, stops, at, total, cursor)
            if rules.opposite == 1:
                m = close_opposite(book, account, rows, due, entries_row, entries_side, specs, rules, waiting, trades, m)
                count = compact(book, active, count)
            count = enter_best_first(
                book, account, active, count, rows, close, first, times, due, unit, specs, tiers, rules, entries_row, entries_side, rank,
                waiting, refused,
            )  # fmt: skip
        closed = carry(book, account, active, count, rows, times, due, detail_first, details, specs, tiers, rules, t, trades, m, refused)
        if closed >= 0:
            m += closed
            count = compact(book, active, count)
        worth = mark(book, account, active, count, t, equity, notional)
        t += 1
    close_days(account, days, total, worth, daily)
    return m
