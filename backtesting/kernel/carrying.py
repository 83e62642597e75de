"""One symbol's position through its bars: quiet ones in a tight loop, all others through exchanges.exits.walk."""

from typing import Any

from backtesting.kernel.books import leave, liquidate, pay_funding, record, slippage
from backtesting.kernel.entering import fill
from backtesting.kernel.types import F, I
from exchanges.compiled import UNCOUNTED, njit
from exchanges.exits import END_OF_DATA, LIQUIDATION, ExitFill, ExitPlan, ExitState, slice_qty, walk

UNFILLED = 11


@njit(**UNCOUNTED)
def set_bands(p: Any) -> None:
    """The prices between which a bar leaves the position as it is: the stop, the next target, and once it trails the best price."""
    target = p.tp1 if p.tps == 0 else (p.tp2 if p.tps == 1 else p.tp3)
    adverse = p.stop
    if p.side > 0:
        favourable = min(target, p.best) if p.tps > 0 else target
        p.low_band, p.high_band = max(adverse, p.liquidation), favourable
    else:
        favourable = max(target, p.best) if p.tps > 0 else target
        p.low_band, p.high_band = favourable, min(adverse, p.liquidation) if p.liquidation > 0.0 else adverse


@njit(**UNCOUNTED)
def is_quiet(p: Any, bar: Any) -> bool:
    """Whether the bar's prices change nothing about the position. Errs towards looking closer."""
    if not (bar.low > p.low_band and bar.high < p.high_band):
        return False
    return p.liquidation <= 0.0 or (bar.mark_low > p.liquidation if p.side > 0 else bar.mark_high < p.liquidation)


@njit(**UNCOUNTED)
def take_exits(
    p: Any, account: Any, bar: Any, spec: Any, rules: Any, state: ExitState, count: int, f1: ExitFill, f2: ExitFill, f3: ExitFill
) -> int:
    """Book the fills of one step. Returns the reason when the position is closed, else 0."""
    reason, remaining = 0, p.remaining
    is_spot = spec.tier_first == spec.tier_last  # where everything is paid in full every order has to be worth the minimum
    for number in range(count):
        exit_ = f1 if number == 0 else (f2 if number == 1 else f3)
        is_last = number == count - 1 and state.remaining <= 0.0
        remaining = 0.0 if is_last else remaining - exit_.share
        qty = slice_qty(p.qty_opened, p.qty, remaining, spec.step_size, spec.min_notional / exit_.price if is_spot else 0.0)
        if qty > 0.0 and exit_.maker:
            leave(p, account, qty, exit_.price, 0.0, spec.tick, spec.maker)
        elif qty > 0.0 and exit_.reason == LIQUIDATION:
            liquidate(p, account, qty, spec)
        elif qty > 0.0:
            leave(p, account, qty, exit_.price, slippage(bar, spec, rules, qty * exit_.price), spec.tick, spec.taker)
        if is_last:
            reason, p.qty = exit_.reason, 0.0
    p.remaining, p.stop, p.tps, p.best = state.remaining, state.stop, state.tps_hit, state.best
    return reason


@njit(**UNCOUNTED)
def plan_of(p: Any, rules: Any) -> ExitPlan:
    """The position's plan as exchanges.exits takes it."""
    return ExitPlan(
        p.side, p.entry, p.initial_stop, p.tp1, p.tp2, p.tp3, rules.share1, rules.share2, rules.share3, p.trail, p.liquidation, p.deadline
    )


@njit(**UNCOUNTED)
def step_through(p: Any, account: Any, bar: Any, now: int, spec: Any, rules: Any) -> int:
    """One bar. Returns the reason when the position is closed, else 0."""
    target = p.tp1 if p.tps == 0 else (p.tp2 if p.tps == 1 else p.tp3)
    reaches_both = (bar.low <= p.stop and bar.high > target) if p.side > 0 else (bar.high >= p.stop and bar.low < target)
    is_within = bar.open > p.low_band if p.side > 0 else bar.open < p.high_band
    if reaches_both and is_within and now < p.deadline:
        p.is_ambiguous = 1
    state, count, f1, f2, f3 = walk(
        plan_of(p, rules), ExitState(p.remaining, p.stop, p.tps, p.best), now, bar.open, bar.high, bar.low, bar.mark_high, bar.mark_low,
        rules.path,
    )  # fmt: skip
    return take_exits(p, account, bar, spec, rules, state, count, f1, f2, f3)


@njit(**UNCOUNTED)
def step_after_fill(p: Any, account: Any, bar: Any, now: int, spec: Any, rules: Any) -> int:
    """The bar in which a limit order was filled: what it reached on the adverse side counts, what it reached on the other one may have been
    before the fill."""
    high, low = (p.entry, bar.low) if p.side > 0 else (bar.high, p.entry)
    state, count, f1, f2, f3 = walk(
        plan_of(p, rules), ExitState(p.remaining, p.stop, p.tps, p.best), now, p.entry, high, low, bar.mark_high, bar.mark_low, 0
    )
    return take_exits(p, account, bar, spec, rules, state, count, f1, f2, f3)


