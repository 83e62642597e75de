"""The portfolio loop: one pass over the moments of all symbols on one shared equity.

At a moment, in this order: positions that an opposite signal closes, entries at the open (the highest rank first), then every symbol with a
position or a waiting order through its bar (funding, exits), then marking to the close. Stretches without a position, and quiet bars
of a single one, are passed without looking at anything else: nothing can happen there.
"""

from typing import Any

from backtesting.kernel.books import equity_of, leave, liquidate, pay_funding, record, slippage
from backtesting.kernel.carrying import glide, live_through, set_bands
from backtesting.kernel.entering import enter, note_signal, signal_lasts
from backtesting.kernel.types import UNFILLED, F, I
from exchanges.compiled import UNCOUNTED, njit
from exchanges.exits import LIQUIDATION, OPPOSITE


@njit(**UNCOUNTED)
def begin(book: Any, account: Any, starts: I, capital: float) -> None:
    """An account that has never traded: every symbol flat, without an order, without a signal, before its first decision."""
    account.balance = account.day_start = account.peak = capital
    account.fall = 0.0
    account.held = account.signals = account.day = account.exposed = 0
    for s in range(book.shape[0]):
        book[s].qty = book[s].margin = 0.0
        book[s].waits = book[s].signal_side = book[s].side = 0
        book[s].due, book[s].cursor = -1, starts[s]


@njit(inline="always", **UNCOUNTED)
def next_entry(book: Any, entries_row: I, stops: I, at: Any, total: int) -> int:
    """The moment behind the next decision; `total` when there is none."""
    soonest = total
    for s in range(book.shape[0]):
        if book[s].cursor < stops[s]:
            soonest = min(soonest, at[entries_row[book[s].cursor]] + 1)
    return soonest


@njit(**UNCOUNTED)
def join(book: Any, account: Any, s: int) -> None:
    """Add a symbol to the active ones, which stay in their order."""
    k = account.held
    while k > 0 and book[k - 1].active > s:
        book[k].active = book[k - 1].active
        k -= 1
    book[k].active = s
    account.held += 1


@njit(inline="always", **UNCOUNTED)
def compact(book: Any, account: Any) -> None:
    """Drop the symbols that have nothing any more from the active ones."""
    kept = 0
    for k in range(account.held):
        s = book[k].active
        if book[s].qty > 0.0 or book[s].waits == 1:
            book[kept].active = s
            kept += 1
    account.held = kept


@njit(**UNCOUNTED)
def close_opposite(
    book: Any, account: Any, rows: Any, due: Any, entries_row: I, entries_side: Any, specs: Any, rules: Any, trades: Any, m: int, refused: I
) -> int:
    """Close, at the open, positions whose symbol has a signal to the other side, and give up orders that wait. Returns the number of trades.

    Where the open is beyond the liquidation price that is what the position gets.
    """
    for s in range(book.shape[0]):
        p = book[s]
        if p.wants < 0 or p.side == entries_side[p.wants]:
            continue
        if p.waits == 1:
            p.waits, p.margin = 0, 0.0
            refused[UNFILLED] += 1
        elif p.qty > 0.0:
            row, spec, reason = entries_row[p.wants] + 1, specs[s], OPPOSITE
            opened = rows[row].open
            pay_funding(p, account, due, row)
            if p.liquidation > 0.0 and p.side * (opened - p.liquidation) <= 0.0:
                reason = LIQUIDATION
                liquidate(p, account, p.qty, spec)
            else:
                leave(p, account, p.qty, opened, slippage(rows[row], spec, rules, p.qty * opened), spec.tick, spec.taker)
            record(trades[m], p, s, row, reason)
            m += 1
    compact(book, account)
    return m


@njit(inline="always", **UNCOUNTED)
def find_signals(
    book: Any, account: Any, rows: Any, first: I, times: I, entries_row: I, stops: I, entries_side: Any, unit: F, rules: Any, t: int
) -> None:
    """What each symbol wants at moment t, when it is a signal; cursors move on. A decision that no bar of its symbol follows directly cannot
    be acted on."""
    is_next = t < times.shape[0] and times[t] - times[t - 1] == rules.bar_ms
    for s in range(book.shape[0]):
        p = book[s]
        p.wants = -1
        e = p.cursor
        if e >= stops[s] or rows[entries_row[e]].at + 1 != t:
            continue
        p.cursor = e + 1
        row, side = entries_row[e], entries_side[e]
        if not is_next or row + 1 == first[s + 1] or rows[row + 1].at != t:
            continue
        if rules.signal_bars == 0 or not signal_lasts(p, rows, times, side, row, rules):
            if rules.signal_bars > 0:
                note_signal(p, rows[row].close, unit[row], side, row, rules)
            p.wants = e
            account.signals += 1


@njit(inline="always", **UNCOUNTED)
def best_of(book: Any, rank: F) -> int:
    """The symbol whose entry ranks highest, the first of equals; -1 when none wants any."""
    chosen = -1
    for s in range(book.shape[0]):
        if book[s].wants >= 0 and (chosen < 0 or (rank.shape[0] > 0 and rank[book[s].wants] > rank[book[chosen].wants])):
            chosen = s
    return chosen


