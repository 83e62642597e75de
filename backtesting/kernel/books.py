"""What changes the books: prices as they are really paid, fees, slippage, funding, and a closed position written down."""

from math import sqrt
from typing import Any

import numpy as np

from exchanges.compiled import UNCOUNTED, njit
from exchanges.risk.liquidation import liquidation_price

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
def slippage(bar: Any, rules: Any, notional: float) -> float:
    """The fraction by which what takes liquidity in a bar pays more."""
    rate = rules.slippage
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
def tier_of(tiers: Any, first: int, last: int, notional: float) -> int:
    """The last of the tiers first to last - 1 whose floor is not above the notional; the first when all are."""
    tier = first
    while tier + 1 < last and tiers[tier + 1].floor <= notional:
        tier += 1
    return tier


@njit(**UNCOUNTED)
def liquidated_at(spec: Any, tiers: Any, side: int, entry: float, qty: float, leverage: int) -> float:
    """The liquidation price by the maintenance tier that the notional is in at that price; 0.0 where there is none.

    Begins with the tier of the entry and goes on with the one that its answer lies in. Where deductions join the tiers to a line without
    steps that is Newton's method on a bent line, which ends; without them it ends after as many rounds as there are tiers.
    """
    first, last = spec.tier_first, spec.tier_last
    if first == last:
        return 0.0
    tier = tier_of(tiers, first, last, qty * entry)
    price = liquidation_price(side, entry, qty, leverage, tiers[tier].rate, tiers[tier].deduction)
    for _ in range(last - first):
        there = tier_of(tiers, first, last, qty * price)
        if there == tier:
            break
        tier = there
        price = liquidation_price(side, entry, qty, leverage, tiers[tier].rate, tiers[tier].deduction)
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
def record(trade: Any, p: Any, s: int, row: int, reason: int) -> None:
    """Write a closed position down and leave its place empty."""
    trade.symbol, trade.side, trade.reason, trade.tps, trade.is_ambiguous = s, p.side, reason, p.tps, p.is_ambiguous
    trade.decided, trade.entered, trade.left = p.decided, p.entered, row
    trade.entry, trade.exit, trade.qty, trade.leverage = p.entry, p.exit_value / p.qty_opened, p.qty_opened, p.leverage
    trade.stop, trade.tp1, trade.fees, trade.slippage, trade.funding = p.initial_stop, p.tp1, p.fees, p.slippage, p.funding
    trade.pnl = p.pnl - p.fees + p.funding
    p.qty = p.margin = 0.0
