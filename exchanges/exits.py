"""How an open position is left: ONE step per bar, used alike by the backtest kernel, the paper venue and the live position manager.

Inside a bar OHLC does not tell the order of events. `step` takes the pessimistic one: first the liquidation and the stop, then the take-profits
from nearest to farthest. A bar that opens beyond the stop fills at its open (a gap is never kinder than the stop), one that opens beyond the
liquidation price is liquidated: with isolated margin no more than the margin is lost. A take-profit is a resting limit, needs the price
to trade THROUGH it, and fills at its own price. The stop that a bar tests is the one that stood at its open: what this bar's high or low does
to the trail counts from the next bar on. The time stop closes at the open of the first bar that starts at or after the deadline, unless
that open is beyond the liquidation price.

`walk` can also take the targets first (optimistic), or the side whose extreme is nearer to the open (adaptive), which show how much of a
backtest's result is an assumption; and it liquidates on the mark price, which is what venues do.

After TP1 the stop goes to break-even and trails the best price at `trail` distance; it only ever moves towards profit.
"""

from math import ceil
from typing import NamedTuple

from exchanges.compiled import njit

STOP, TAKE_PROFIT_1, TAKE_PROFIT_2, TAKE_PROFIT_3, TRAIL, TIME, LIQUIDATION, MANUAL, END_OF_DATA, FLATTEN, OPPOSITE = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
)
REASONS = {
    STOP: "stop",
    TAKE_PROFIT_1: "tp1",
    TAKE_PROFIT_2: "tp2",
    TAKE_PROFIT_3: "tp3",
    TRAIL: "trail",
    TIME: "time",
    LIQUIDATION: "liquidation",
    MANUAL: "manual",
    END_OF_DATA: "end_of_data",
    FLATTEN: "flatten",
    OPPOSITE: "opposite",
}
PESSIMISTIC, ADAPTIVE, OPTIMISTIC = 0, 1, 2
PATHS = {"pessimistic": PESSIMISTIC, "adaptive": ADAPTIVE, "optimistic": OPTIMISTIC}
"""Which way a bar's price is taken to have gone."""


class ExitPlan(NamedTuple):
    """Fixed at entry. Prices in quote currency, time in ms; `side` is +1 long, -1 short; shares are of the opened quantity and add up to 1; a last one of 0 makes the ladder shorter."""

    side: int
    entry: float
    stop: float
    tp1: float
    tp2: float
    tp3: float
    share1: float
    share2: float
    share3: float
    trail: float  # distance of the trailing stop from the best price, once TP1 was hit
    liquidation: float  # 0.0 when it cannot be reached
    deadline_ms: int


class ExitState(NamedTuple):
    """What changes from bar to bar. `remaining` is the open share of the opened quantity, 1.0 down to 0.0."""

    remaining: float
    stop: float
    tps_hit: int
    best: float


class ExitFill(NamedTuple):
    """One exit: the share of the OPENED quantity that leaves, its price before slippage, the reason, and whether it rested (maker)."""

    share: float
    price: float
    reason: int
    maker: bool


@njit(cache=True)
def opening_state(plan: ExitPlan) -> ExitState:
    """The state of a position that was just filled."""
    return ExitState(1.0, plan.stop, 0, plan.entry)


@njit(cache=True)
def slice_qty(qty_opened: float, qty_left: float, remaining: float, step_size: float, least_qty: float) -> float:
    """What one exit really closes, so that the share `remaining` of the opened quantity stays: everything when nothing may stay.

    What stays is rounded up to the venue's step. A slice of less than a step, of less than `least_qty`, or one that would leave less
    than `least_qty` behind, closes nothing now and merges into the next one, so no dust is left that the venue would not take.
    """
    if remaining <= 0.0:
        return qty_left
    kept = ceil(remaining * qty_opened / step_size - 1e-9)
    qty = max(0.0, round(qty_left / step_size) - kept) * step_size
    return qty if qty >= least_qty and kept * step_size >= least_qty else 0.0


@njit(cache=True)
def _take_profits(plan: ExitPlan, state: ExitState, favourable: float) -> tuple[int, float, int, ExitFill, ExitFill, ExitFill]:
    """What the ladder gives when the price went as far as `favourable`: (tps_hit, remaining, count, f1, f2, f3)."""
    f1 = f2 = f3 = ExitFill(0.0, 0.0, 0, False)  # three names, no list: a list is an allocation for every bar
    count, remaining, tps_hit = 0, state.remaining, state.tps_hit
    if tps_hit == 0 and plan.side * (favourable - plan.tp1) > 0.0:
        share = remaining if plan.share2 <= 0.0 and plan.share3 <= 0.0 else plan.share1
        f1 = ExitFill(share, plan.tp1, 2, True)
        tps_hit, count, remaining = 1, 1, remaining - share
    if tps_hit == 1 and remaining > 0.0 and plan.side * (favourable - plan.tp2) > 0.0:
        share = remaining if plan.share3 <= 0.0 else plan.share2
        second = ExitFill(share, plan.tp2, 3, True)
        f1, f2 = (second, f2) if count == 0 else (f1, second)
        tps_hit, count, remaining = 2, count + 1, remaining - share
    if tps_hit == 2 and remaining > 0.0 and plan.side * (favourable - plan.tp3) > 0.0:
        third = ExitFill(remaining, plan.tp3, 4, True)
        if count == 0:
            f1 = third
        elif count == 1:
            f2 = third
        else:
            f3 = third
        tps_hit, count, remaining = 3, count + 1, 0.0
    return tps_hit, remaining, count, f1, f2, f3


