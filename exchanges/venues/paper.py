"""The paper venue: fills at the market's newest price plus slippage and fee. Its acceptance IS our commit of the fill, so nothing can be accepted and forgotten."""

from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple

from exchanges import precision
from exchanges.models import Fill, Market, Order
from exchanges.ports import VenueFill, VenueRefused
from traderai.lib import clock


class Price(NamedTuple):
    """A price and the moment of it."""

    price: float
    ts_ms: int


class PaperVenue:
    """exchanges.ports.TradingVenue for market orders. `latest_tick(market)` gives the newest price (price, ts_ms) or None.

    A price of zero or one that is not a number is no price: nothing is ever filled at it.
    """

    def __init__(self, latest_tick: Callable[[Market], Any]) -> None:
        self._latest_tick = latest_tick

    def is_ready(self, order: Order) -> bool:
        """An entry waits for the first price after its deciding bar has closed: it may not be filled inside that bar."""
        return self._price(order) is not None

    def place(self, order: Order) -> list[VenueFill]:
        now = self._price(order)
        if now is None:
            # Not VenueUnavailable: nothing was accepted, and this venue knows it.
            raise VenueRefused(f"no_price: there is no price for {order.market.symbol}")
        costs = order.market.costs
        price = precision.to_tick(precision.exact(costs.slipped(now.price, buys=order.side == "buy")), order.market.tick_size)
        if order.plan and not _is_between(price, order.plan):
            raise VenueRefused(f"price_moved: the fill at {price.normalize():f} would not be between the stop and TP1")
        fee = precision.money(order.qty * price * precision.exact(costs.fee_rate(maker=False)))
        return [VenueFill(f"paper-{order.client_order_id}", order.qty, price, fee, False, now.ts_ms)]

    def find(self, order: Order) -> list[VenueFill] | None:
        """Looks at what was committed; None proves that nothing was."""
        rows = Fill.objects.filter(order=order).order_by("pk")
        found = [
            VenueFill(row.venue_trade_id, row.qty, row.price, row.fee, row.liquidity == "maker", round(row.at.timestamp() * 1000))
            for row in rows
        ]
        return found or None

    def _price(self, order: Order) -> Price | None:
        """The newest price this order may be filled at. What its position was last valued at counts too, so that a way out does not
        depend on the feed of ticks and is never filled at a price from before the entry."""
        tick = self._latest_tick(order.market)
        known = [] if tick is None else [Price(tick.price, tick.ts_ms)]
        if order.position is not None:
            known.append(Price(float(order.position.mark_price), clock.to_ms(order.position.marked_at)))
        newest = max(known, key=lambda price: price.ts_ms, default=None)
        if newest is None or newest.ts_ms < order.plan.get("decided_ms", 0):
            return None
        return newest if isfinite(newest.price) and newest.price > 0.0 else None


def _is_between(price: Decimal, plan: dict[str, Any]) -> bool:
    low, high = sorted((precision.exact(plan["stop"]), precision.exact(plan["tp1"])))
    return low < price < high
