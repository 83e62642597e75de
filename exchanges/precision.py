"""Prices and quantities as a venue takes them. Decimal in and out; floats enter through `exact`."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

MONEY_STEP = Decimal("1e-10")
"""The ledger's last unit, as the database keeps it."""


def exact(value: float) -> Decimal:
    """The decimal a float is printed as: 0.1 is 0.1, not 0.1000000000000000055."""
    return Decimal(repr(float(value)))


def to_step(qty: Decimal, step: Decimal) -> Decimal:
    """Down to a multiple of the step. Raises ValueError when the step is not positive."""
    if step <= 0:
        raise ValueError(f"step must be positive, not {step}")
    return (qty / step).to_integral_value(ROUND_DOWN) * step


def nearest_step(qty: float, step: Decimal) -> Decimal:
    """The multiple of the step next to a float that was computed to be one."""
    return (exact(qty) / step).to_integral_value(ROUND_HALF_EVEN) * step


def to_tick(price: Decimal, tick: Decimal) -> Decimal:
    """To the nearest tick, and to one tick at least."""
    if tick <= 0:
        raise ValueError(f"tick must be positive, not {tick}")
    return max(tick, (price / tick).to_integral_value(ROUND_HALF_EVEN) * tick)


def money(amount: Decimal) -> Decimal:
    """To the ledger's last unit."""
    return amount.quantize(MONEY_STEP, ROUND_HALF_EVEN)