@njit(cache=True)
def _trailed(plan: ExitPlan, stop: float, best: float) -> float:
    """The stop after TP1: at break-even at least, `trail` behind the best price, never back."""
    trailed = best - plan.side * plan.trail
    floor_ = plan.entry if plan.side * (plan.entry - stop) > 0.0 else stop
    return trailed if plan.side * (trailed - floor_) > 0.0 else floor_


@njit(cache=True)
def _stopped(plan: ExitPlan, state: ExitState, stop: float, o: float, worst: float, mark_worst: float) -> ExitFill:
    """How the adverse leg of a bar ends the position; a share of 0 when it does not. The stop goes before a liquidation that lies beyond it,
    unless the bar opened there already or the mark price alone got so far."""
    side, liquidation = plan.side, plan.liquidation
    is_stopped = side * (worst - stop) <= 0.0
    if liquidation > 0.0:
        if side * (o - liquidation) <= 0.0:
            return ExitFill(state.remaining, liquidation, 7, False)
        if side * (mark_worst - liquidation) <= 0.0 and (side * (liquidation - stop) >= 0.0 or not is_stopped):
            return ExitFill(state.remaining, liquidation, 7, False)
    if is_stopped:
        price = o if side * (o - stop) < 0.0 else stop
        return ExitFill(state.remaining, price, 1 if state.tps_hit == 0 else 5, False)
    return ExitFill(0.0, 0.0, 0, False)


@njit(cache=True)
def _targets_first(plan: ExitPlan, path: int, o: float, worst: float, favourable: float) -> bool:
    """Whether the favourable leg comes first. Where both extremes are as near (to 1e-9 of the price) the adverse one does."""
    if path == 0:
        return False
    return path == 2 or abs(worst - o) - abs(favourable - o) > 1e-9 * o


@njit(cache=True)
def walk(
    plan: ExitPlan,
    state: ExitState,
    open_ms: int,
    opened: float,
    high: float,
    low: float,
    mark_high: float,
    mark_low: float,
    path: int,
) -> tuple[ExitState, int, ExitFill, ExitFill, ExitFill]:
    """`step` with a mark price and a path: PESSIMISTIC, ADAPTIVE (the stop that the first leg has moved holds on the second) or OPTIMISTIC
    (what the targets leave then meets the stop that stood at the open)."""
    side, none = plan.side, ExitFill(0.0, 0.0, 0, False)
    flat = ExitState(0.0, state.stop, state.tps_hit, state.best)
    if state.remaining <= 0.0:
        return flat, 0, none, none, none
    is_gone = plan.liquidation > 0.0 and side * (opened - plan.liquidation) <= 0.0
    if open_ms >= plan.deadline_ms and not is_gone:
        return flat, 1, ExitFill(state.remaining, opened, 6, False), none, none
    worst, favourable, mark_worst = (low, high, mark_low) if side > 0 else (high, low, mark_high)
    is_beyond = is_gone or side * (opened - state.stop) <= 0.0
    targets_first = not is_beyond and _targets_first(plan, path, opened, worst, favourable)
    if not targets_first:
        end = _stopped(plan, state, state.stop, opened, worst, mark_worst)
        if end.share > 0.0:
            return flat, 1, end, none, none
    best = favourable if side * (favourable - state.best) > 0.0 else state.best
    tps_hit, remaining, count, f1, f2, f3 = _take_profits(plan, state, favourable)
    stop = _trailed(plan, state.stop, best) if 1 <= tps_hit < 3 else state.stop
    after = ExitState(remaining, stop, tps_hit, best)
    if targets_first and remaining > 0.0:  # the second leg begins at the first one's extreme: it meets every stop on its way, without a gap
        end = _stopped(plan, after, stop if path == 1 else state.stop, favourable, worst, mark_worst)
        if end.share > 0.0:
            f1, f2, f3 = (end, f2, f3) if count == 0 else ((f1, end, f3) if count == 1 else (f1, f2, end))
            return ExitState(0.0, stop, tps_hit, best), count + 1, f1, f2, f3
    return after, count, f1, f2, f3


@njit(cache=True)
def step(
    plan: ExitPlan,
    state: ExitState,
    open_ms: int,
    o: float,
    h: float,
    l: float,  # noqa: E741
    c: float,
) -> tuple[ExitState, int, ExitFill, ExitFill, ExitFill]:
    """Carry a position through one bar, pessimistically, the last price being the mark.

    Returns (state, count, f1, f2, f3): the first `count` (0 to 3) of the three ExitFills happened, in this order.
    The position is flat when state.remaining is 0.
    """
    return walk(plan, state, open_ms, o, h, l, h, l, 0)
