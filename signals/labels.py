"""What would have become of a position opened after each bar: the labels that models learn, and how much each of them counts.

The plan's own barriers (stop, TP1, 48 h) are replayed with exchanges.exits.step, so label, backtest and live exit agree by construction.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges import funding as funding_rule
from exchanges.compiled import njit
from exchanges.costs import CostModel
from exchanges.exits import TAKE_PROFIT_1, ExitPlan, opening_state, step
from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import TIMEFRAME_MS
from signals.plan import PlanConfig

HOUR_MS = 3_600_000
UNKNOWN = -1


class Outcomes(NamedTuple):
    """Arrays of shape [n, 2], second axis LONG, SHORT; one row per deciding bar.

    tp1_hit    -- int8: 1 TP1 was hit before the stop, 0 it was not, -1 unknown (no ATR, the next bar is missing, its open was already beyond
                  stop or TP1, or the data ends before the position is flat)
    result_atr -- float64: price result over the opened quantity in ATR, BEFORE fees, slippage and funding; NaN when unknown
    end_index  -- int64: row of the bar at which the position was flat (t1); -1 when unknown
    net_pct    -- float64: the same result in % of notional AFTER fees by liquidity, slippage and funding; NaN when unknown
    """

    tp1_hit: NDArray[np.int8]
    result_atr: NDArray[np.float64]
    end_index: NDArray[np.int64]
    net_pct: NDArray[np.float64]


@njit(cache=True)
def _first_touch(side, stop, tp1, deadline_ms, timestamp, h, l, first):  # noqa: E741
    """The first bar from `first` on that reaches the stop, trades through TP1 or starts at the deadline; n when none does.

    The bars before it leave a position as it was: the best price matters from TP1 on only, and the bar that hits TP1 makes a new one.
    """
    n = timestamp.shape[0]
    for j in range(first, n):
        if timestamp[j] >= deadline_ms:
            return j
        if side > 0:
            if l[j] <= stop or h[j] > tp1:
                return j
        elif h[j] >= stop or l[j] < tp1:
            return j
    return n


@njit(cache=True)
def _replay_1d(i, side, timestamp, o, h, l, c, atr, plan, rates, paid, max_hold_ms, bar_ms):  # noqa: E741
    """Replay one side from the open of bar i + 1. Returns (tp1_hit, result_atr, end_index, net_pct)."""
    n = timestamp.shape[0]
    unknown = (-1, np.nan, -1, np.nan)
    if i + 1 >= n or not atr > 0.0 or timestamp[i + 1] - timestamp[i] != bar_ms:
        return unknown
    stop_atr, tp1_atr, tp2_atr, tp3_atr, trail_atr, share1, share2, share3 = plan
    maker, taker, slippage, funding_per_hour = rates
    reference, opened = c[i], o[i + 1]
    entry = opened * (1.0 + side * slippage)
    stop, tp1 = reference - side * stop_atr * atr, reference + side * tp1_atr * atr
    tp2, tp3 = reference + side * tp2_atr * atr, reference + side * tp3_atr * atr
    if min(stop, tp1, tp2, tp3) <= 0.0 or side * (entry - stop) <= 0.0 or side * (tp1 - entry) <= 0.0:
        return unknown
    opened_ms = timestamp[i + 1]
    exits = ExitPlan(side, entry, stop, tp1, tp2, tp3, share1, share2, share3, trail_atr * atr, 0.0, opened_ms + max_hold_ms)
    state = opening_state(exits)
    hit, moved = 0, 0.0
    cost = taker + slippage
    for j in range(_first_touch(side, stop, tp1, exits.deadline_ms, timestamp, h, l, i + 1), n):
        state, count, f1, f2, f3 = step(exits, state, timestamp[j], o[j], h[j], l[j], c[j])
        funding = funding_per_hour * (timestamp[j] - opened_ms) / HOUR_MS
        funding += (side * (paid[0, j] - paid[0, i + 1]) + paid[1, j] - paid[1, i + 1]) / opened
        for k in range(count):
            fill = f1 if k == 0 else (f2 if k == 1 else f3)
            moved += fill.share * side * (fill.price - opened)
            cost += fill.share * ((maker if fill.maker else taker + slippage) + funding)
            if fill.reason == TAKE_PROFIT_1:
                hit = 1
        if state.remaining <= 1e-12:
            return hit, moved / atr, j, (moved / opened - cost) * 100.0
    return unknown


@njit(cache=True)
def _replay(timestamp, o, h, l, c, atr, plan, rates, paid, max_hold_ms, bar_ms, rows):  # noqa: E741
    n = timestamp.shape[0]
    hit = np.full((n, 2), -1, dtype=np.int8)
    result, net = np.full((n, 2), np.nan), np.full((n, 2), np.nan)
    end = np.full((n, 2), -1, dtype=np.int64)
    for i in rows:
        for column in range(2):
            side = 1 if column == 0 else -1
            outcome = _replay_1d(i, side, timestamp, o, h, l, c, atr[i], plan, rates, paid, max_hold_ms, bar_ms)
            hit[i, column], result[i, column], end[i, column], net[i, column] = outcome
    return hit, result, end, net


def outcomes(
    frame: CandleFrame,
    atr: NDArray[np.float64],
    config: PlanConfig,
    costs: CostModel,
    *,
    funding: FundingFrame | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Outcomes:
    """Both sides' outcome of entering at the open after each bar, levels set from the bar's close.

    atr     -- float64 [n] in price units, as signals.features.plan_atr gives it
    funding -- the market's own rates: longs pay and shorts get them by exchanges.funding's rule, as the backtest has it, the default of
               `costs` where none is stored; None: either side pays the default for the hours held
    rows    -- only these bars are replayed, the others stay unknown; None: all
    """
    plan = (config.stop_atr, config.tp1_atr, config.tp2_atr, config.tp3_atr, config.trail_atr, *config.shares)
    hourly = costs.funding_bps_per_hour * 1e-4
    rates = (costs.fee_rate(maker=True), costs.fee_rate(maker=False), costs.slippage_bps * 1e-4, hourly if funding is None else 0.0)
    paid = np.zeros((2, len(frame))) if funding is None else _paid(frame, funding, hourly)
    chosen = np.arange(len(frame), dtype=np.int64) if rows is None else rows
    columns = (frame.timestamp, frame.open, frame.high, frame.low, frame.close)
    return Outcomes(*_replay(*columns, atr, plan, rates, paid, config.max_hold_ms, TIMEFRAME_MS[frame.timeframe], chosen))


def _paid(frame: CandleFrame, funding: FundingFrame, hourly: float) -> NDArray[np.float64]:
    """What a unit held since the first bar has paid with each bar, in price units: float64 [2, n], the rates (a long's), the costs of either side."""
    if not len(frame):
        return np.zeros((2, 0))
    bar_ms, opens = TIMEFRAME_MS[frame.timeframe], frame.timestamp
    owed = funding_rule.due(funding, start_ms=int(opens[0]), end_ms=int(opens[-1]) + bar_ms, hourly_cost=hourly)
    return np.cumsum(np.array(funding_rule.by_bar(owed, opens, bar_ms)) * frame.open, axis=1)


@njit(cache=True)
def _uniqueness(start, end, bars):
    concurrent = np.zeros(bars + 1)
    for i in range(start.shape[0]):
        concurrent[start[i]] += 1.0
        concurrent[end[i] + 1] -= 1.0
    shares = np.zeros(bars + 1)
    running = 0.0
    for t in range(bars):
        running += concurrent[t]
        shares[t + 1] = shares[t] + (1.0 / running if running > 0.5 else 0.0)
    out = np.empty(start.shape[0])
    for i in range(start.shape[0]):
        out[i] = (shares[end[i] + 1] - shares[start[i]]) / (end[i] + 1 - start[i])
    return out


def uniqueness(start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average uniqueness of each label, in (0, 1]: the mean of 1 / (labels alive) over the bars it spans.

    start, end -- int64 [m], first and last bar of each label, both included. Source: Lopez de Prado, Advances in Financial Machine
    Learning, 2018, section 4.4. The sum of the weights is about the number of independent labels. Raises ValueError when an end lies before its start.
    """
    if start.size == 0:
        return np.empty(0)
    if (end < start).any() or start.min() < 0:
        raise ValueError("every label must end at or after its start, and start at bar 0 or later")
    return _uniqueness(start, end, int(end.max()) + 1)
