"""Maintenance margin by the size of a position, as venues publish it."""

from collections.abc import Sequence
from typing import NamedTuple


class Tier(NamedTuple):
    """Maintenance margin from a notional of `floor` on: `rate` of it less `deduction`, in quote currency."""

    floor: float
    rate: float
    deduction: float = 0.0


def joined(steps: Sequence[tuple[float, float]]) -> tuple[Tier, ...]:
    """Tiers of (floor, rate), ascending, with the deductions that join them without a step, as venues publish them (Binance's `cum`)."""
    tiers: list[Tier] = []
    for floor, rate in steps:
        before = tiers[-1] if tiers else Tier(0.0, rate)
        tiers.append(Tier(floor, rate, before.deduction + floor * (rate - before.rate)))
    return tuple(tiers)
