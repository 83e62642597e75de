"""A position as it was recorded, in the terms of a simulated one, and what its plan asked for."""

from typing import NamedTuple

import numpy as np

from backtesting.parity.legs import END_OF_DATA, Leg, bar_length, merged
from backtesting.parity.telling import Told, Wanted
from exchanges import funding as funding_rule
from exchanges import ledger, precision
from exchanges.models import Fill, LedgerEntry, LedgerKind, Market, Order, Position
from exchanges.ports import DEFAULT_SHARES, CandleFrame, FundingFrame
from traderai.lib import clock

CENT = 1e-6
"""Money under which two sums are the same, in quote currency."""
LEVELS = ("stop", "tp1", "tp2", "tp3")
SAME_RATE = 0.02
"""A payment that differs by less was of the same rate, on a bar whose open has been corrected."""


class Recorded(NamedTuple):
    """The rows of one position: its entry order, fills by time, and funding payments. decided_ms: the close of the deciding bar; filled_ms:
    the moment of the entry's fill."""

    position: Position
    order: Order
    fills: list[Fill]
    payments: list[LedgerEntry]
    decided_ms: int
    filled_ms: int

    @property
    def market(self) -> Market:
        return self.position.market

    @property
    def exits(self) -> list[Fill]:
        return [fill for fill in self.fills if fill.reason != "entry"]


class Money(NamedTuple):
    """What today's rates make of what was recorded, less what was booked, in quote currency; `boundaries` are the funding payments that differ,
    `charged` the fills of another fee: their reason, the fee booked and today's."""

    funding: float
    fees: float
    boundaries: int
    charged: list[tuple[str, float, float]]


def read(position: Position) -> Recorded | None:
    """From rows that are prefetched (orders, fills, ledger); None where the entry order kept no plan."""
    order = next((order for order in position.orders.all() if not order.reduce_only), None)
    if order is None or order.plan.get("reference_price") is None:
        return None
    fills = sorted(position.fills.all(), key=lambda fill: (fill.at, fill.pk))
    payments = [entry for entry in position.ledger.all() if entry.kind == LedgerKind.FUNDING]
    return Recorded(position, order, fills, payments, int(order.plan["decided_ms"]), clock.to_ms(position.opened_at))


def planned(record: Recorded) -> Wanted:
    """As the order's plan had it, entered at the open of the first bar after the decision."""
    plan, bar_ms = record.order.plan, bar_length()
    stop, tp1, tp2, tp3 = (float(plan[name]) for name in LEVELS)
    shares = plan.get("shares") or DEFAULT_SHARES
    position = record.position
    return Wanted(
        position.sign,
        float(position.qty_opened),
        position.leverage,
        float(plan["reference_price"]),
        stop,
        tp1,
        tp2,
        tp3,
        float(plan["trail_distance"]),
        (shares[0], shares[1], shares[2]),
        -(-record.decided_ms // bar_ms) * bar_ms,
        clock.to_ms(position.expires_at),
    )


def opened(record: Recorded) -> Wanted:
    """As it was opened: the levels of its row, from the bar it was filled in."""
    position = record.position
    stop, tp1, tp2, tp3 = (float(price) for price in (position.initial_stop, position.tp1, position.tp2, position.tp3))
    first_ms = record.filled_ms // bar_length() * bar_length()
    return planned(record)._replace(stop=stop, tp1=tp1, tp2=tp2, tp3=tp3, trail=float(position.trail_distance), first_ms=first_ms)


def told(record: Recorded, last_close: float) -> Told:
    """What was booked. What is open is valued as if it left at `last_close`, with slippage and a taker's fee, as the simulation's end does."""
    position, costs = record.position, record.market.costs
    value = sum(float(fill.qty * fill.price) for fill in record.exits)
    legs = [Leg(fill.reason, clock.to_ms(fill.at), float(fill.qty), float(fill.price), float(fill.fee)) for fill in record.exits]
    fees, gross, left_ms = float(position.fees), float(position.realised_pnl), position.last_bar_ms
    if position.is_open:
        raw = costs.slipped(last_close, buys=not position.is_long)
        price = precision.to_tick(precision.exact(raw), record.market.tick_size)
        fee = float(position.qty * price) * costs.fee_rate(maker=False)
        legs.append(Leg(END_OF_DATA, left_ms, float(position.qty), float(price), fee))
        value += float(position.qty * price)
        gross += float((price - position.entry_price) * position.qty) * position.sign
        fees += fee
    elif position.closed_at is not None:
        left_ms = clock.to_ms(position.closed_at) // bar_length() * bar_length()
    return Told(
        record.filled_ms // bar_length() * bar_length(),
        left_ms,
        float(position.entry_price),
        value / float(position.qty_opened),
        position.tps_hit,
        END_OF_DATA if position.is_open else position.exit_reason,
        fees,
        float(position.funding),
        gross - fees + float(position.funding),
        merged(legs),
    )


def revalued(record: Recorded, frame: CandleFrame, funding: FundingFrame) -> Money:
    """What today's fee rates and funding would have made of the recorded fills. frame: the bars from that of the entry on."""
    owed = _owed(record, frame, funding)
    paid = {entry.reference: float(entry.amount) for entry in record.payments}
    differing = [name for name in owed.keys() | paid.keys() if not np.isclose(owed.get(name, np.nan), paid.get(name, np.nan), SAME_RATE)]
    costs = record.market.costs
    fees = [
        (fill.reason, float(fill.fee), float(fill.qty * fill.price) * costs.fee_rate(maker=fill.liquidity == "maker"))
        for fill in record.fills
    ]
    charged = [fee for fee in fees if abs(fee[2] - fee[1]) > CENT]
    boundaries = len({name.split(":")[2] for name in differing})
    owed_now = sum(owed.values()) - float(record.position.funding) if boundaries else 0.0
    return Money(owed_now, sum(today - booked for _, booked, today in fees), boundaries, charged)


def _owed(record: Recorded, frame: CandleFrame, funding: FundingFrame) -> dict[str, float]:
    """By reference of the ledger what today's rates ask of the quantity that was held, up to its end or the last bar that was managed."""
    position, market, bar_ms = record.position, record.market, bar_length()
    end_ms = clock.to_ms(position.closed_at) + 1 if position.closed_at else position.last_bar_ms + bar_ms
    due = funding_rule.due(funding, start_ms=record.filled_ms + 1, end_ms=end_ms, hourly_cost=market.default_funding)
    paying = funding_rule.paying_bar(due.timestamp, frame.timestamp, bar_ms)
    prices = np.append(frame.open, frame.close[-1] if len(frame) else float(position.mark_price))  # of what no bar follows: the last close
    paid_at = ledger.funding_prices(market, due, prices[paying])
    owed = {}
    for at_ms, rate, cost, price in zip(due.timestamp.tolist(), due.rate.tolist(), due.cost.tolist(), paid_at.tolist(), strict=True):
        gone = sum(float(fill.qty) for fill in record.exits if clock.to_ms(fill.at) < at_ms)
        notional = (float(position.qty_opened) - gone) * price
        owed[f"funding:{position.pk}:{at_ms}{':default' if cost else ''}"] = -notional * (position.sign * rate + cost)
    return owed
