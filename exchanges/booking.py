"""What executions mean for orders, positions, the ledger and the balance: each booked once, in one transaction, exact to the last unit."""

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from django.conf import settings
from django.db import transaction

from exchanges import candles, events, ledger, paper_accounts, positions, precision
from exchanges.models import (
    Fill,
    Order,
    OrderEvent,
    OrderSide,
    Position,
    PositionSide,
    TradingAccount,
)
from exchanges.order_states import TERMINAL, OrderMove
from exchanges.order_states import move as next_state
from exchanges.ports import EntryPlan, VenueFill
from exchanges.risk.liquidation import price_by_tiers, rows_of
from traderai.lib import clock
from traderai.lib.events import send_after_commit


def exit_reason(order: Order) -> str:
    """Who wanted a position closed: the first word of the exit's origin, "manual" or "flatten"."""
    return order.origin.partition(":")[0]


def plan_to_json(plan: EntryPlan) -> dict[str, Any]:
    """The plan as an order row keeps it; what is not a finite number becomes null, which JSON can hold (the gate refuses such plans)."""
    values = {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in asdict(plan).items()}
    return {**values, "shares": [share if isfinite(share) else None for share in plan.shares]}


def move(order: Order, event: OrderMove, *, reason: str = "") -> bool:
    """Compare-and-set one step of the order's life. False when somebody else has moved it. Raises IllegalMove."""
    state = next_state(order.state, event)  # type: ignore[arg-type]
    changes: dict[str, Any] = {"state": state, "version": order.version + 1}
    if reason:
        changes["reason"] = reason
    if event == OrderMove.CLAIM:
        changes["sent_at"] = clock.now()
    if state in TERMINAL:
        changes["done_at"] = clock.now()
    with transaction.atomic():
        if not Order.objects.filter(pk=order.pk, version=order.version, state=order.state).update(**changes):
            return False
        OrderEvent.objects.create(order=order, move=event, state=state, detail={"reason": reason} if reason else {})
    for name, value in changes.items():
        setattr(order, name, value)
    return True


@transaction.atomic
def book_fills(order: Order, fills: list[VenueFill]) -> bool:
    """Book what the venue told of an order. Telling it again changes nothing.

    False, and nothing is booked, when somebody else has moved the order since it was read: the fills then have to be asked for again.
    """
    account = TradingAccount.objects.select_for_update().get(pk=order.account_id)
    if not Order.objects.select_for_update().filter(pk=order.pk, version=order.version, state=order.state).exists():
        return False
    known = set(
        Fill.objects.filter(account=account, venue_trade_id__in=[fill.trade_id for fill in fills]).values_list("venue_trade_id", flat=True)
    )
    for fill in fills:
        if fill.trade_id in known:
            continue
        if order.reduce_only:
            _reduce(account, order, fill)
        else:
            _open(account, order, fill)
    _settle(order)
    return True


def _open(account: TradingAccount, order: Order, fill: VenueFill) -> None:
    market, plan = order.market, order.plan
    at = clock.from_ms(fill.ts_ms)
    side = PositionSide.LONG if order.side == OrderSide.BUY else PositionSide.SHORT
    tick = market.tick_size

    def price(name: str) -> Decimal:
        return precision.to_tick(precision.exact(plan[name]), tick)

    bar_ms = candles.length_ms(settings.BASE_TIMEFRAME)
    position = Position.objects.create(
        account=account,
        market=market,
        origin=order.origin,
        side=side,
        leverage=order.leverage,
        qty_opened=fill.qty,
        qty=fill.qty,
        entry_price=fill.price,
        margin=precision.money(fill.qty * fill.price / order.leverage),
        initial_stop=price("stop"),
        stop_price=price("stop"),
        tp1=price("tp1"),
        tp2=price("tp2"),
        tp3=price("tp3"),
        trail_distance=precision.exact(plan["trail_distance"]),
        best_price=fill.price,
        liquidation_price=_liquidation_price(order, fill, 1 if side == PositionSide.LONG else -1),
        mark_price=fill.price,
        marked_at=at,
        last_bar_ms=fill.ts_ms // bar_ms * bar_ms - bar_ms,  # the bar it was filled in is the first one its exits see
        expires_at=clock.from_ms(plan["decided_ms"]) + timedelta(milliseconds=plan["max_hold_ms"]),
        opened_at=at,
    )
    Order.objects.filter(pk=order.pk).update(position=position)
    order.position = position
    ledger.record(account, order, position, fill, "entry")
    _save_position(position)


def _reduce(account: TradingAccount, order: Order, fill: VenueFill) -> None:
    """An exit never takes more than is held: a replay on a flat position books nothing.

    Bars that had closed by then and were not seen yet come first, as they would have at a venue: a stop they hit has left before this exit.
    """
    position = Position.objects.select_for_update(of=("self",)).select_related("market__venue").get(orders=order)
    position.account = account
    positions.catch_up(account, position, fill.ts_ms)
    qty = min(fill.qty, position.qty)
    if qty > 0:
        ledger.charge_funding_until(account, position, fill.ts_ms)
        part = VenueFill(fill.trade_id, qty, fill.price, precision.money(fill.fee * qty / fill.qty), fill.maker, fill.ts_ms)
        ledger.leave(account, order, position, part, reason=exit_reason(order))
        position.mark_price, position.marked_at = fill.price, clock.from_ms(fill.ts_ms)
        _save_position(position)
        paper_accounts.raise_peak(account)


def _settle(order: Order) -> None:
    """The order's own figures from its fills, and its last move."""
    rows = list(Fill.objects.filter(order=order))
    filled = sum((row.qty for row in rows), Decimal(0))
    if filled == 0:
        move(order, OrderMove.EXPIRE if order.state == "sending" else OrderMove.CANCEL, reason=_why_nothing(order))
        return
    order.filled_qty = filled
    order.avg_price = precision.money(sum((row.qty * row.price for row in rows), Decimal(0)) / filled)
    order.save(update_fields=["filled_qty", "avg_price"])
    # A reduce-only order ends with what there was to reduce.
    move(order, OrderMove.FILL_ALL if filled == order.qty or order.reduce_only else OrderMove.FILL_PART)


def _why_nothing(order: Order) -> str:
    position = Position.objects.filter(orders=order).first()
    left_by = f": the position had been closed by {position.exit_reason}" if position and position.exit_reason else ""
    return f"Nothing was left to close{left_by}."


def _save_position(position: Position) -> None:
    position.version += 1
    position.save()
    send_after_commit(events.position_changed, position_id=position.pk, user_id=position.account.user_id)


def _liquidation_price(order: Order, fill: VenueFill, sign: int) -> Decimal | None:
    """Of a position with isolated margin, by its market's maintenance tiers. None where it cannot be reached."""
    tiers = order.market.tiers
    price = price_by_tiers(rows_of(tiers), 0, len(tiers), sign, float(fill.price), float(fill.qty), order.leverage)
    return precision.to_tick(precision.exact(price), order.market.tick_size) if price > 0.0 else None
