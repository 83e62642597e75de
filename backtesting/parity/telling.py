"""One position told by the kernel on the candles and funding that are stored now, alone on an account that just affords it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import arrays, kernel
from backtesting.kernel.books import to_tick
from backtesting.parity import legs
from backtesting.parity.legs import Leg, bar_length
from exchanges import exits
from exchanges.exits import ExitPlan
from exchanges.models import Market
from exchanges.ports import CandleFrame, FundingFrame

ENOUGH_PCT = 1e9
"""A limit of the account that nothing reaches: the recorded order passed the gate already."""
SPARE = 1e-3
"""Steps of capital more than the quantity needs, so that rounding down to a step gives it back and the leverage stays."""


class Wanted(NamedTuple):
    """A position as it was asked for. side +1 or -1, prices in quote currency, qty in base coins, times in ms UTC; `reference` is the price
    the levels were planned from, `first_ms` the open of the bar at whose open it is entered."""

    side: int
    qty: float
    leverage: int
    reference: float
    stop: float
    tp1: float
    tp2: float
    tp3: float
    trail: float
    shares: tuple[float, float, float]
    first_ms: int
    deadline_ms: int


class Told(NamedTuple):
    """What became of it: opens of the bars it was entered and left in, mean exit price by quantity, targets hit, the last exit's reason,
    money in quote currency; net is after fees (paid: positive) and funding (received: positive). legs: its exits one by one."""

    entered_ms: int
    left_ms: int
    entry: float
    exit: float
    tps: int
    reason: str
    fees: float
    funding: float
    net: float
    legs: tuple[Leg, ...]


def simulate(market: Market, frame: CandleFrame, funding: FundingFrame, marks: CandleFrame | None, wanted: Wanted) -> Told | str:
    """Enter at the open of the frame's first bar and leave by the plan, or at the close of its last bar. The kernel's word where it does not
    enter, "no_bar" where the frame does not begin with the bar of the entry."""
    if not len(frame) or int(frame.timestamp[0]) != wanted.first_ms:
        return "no_bar"
    frame = _with_decision(frame, wanted.reference)
    series = arrays.series(market, frame, funding, marks)
    bars = kernel.join([series._replace(mark_high=np.empty(0), mark_low=np.empty(0))])  # positions are managed on the last price
    side = np.zeros(len(frame), np.int8)
    side[0] = wanted.side
    result = kernel.simulate(bars, kernel.entries_of(bars, side, np.ones(len(frame))), [_spec(market)], _rules(market, wanted))
    if not result.trades.pnl.shape[0]:
        return next(iter(result.refused), "no_bar")
    trades = result.trades
    entered = frame.slice(int(trades.entered[0]), len(frame))
    told = legs.walked(market, entered, _exit_plan(market, wanted, float(trades.entry[0])), float(trades.qty[0]))
    return _told(trades, frame.timestamp, told)


def entered_at(frame: CandleFrame, wanted: Wanted, paid: float, slippage: float) -> tuple[CandleFrame, Wanted]:
    """Frame and plan of a position that is entered at exactly `paid`: its first bar opens where slipping gives that price, flat when it is
    not stored."""
    raw = paid / (1.0 + wanted.side * slippage)
    if not len(frame) or int(frame.timestamp[0]) != wanted.first_ms:
        frame = _prepended(frame, wanted.first_ms, raw)
    opened = frame.open.copy()
    opened[0] = raw
    frame = CandleFrame(frame.symbol, frame.timeframe, frame.timestamp, opened, *frame[4:])
    return frame, wanted._replace(reference=raw)


def _prepended(frame: CandleFrame, open_ms: int, price: float) -> CandleFrame:
    values = (open_ms, price, price, price, price, 0.0)
    columns = (np.concatenate(([value], column)) for value, column in zip(values, frame[2:], strict=True))
    return CandleFrame(frame.symbol, frame.timeframe, *columns)


def _with_decision(frame: CandleFrame, reference: float) -> CandleFrame:
    """With the deciding bar in front, which closed at the plan's reference price whatever is stored of it now."""
    return _prepended(frame, int(frame.timestamp[0]) - bar_length(), reference)


def _spec(market: Market) -> kernel.Spec:
    """The venue's rules; its least order was asked of the order when it was sent, and stays only where exits must be worth it too."""
    spec = arrays.specs([market])[0]
    return spec if market.is_cash else spec._replace(min_notional=0.0)


def _rules(market: Market, wanted: Wanted) -> kernel.Rules:
    """An account of its own: all of its money is the margin of this quantity at this leverage. Distances are prices: the unit is 1."""
    base, side, leverage = wanted.reference, wanted.side, wanted.leverage
    return kernel.Rules(
        capital=(wanted.qty + SPARE * float(market.step_size)) * base / leverage,
        sizing=kernel.BY_NOTIONAL,
        notional_pct=100.0 * leverage,
        max_margin_pct=100.0,
        max_leverage=leverage,
        max_daily_loss_pct=ENOUGH_PCT,
        max_drawdown_pct=ENOUGH_PCT,
        stop=side * (base - wanted.stop),
        tp1=side * (wanted.tp1 - base),
        tp2=side * (wanted.tp2 - base),
        tp3=side * (wanted.tp3 - base),
        trail=wanted.trail,
        share1=wanted.shares[0],
        share2=wanted.shares[1],
        share3=wanted.shares[2],
        max_hold_ms=wanted.deadline_ms - wanted.first_ms,
        bar_ms=bar_length(),
    )


def _exit_plan(market: Market, wanted: Wanted, entry: float) -> ExitPlan:
    """As the kernel carries a position that was entered at `entry`."""
    stop, tp1, tp2, tp3 = (float(to_tick(price, float(market.tick_size))) for price in (wanted.stop, wanted.tp1, wanted.tp2, wanted.tp3))
    liquidation = legs.liquidation(market, wanted.side, entry, wanted.qty, wanted.leverage)
    return ExitPlan(wanted.side, entry, stop, tp1, tp2, tp3, *wanted.shares, wanted.trail, liquidation, wanted.deadline_ms)


def _told(trades: kernel.Trades, opens: NDArray[np.int64], exits_: tuple[Leg, ...]) -> Told:
    return Told(
        int(opens[trades.entered[0]]),
        int(opens[trades.left[0]]),
        float(trades.entry[0]),
        float(trades.exit[0]),
        int(trades.tps[0]),
        exits.REASONS[int(trades.reason[0])],
        float(trades.fees[0]),
        float(trades.funding[0]),
        float(trades.pnl[0]),
        legs.merged(exits_),
    )