@njit(**UNCOUNTED)
def step_in_detail(p: Any, account: Any, bar: Any, now: int, spec: Any, rules: Any, details: Any, first: int, last: int) -> int:
    """One bar by its finer bars. The mark's extremes belong to none of them: the last one meets them, unless the last price was first."""
    for k in range(first, last):
        high, low = details[k].high, details[k].low
        mark_high, mark_low = (max(high, bar.mark_high), min(low, bar.mark_low)) if k == last - 1 else (high, low)
        state, count, f1, f2, f3 = walk(
            plan_of(p, rules),
            ExitState(p.remaining, p.stop, p.tps, p.best),
            now,
            details[k].open,
            high,
            low,
            mark_high,
            mark_low,
            rules.path,
        )
        reason = take_exits(p, account, bar, spec, rules, state, count, f1, f2, f3)
        if reason != 0:
            return reason
    return 0


@njit(inline="always", **UNCOUNTED)
def try_limit(p: Any, account: Any, bar: Any, row: int, decided_close: float, spec: Any, tiers: Any, due: Any, times: I, rules: Any) -> int:
    """One bar of an order that waits: filled at the open when that is better already (taking liquidity, never beyond the limit), at its limit
    when the price trades through it. 0 while it waits, 1 filled at the open, 2 inside the bar, or less than 0: minus the code of REFUSALS."""
    if times[bar.at] > p.expires:
        return -UNFILLED
    is_through = bar.low < p.limit if p.side > 0 else bar.high > p.limit
    if p.side * (bar.open - p.limit) <= 0.0:
        slipped = min(slippage(bar, spec, rules, p.qty_opened * bar.open), p.side * (p.limit / bar.open - 1.0))
        refusal = fill(p, account, spec, tiers, due, times, rules, row, bar.at, decided_close, bar.open, slipped, spec.taker)
        return 1 if refusal == 0 else -refusal
    if is_through:
        refusal = fill(p, account, spec, tiers, due, times, rules, row, bar.at, decided_close, p.limit, 0.0, spec.maker)
        return 2 if refusal == 0 else -refusal
    return -UNFILLED if times[bar.at] >= p.expires or row == p.last else 0


@njit(inline="always", **UNCOUNTED)
def live_through(
    p: Any, account: Any, rows: Any, times: I, due: Any, detail_first: I, details: Any, spec: Any, tiers: Any, rules: Any, s: int, t: int, trade: Any
) -> int:  # fmt: skip
    """The moment t of one symbol that has a position or an order. Returns what became of it: 0 it goes on, 1 closed and written to `trade`,
    less than 0: the order is given up, minus the code of REFUSALS."""
    row = p.row + 1
    if row > p.last or rows[row].at != t:
        return 0
    p.row, bar, became = row, rows[row], 0
    if p.waits == 1:
        became = try_limit(p, account, bar, row, rows[p.decided].close, spec, tiers, due, times, rules)
        if became < 0:
            p.waits, p.margin = 0, 0.0
        if became <= 0:
            return became
        set_bands(p)
    pay_funding(p, account, due, row)
    reason = 0
    if became == 2:
        reason = step_after_fill(p, account, bar, times[t], spec, rules)
    elif not (t < p.until and is_quiet(p, bar)):
        first, last = (detail_first[row], detail_first[row + 1]) if detail_first.shape[0] > 0 else (0, 0)
        if first == last:
            reason = step_through(p, account, bar, times[t], spec, rules)
        else:
            reason = step_in_detail(p, account, bar, times[t], spec, rules, details, first, last)
    p.mark = bar.close
    if reason == 0 and row == p.last:
        leave(p, account, p.qty, bar.close, slippage(bar, spec, rules, p.qty * bar.close), spec.tick, spec.taker)
        reason = END_OF_DATA
    if reason != 0:
        record(trade, p, s, row, reason)
        return 1
    set_bands(p)
    return 0


@njit(inline="always", **UNCOUNTED)
def glide(p: Any, account: Any, rows: Any, due: Any, t: int, until: int, equity: F, notional: F) -> int:
    """The only open position through its quiet bars, from moment t to before `until`. Returns the first moment that wants a closer look.

    The 1-d loop: one symbol, no books but the marks. A moment in which the symbol has no bar keeps the mark.
    """
    row, last, low, high = p.row + 1, p.last, p.low_band, p.high_band
    if p.due < due.shape[0]:
        last = min(last, due[p.due].row)
    until = min(until, p.until)
    held, base, mark, began = p.qty * p.side, account.balance - p.entry * p.qty * p.side, p.mark, t
    peak, floor_, liquidation, side = account.peak, account.peak * (1.0 - account.fall), p.liquidation, p.side
    has_curve = equity.shape[0] > 0
    while t < until and row < last:
        bar = rows[row]
        if bar.at == t:
            if not (bar.low > low and bar.high < high):
                break
            if liquidation > 0.0 and not (bar.mark_low > liquidation if side > 0 else bar.mark_high < liquidation):
                break
            mark = bar.close
            row += 1
        worth = base + held * mark
        if has_curve:
            equity[t], notional[t] = worth, abs(held) * mark
        if worth > peak:
            peak = worth
            floor_ = peak * (1.0 - account.fall)
        elif worth < floor_:
            account.fall = 1.0 - worth / peak
            floor_ = worth
        t += 1
    p.row, p.mark, account.peak = row - 1, mark, peak
    account.exposed += t - began
    return t
