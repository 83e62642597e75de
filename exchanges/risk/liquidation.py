"""Where a position with isolated margin is liquidated: where its margin falls to what the venue's tier asks for."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from exchanges.compiled import UNCOUNTED, njit, records
from exchanges.risk.tiers import Tier

TIER_ROW = np.dtype([("floor", np.float64), ("rate", np.float64), ("deduction", np.float64)])


def rows_of(tiers: Sequence[Tier]) -> Any:
    """Tiers as compiled code takes them."""
    return records(np.array([tuple(tier) for tier in tiers], TIER_ROW))


@njit(cache=True)
def liquidation_price(side: int, entry: float, qty: float, leverage: int, rate: float, deduction: float) -> float:
    """The mark price P at which margin + side (P - entry) qty = rate P qty - deduction (Binance, "How to calculate the liquidation price of
    USD-M futures contracts", one isolated position; OKX and Bybit keep the same books). 0.0 where no price gets there.

    rate and deduction -- of the maintenance tier of the notional: a fraction, and an amount in quote currency (Binance's `cum`)
    """
    if rate <= 0.0:
        return 0.0
    price = (side * entry * qty - entry * qty / leverage - deduction) / (qty * (side - rate))
    return max(0.0, price)


@njit(**UNCOUNTED)
def tier_of(tiers: Any, first: int, last: int, notional: float) -> int:
    """The last of the tiers first to last - 1 whose floor is not above the notional; the first when all are."""
    tier = first
    while tier + 1 < last and tiers[tier + 1].floor <= notional:
        tier += 1
    return tier


@njit(**UNCOUNTED)
def price_by_tiers(tiers: Any, first: int, last: int, side: int, entry: float, qty: float, leverage: int) -> float:
    """The liquidation price by that of the tiers first to last - 1 which the notional is in at that price; 0.0 where there is none.

    Begins with the tier of the entry and goes on with the one that its answer lies in. Where deductions join the tiers to a line without
    steps that is Newton's method on a bent line, which ends; without them it ends after as many rounds as there are tiers.
    """
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
    return price
