"""Whether a decision becomes a position: the live risk gate's rules in its order, the size, and the fill."""

from typing import Any

import numpy as np

from backtesting.kernel.books import equity_of, free_margin, liquidated_at, slippage, to_tick
from backtesting.kernel.types import BY_NOTIONAL, F, I
from exchanges.compiled import UNCOUNTED, njit
from exchanges.funding import HOUR_MS
from exchanges.risk.correlation import correlation, joint_share
from exchanges.risk.limits import MAX_DEVIATION
from exchanges.risk.limits import ROUNDING as SLACK
from exchanges.risk.sizing import Size, fixed_fractional, fixed_notional

ENTERED, EQUITY, DAILY_LOSS, DRAWDOWN, OPEN_POSITIONS, POSITION, DEVIATION, SIZE, MARGIN, CORRELATION, PRICE_MOVED = range(11)


@njit(**UNCOUNTED)
def account_refusal(account: Any, equity: float, rules: Any) -> int:
    """The profile's limits, before looking at any plan. 0 when a position may be opened."""
    if equity <= 0.0:
        return EQUITY
    if account.day_start <= 0.0 or (1.0 - equity / account.day_start) * 100.0 >= rules.max_daily_loss_pct - SLACK:
        return DAILY_LOSS
    if account.peak > 0.0 and (1.0 - equity / account.peak) * 100.0 >= rules.max_drawdown_pct - SLACK:
        return DRAWDOWN
    return OPEN_POSITIONS if account.held >= rules.max_open else 0


@njit(inline="always", **UNCOUNTED)
def signal_lasts(p: Any, rows: Any, times: I, side: int, row: int, rules: Any) -> bool:
    """Whether the newest signal of the symbol is one of this side that is still open at the close of `row`: it is over once the price has
    reached its stop or its first target, or after signal_bars bars."""
    if side != p.signal_side or times[rows[row].at] - times[rows[p.signal_row].at] >= rules.signal_bars * rules.bar_ms:
        return False
    for seen in range(p.signal_row + 1, row + 1):
        bar = rows[seen]
        if side > 0 and (bar.low <= p.signal_stop or bar.high >= p.signal_tp1):
            return False
        if side < 0 and (bar.high >= p.signal_stop or bar.low <= p.signal_tp1):
            return False
    return True


@njit(**UNCOUNTED)
def note_signal(p: Any, close: float, unit: float, side: int, row: int, rules: Any) -> None:
    """The symbol's newest signal was decided at the close of `row`."""
    p.signal_side, p.signal_row = side, row
    p.signal_stop, p.signal_tp1 = close - side * rules.stop * unit, close + side * rules.tp1 * unit


@njit(**UNCOUNTED)
def sized(spec: Any, rules: Any, volume: float, equity: float, reference: float, stop: float) -> Size:
    """The size by the run's rule, no more than its part of the deciding bar's volume."""
    cap = min(rules.max_leverage, spec.max_leverage)
    if rules.sizing == BY_NOTIONAL:
        size = fixed_notional(equity, reference, rules.notional_pct, rules.max_margin_pct, cap, spec.step_size, spec.min_notional)
    else:
        stop_cost_pct = spec.stop_cost_pct + spec.hold_cost_pct * (rules.max_hold_ms / HOUR_MS)
        size = fixed_fractional(
            equity, reference, stop, rules.risk_pct, rules.max_margin_pct, cap, stop_cost_pct, spec.step_size, spec.min_notional
        )
    if rules.participation > 0.0 and size.qty > rules.participation * volume:
        qty = np.floor(rules.participation * volume / spec.step_size + 1e-9) * spec.step_size
        if qty * reference < spec.min_notional:
            qty = 0.0
        size = Size(qty, size.leverage, qty * reference / size.leverage)
    return size


@njit(**UNCOUNTED)
def are_side_by_side(rows: Any, row: int, other: int, length: int) -> bool:
    """Whether two symbols' rows, and the `length` before each, are of the same moments: returns over different times tell nothing of each other."""
    back = 0
    while back <= length and rows[row - back].at == rows[other - back].at:
        back += 1
    return back > length


@njit(**UNCOUNTED)
def is_too_joint(
    rows: Any, close: F, first: I, rules: Any, book: Any, account: Any, s: int, row: int, side: int, notional: float, equity: float
) -> bool:
    """Whether this notional, with its part of the others that move with it, would be more than max_joint_pct of equity. The correlation of
    series that do not have correlation_bars returns of the same moments is unknown."""
    most, length = equity * rules.max_joint_pct / 100.0, rules.correlation_bars
    for k in range(account.held):
        symbol = book[k].active
        p = book[symbol]
        other, rho = p.row, np.nan
        if row - length >= first[s] and other - length >= first[symbol] and are_side_by_side(rows, row, other, length):
            rho = correlation(close[row - length : row + 1], close[other - length : other + 1])
        open_notional = p.qty * p.mark if p.qty > 0.0 else p.qty_opened * p.limit
        notional += joint_share(side, p.side, rho) * open_notional
    return notional > most


