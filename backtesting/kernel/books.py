"""What changes the books: prices as they are really paid, fees, slippage, funding, and a closed position written down."""

from math import sqrt
from typing import Any

import numpy as np

from exchanges.compiled import UNCOUNTED, njit
from exchanges.risk.liquidation import price_by_tiers

MOST_SLIPPAGE = 0.1
"""Nothing is filled further than this from its price: an order too large for its bar is a plan's fault, not a price."""


@njit(**UNCOUNTED)
def to_tick(price: float, tick: float) -> float:
    """To the nearest tick (halves to even), one tick at least; as it is where the tick is 0.

    A tick of 0.1 is a tenth: 973 of them are 97.3, the double that a venue's "97.3" is read as, while 973 * 0.1 is a little more, and a price
    that touches a stop there would not have touched it.
    """
    if tick <= 0.0:
        return price
    steps, per_unit = np.rint(price / tick), np.rint(1.0 / tick)  # one instruction; round() is a call
    return max(tick, steps / per_unit if abs(per_unit * tick - 1.0) < 1e-9 else steps * tick)


@njit(**UNCOUNTED)
def slippage(bar: Any, spec: Any, rules: Any, notional: float) -> float:
    """The fraction by which what takes liquidity in a bar pays more."""
    rate = spec.slippage
    if rules.slippage_range > 0.0:
        rate += rules.slippage_range * (bar.high - bar.low) / bar.open
    if rules.impact > 0.0:
        turnover = bar.volume * bar.close
        rate += rules.impact * sqrt(notional / turnover) if turnover > 0.0 else MOST_SLIPPAGE
    return min(rate, MOST_SLIPPAGE)


@njit(**UNCOUNTED)
def equity_of(book: Any, account: Any) -> float:
    """Balance and what the open positions would bring at their marks."""
    total = account.balance
    for k in range(account.held):
        p = book[book[k].active]
        total += (p.mark - p.entry) * p.qty * p.side
    return total


@njit(**UNCOUNTED)
def free_margin(book: Any, account: Any, equity: float) -> float:
    """As the live gate counts it: balance, less unrealised losses, less the margins of open positions and of orders that wait."""
    free = account.balance + min(0.0, equity - account.balance)
    for k in range(account.held):
        free -= book[book[k].active].margin
    return free


@njit(**UNCOUNTED)
def liquidated_at(spec: Any, tiers: Any, side: int, entry: float, qty: float, leverage: int) -> float:
    """The liquidation price by the symbol's tiers, to the tick; 0.0 where there is none."""
    price = price_by_tiers(tiers, spec.tier_first, spec.tier_last, side, entry, qty, leverage)
    return to_tick(price, spec.tick) if price > 0.0 else 0.0


@njit(**UNCOUNTED)
def pay_funding(p: Any, account: Any, due: Any, row: int) -> None:
    """What falls due with bar `row`: longs pay shorts when the rate is positive; the default cost is paid by either side."""
    while p.due < due.shape[0] and due[p.due].row == row:
        owed = due[p.due]
        amount = -p.qty * owed.price * (p.side * owed.rate + owed.cost)
        p.funding += amount
        account.balance += amount
        p.due += 1


@njit(**UNCOUNTED)
def leave(p: Any, account: Any, qty: float, asked: float, slipped: float, tick: float, fee_rate: float) -> None:
    """Close `qty` at `asked`, made worse by the fraction `slipped` (0 for a resting order), to the tick."""
    paid = to_tick(asked * (1.0 - slipped * p.side), tick)
    fee, gain = qty * paid * fee_rate, (paid - p.entry) * qty * p.side
    account.balance += gain - fee
    p.pnl += gain
    p.fees += fee
    p.slippage += (asked - paid) * qty * p.side if slipped > 0.0 else 0.0
    p.exit_value += qty * paid
    p.qty -= qty


@njit(**UNCOUNTED)
def liquidate(p: Any, account: Any, qty: float, spec: Any) -> None:
    """Close `qty` at the liquidation price. With isolated margin the fee is at most what is left of the margin."""
    left = (p.entry / p.leverage + (p.liquidation - p.entry) * p.side) / p.liquidation
    leave(p, account, qty, p.liquidation, 0.0, spec.tick, min(spec.taker + spec.liquidation_fee, max(0.0, left)))


@njit(**UNCOUNTED)
def record(trade: Any, p: Any, s: int, row: int, reason: int) -> None:
    """Write a closed position down and leave its place empty."""
    trade.symbol, trade.side, trade.reason, trade.tps, trade.is_ambiguous = s, p.side, reason, p.tps, p.is_ambiguous
    trade.decided, trade.entered, trade.left = p.decided, p.entered, row
    trade.entry, trade.exit, trade.qty, trade.leverage = p.entry, p.exit_value / p.qty_opened, p.qty_opened, p.leverage
    trade.stop, trade.tp1, trade.fees, trade.slippage, trade.funding = p.initial_stop, p.tp1, p.fees, p.slippage, p.funding
    trade.pnl = p.pnl - p.fees + p.funding
    p.qty = p.margin = 0.0
