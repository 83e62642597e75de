"""Where a position with isolated margin is liquidated: where its margin falls to what the venue's tier asks for."""

from exchanges.compiled import njit


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