@njit(inline="always", **UNCOUNTED)
def fill(
    p: Any, account: Any, spec: Any, tiers: Any, due: Any, times: I, rules: Any, row: int, at: int, decided_close: float, price: float, slipped: float, fee_rate: float
) -> int:  # fmt: skip
    """Open what `p` holds as an order (qty_opened, side, leverage, levels) at `price`, made worse by `slipped`. 0, PRICE_MOVED when the
    price is not between stop and first target, or MARGIN when its margin is less than the venue asks it to keep."""
    tick = spec.tick
    paid = to_tick(price * (1.0 + slipped * p.side), tick)
    shift = paid - decided_close if rules.anchor == 1 else 0.0
    stop, tp1 = to_tick(p.initial_stop + shift, tick), to_tick(p.tp1 + shift, tick)
    if p.side * (paid - stop) <= 0.0 or p.side * (tp1 - paid) <= 0.0:
        return PRICE_MOVED
    liquidation = liquidated_at(spec, tiers, p.side, paid, p.qty_opened, p.leverage)
    if liquidation > 0.0 and p.side * (paid - liquidation) <= 0.0:
        return MARGIN
    p.initial_stop, p.tp1, p.tp2, p.tp3 = stop, tp1, to_tick(p.tp2 + shift, tick), to_tick(p.tp3 + shift, tick)
    p.qty, p.entry, p.margin, p.liquidation = p.qty_opened, paid, p.qty_opened * paid / p.leverage, liquidation
    p.remaining, p.stop, p.tps, p.best, p.mark, p.is_ambiguous = 1.0, stop, 0, paid, paid, 0
    p.fees, p.slippage = p.qty * paid * fee_rate, (paid - price) * p.qty * p.side if slipped > 0.0 else 0.0
    p.pnl, p.funding, p.exit_value, p.entered, p.waits = 0.0, 0.0, 0.0, row, 0
    p.due = first_due_after(due, p.due, row)
    p.until = moment_of(times, at, p.deadline, rules.bar_ms)
    account.balance -= p.fees
    return ENTERED


@njit(inline="always", **UNCOUNTED)
def first_due_after(due: Any, known: int, row: int) -> int:
    """The first funding that falls due with a bar after `row`, from the one that was the first for an earlier bar of the symbol on (-1: none
    is known): a boundary is at a bar's open, when nobody who enters in that bar has held."""
    if known >= 0:
        while known < due.shape[0] and due[known].row <= row:
            known += 1
        return known
    low, high = 0, due.shape[0]
    while low < high:
        middle = (low + high) // 2
        if due[middle].row <= row:
            low = middle + 1
        else:
            high = middle
    return low


@njit(inline="always", **UNCOUNTED)
def moment_of(times: I, t: int, ms: int, bar_ms: int) -> int:
    """The first moment at or after `ms`, which is not before moment t; the number of moments when there is none."""
    at = min(times.shape[0], t + (ms - times[t] + bar_ms - 1) // bar_ms)  # without a gap this is it, with one it is too late
    while at > t and times[at - 1] >= ms:
        at -= 1
    return at


@njit(inline="always", **UNCOUNTED)
def enter(
    book: Any, account: Any, rows: Any, close: F, first: I, times: I, due: Any, unit: float, specs: Any, tiers: Any,
    rules: Any, s: int, row: int, side: int,
) -> int:  # fmt: skip
    """Order what symbol `s` decided at the close of `row`: filled at the next open, or left to wait with a limit. 0, or why it is refused."""
    p, spec, decided, opened = book[s], specs[s], rows[row], rows[row + 1].open
    equity = equity_of(book, account)
    refusal = account_refusal(account, equity, rules)
    if refusal != 0:
        return refusal
    if p.qty > 0.0 or p.waits == 1:
        return POSITION
    reference = decided.close
    if abs(opened / reference - 1.0) > MAX_DEVIATION:
        return DEVIATION
    stop = reference - side * rules.stop * unit
    asked = reference if rules.limit_offset <= 0.0 else to_tick(reference - side * rules.limit_offset * unit, spec.tick)
    size = sized(spec, rules, decided.volume, equity, asked, stop if rules.anchor == 0 else stop + asked - reference)
    if size.qty <= 0.0:
        return SIZE
    if size.margin > free_margin(book, account, equity):
        return MARGIN
    if rules.max_joint_pct > 0.0 and is_too_joint(rows, close, first, rules, book, account, s, row, side, size.qty * asked, equity):
        return CORRELATION
    p.side, p.qty_opened, p.leverage, p.margin, p.decided, p.row = side, size.qty, size.leverage, size.margin, row, row
    p.last = first[s + 1] - 1
    p.initial_stop, p.tp1, p.trail = stop, reference + side * rules.tp1 * unit, rules.trail * unit
    p.tp2, p.tp3 = reference + side * rules.tp2 * unit, reference + side * rules.tp3 * unit
    p.deadline = times[decided.at] + rules.bar_ms + rules.max_hold_ms
    if rules.limit_offset > 0.0:
        p.waits, p.limit, p.expires, p.mark, p.entry = 1, asked, times[decided.at] + rules.limit_bars * rules.bar_ms, asked, asked
        return ENTERED
    slipped = slippage(rows[row + 1], spec, rules, size.qty * opened)
    refusal = fill(p, account, spec, tiers, due, times, rules, row + 1, rows[row + 1].at, reference, opened, slipped, spec.taker)
    if refusal != 0:
        p.margin = 0.0
    return refusal