@njit(**UNCOUNTED)
def rest(account: Any, t: int, until: int, equity: F) -> None:
    """Moments without a position: the equity is the balance."""
    worth = account.balance
    account.peak = max(account.peak, worth)
    account.fall = max(account.fall, 1.0 - worth / account.peak)
    if equity.shape[0] > 0:
        equity[t:until] = worth


@njit(**UNCOUNTED)
def close_days(account: Any, days: I, t: int, worth: float, daily: F) -> None:
    """At moment t: `worth` is the equity that the days before it ended with, and a day that has begun starts with the balance."""
    while account.day + 1 < days.shape[0] and days[account.day + 1] <= t:
        if daily.shape[0] > 0:
            daily[account.day] = worth
        account.day += 1
        account.day_start = account.balance


@njit(inline="always", **UNCOUNTED)
def enter_best_first(
    book: Any, account: Any, rows: Any, close: F, first: I, times: I, due: Any, unit: F, specs: Any, tiers: Any, rules: Any,
    entries_row: I, entries_side: Any, rank: F, refused: I,
) -> None:  # fmt: skip
    """What is wanted is entered, the highest rank first, equals by symbol."""
    chosen = best_of(book, rank)
    while chosen >= 0:
        e = book[chosen].wants
        row, side = entries_row[e], entries_side[e]
        refusal = enter(book, account, rows, close, first, times, due, unit[row], specs, tiers, rules, chosen, row, side)
        book[chosen].wants = -1
        refused[refusal] += 1
        if refusal == 0:
            set_bands(book[chosen])
            join(book, account, chosen)
        chosen = best_of(book, rank)


@njit(inline="always", **UNCOUNTED)
def carry(
    book: Any, account: Any, rows: Any, times: I, due: Any, detail_first: I, details: Any, specs: Any, tiers: Any, rules: Any, t: int,
    trades: Any, m: int, refused: I,
) -> int:  # fmt: skip
    """Every symbol with a position or an order through moment t. Returns the number of trades."""
    is_changed = False
    for k in range(account.held):
        s = book[k].active
        became = live_through(book[s], account, rows, times, due, detail_first, details, specs[s], tiers, rules, s, t, trades[m])
        is_changed = is_changed or became != 0
        if became > 0:
            m += 1
        elif became < 0:
            refused[-became] += 1
    if is_changed:
        compact(book, account)
    return m


@njit(inline="always", **UNCOUNTED)
def mark(book: Any, account: Any, t: int, equity: F, notional: F) -> float:
    """The equity at the close of moment t, where some symbol has something."""
    worth = equity_of(book, account)
    gross = 0.0
    for k in range(account.held):
        p = book[book[k].active]
        gross += p.qty * p.mark
    if equity.shape[0] > 0:
        equity[t], notional[t] = worth, gross
    account.peak = max(account.peak, worth)
    account.fall = max(account.fall, 1.0 - worth / account.peak)
    account.exposed += gross > 0.0
    return worth


@njit(**UNCOUNTED)
def run(
    first: I, times: I, days: I, at: Any, rows: Any, close: F, due: Any, detail_first: I, details: Any,
    starts: I, stops: I, entries_row: I, entries_side: Any, rank: F, unit: F,
    specs: Any, tiers: Any, rules: Any, book: Any, account: Any, trades: Any, refused: I, equity: F, notional: F, daily: F,
) -> int:  # fmt: skip
    """The pass. Returns the number of trades.

    The fields of Bars and Entries come one by one: a tuple of arrays is copied with every call, which costs more than a bar.
    `close` is that of the rows as an array of its own where max_joint_pct asks for it, else empty.
    """
    total = times.shape[0]
    begin(book, account, starts, rules.capital)
    next_at, t, m, worth = next_entry(book, entries_row, stops, at, total), 0, 0, account.balance
    while t < total:
        next_day = days[account.day + 1]
        if account.held == 0 and t < next_at:
            rest(account, t, min(next_at, total), equity)
            t, worth = min(next_at, total), account.balance
        elif account.held == 1 and t < min(next_at, next_day) and book[book[0].active].qty > 0.0:
            p = book[book[0].active]
            t = glide(p, account, rows, due, t, min(next_at, next_day), equity, notional)
            worth = account.balance + (p.mark - p.entry) * p.qty * p.side
        if t >= next_day:
            close_days(account, days, t, worth, daily)
            continue
        if t == next_at:
            find_signals(book, account, rows, first, times, entries_row, stops, entries_side, unit, rules, t)
            next_at = next_entry(book, entries_row, stops, at, total)
            if rules.opposite == 1:
                m = close_opposite(book, account, rows, due, entries_row, entries_side, specs, rules, trades, m, refused)
            enter_best_first(
                book, account, rows, close, first, times, due, unit, specs, tiers, rules, entries_row, entries_side, rank, refused
            )  # fmt: skip
        m = carry(book, account, rows, times, due, detail_first, details, specs, tiers, rules, t, trades, m, refused)
        worth = mark(book, account, t, equity, notional)
        t += 1
    close_days(account, days, total, worth, daily)
    return m
