"""The paper venue: fills at the market's newest price plus slippage and fee. Its acceptance IS our commit of the fill, so nothing can be accepted and forgotten."""

from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from typing import Any

from exchanges import precision
from exchanges.models import Fill, Market, Order
from exchanges.ports import VenueFill, VenueRefused


class PaperVenue:
    """exchanges.ports.TradingVenue for market orders. `latest_tick(market)` gives the newest price (price, ts_ms) or None.

    A price of zero or one that is not a number is no price: nothing is ever filled at it.
    """

    def __init__(self, latest_tick: Callable[[Market], Any]) -> None:
        self._latest_tick = latest_tick

    def is_ready(self, order: Order) -> bool:
        """An entry waits for the first price after its deciding bar has closed: it may not be filled inside that bar."""
        tick = self._priced(order.market)
        return tick is not None and tick.ts_ms >= order.plan.get("decided_ms", 0)

    def place(self, order: Order) -> list[VenueFill]:
        tick = self._priced(order.market)
        if tick is None:
            # Not VenueUnavailable: nothing was accepted, and this venue knows it.
            raise VenueRefused(f"no_price: there is no price for {order.market.symbol}")
        costs = order.market.costs
        price = precision.to_tick(precision.exact(costs.slipped(tick.price, buys=order.side == "buy")), order.market.tick_size)
        if order.plan and not _is_between(price, order.plan):
            raise VenueRefused(f"price_moved: the fill at {price.normalize():f} would not be between the stop and TP1")
        fee = precision.money(order.qty * price * precision.exact(costs.fee_rate(maker=False)))
        return [VenueFill(f"paper-{order.client_order_id}", order.qty, price, fee, False, tick.ts_ms)]

    def find(self, order: Order) -> list[VenueFill] | None:
        """Looks at what was committed; None proves that nothing was."""
        rows = Fill.objects.filter(order=order).order_by("pk")
        found = [
            VenueFill(row.venue_trade_id, row.qty, row.price, row.fee, row.liquidity == "maker", round(row.at.timestamp() * 1000))
            for row in rows
        ]
        return found or None

    def _priced(self, market: Market) -> Any:
        tick = self._latest_tick(market)
        return tick if tick is not None and isfinite(tick.price) and tick.price > 0.0 else None


def _is_between(price: Decimal, plan: dict[str, Any]) -> bool:
    low, high = sorted((precision.exact(plan["stop"]), precision.exact(plan["tp1"])))
    return low < price < high
