"""Requirement R2: how much to open. Floats, because backtest and live share it; the venue edge quantises to Decimal steps.

Fixed fractional sizing: the loss at the stop, costs included, is at most `risk_per_trade_pct` of equity
(R. Vince, The Mathematics of Money Management, 1992, ch. 1), bounded by the margin and leverage caps of the profile.
"""

from math import ceil, floor
from typing import NamedTuple

from exchanges.compiled import njit


class Size(NamedTuple):
    """`qty` in base coins (0.0: nothing fits), `leverage` whole, `margin` = qty * entry / leverage in quote currency."""

    qty: float
    leverage: int
    margin: float


@njit(cache=True)
def fixed_fractional(
    equity: float,
    entry: float,
    stop: float,
    risk_pct: float,
    max_margin_pct: float,
    max_leverage: int,
    stop_cost_pct: float,
    step_size: float,
    min_notional: float,
) -> Size:
    """Quantity, leverage and margin of one position.

    The leverage is the least whole number that fits the notional into the margin cap. Leverage is also kept so low that the
    liquidation price stays beyond the stop: the stop's distance plus 1 % must fit in 1/leverage.
    """
    if equity <= 0.0 or entry <= 0.0 or entry == stop:
        return Size(0.0, 1, 0.0)
    distance = abs(entry - stop) / entry
    loss_per_notional = distance + stop_cost_pct / 100.0
    notional = equity * risk_pct / 100.0 / loss_per_notional
    safe_leverage = max(1, min(max_leverage, floor(1.0 / (distance + 0.01))))
    margin_cap = equity * max_margin_pct / 100.0
    notional = min(notional, margin_cap * safe_leverage)
    qty = floor(notional / entry / step_size + 1e-9) * step_size
    notional = qty * entry
    if qty <= 0.0 or notional < min_notional:
        return Size(0.0, 1, 0.0)
    leverage = max(1, min(safe_leverage, ceil(notional / margin_cap - 1e-9)))
    return Size(qty, leverage, notional / leverage)


@njit(cache=True)
def fixed_notional(
    equity: float, entry: float, notional_pct: float, max_margin_pct: float, max_leverage: int, step_size: float, min_notional: float
) -> Size:
    """A position of `notional_pct` of equity, whatever its stop, with the least whole leverage that fits it into the margin cap."""
    if equity <= 0.0 or entry <= 0.0:
        return Size(0.0, 1, 0.0)
    margin_cap = equity * max_margin_pct / 100.0
    notional = min(equity * notional_pct / 100.0, margin_cap * max_leverage)
    qty = floor(notional / entry / step_size + 1e-9) * step_size
    notional = qty * entry
    if qty <= 0.0 or notional < min_notional:
        return Size(0.0, 1, 0.0)
    leverage = max(1, min(max_leverage, ceil(notional / margin_cap - 1e-9)))
    return Size(qty, leverage, notional / leverage)
