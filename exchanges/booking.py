"""What executions mean for orders, positions, the ledger and the balance: each booked once, in one transaction, exact to the last unit."""

from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from django.conf import settings
from django.db import transaction

from exchanges import candles, events, paper_accounts, precision
from exchanges.models import (
    Fill,
    LedgerEntry,
    LedgerKind,
    Liquidity,
    MarketKind,
    Order,
    OrderEvent,
    OrderSide,
    Position,
    PositionSide,
    PositionStatus,
    TradingAccount,
)
from exchanges.order_states import TERMINAL, OrderMove
from exchanges.order_states import move as next_state
from exchanges.ports import EntryPlan, VenueFill
from traderai.lib import clock
from traderai.lib.events import send_after_commit

HOUR_MS = 3_600_000


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
        liquidation_price=_liquidation_price(order, fill.price, 1 if side == PositionSide.LONG else -1),
        mark_price=fill.price,
        marked_at=at,
        last_bar_ms=fill.ts_ms // bar_ms * bar_ms - bar_ms,  # the bar it was filled in is the first one its exits see
        expires_at=clock.from_ms(plan["decided_ms"]) + timedelta(milliseconds=plan["max_hold_ms"]),
        opened_at=at,
    )
    Order.objects.filter(pk=order.pk).update(position=position)
    order.position = position
    _record(account, order, position, fill, "entry")
    _save_position(position)


def _reduce(account: TradingAccount, order: Order, fill: VenueFill) -> None:
    """An exit never takes more than is held: a replay on a flat position books nothing."""
    position = Position.objects.select_for_update(of=("self",)).select_related("market").get(orders=order)
    qty = min(fill.qty, position.qty)
    if qty > 0:
        _catch_up_funding(account, position, fill.ts_ms)
        part = VenueFill(fill.trade_id, qty, fill.price, precision.money(fill.fee * qty / fill.qty), fill.maker, fill.ts_ms)
        leave(account, order, position, part, reason="manual")
        position.mark_price, position.marked_at = fill.price, clock.from_ms(fill.ts_ms)
        _save_position(position)
        paper_accounts.raise_peak(account)


def leave(account: TradingAccount, order: Order, position: Position, fill: VenueFill, *, reason: str) -> None:
    """Book one exit on the objects in hand: realised P&L, fee, quantity, and the end when nothing is left. The caller saves the position."""
    pnl = precision.money((fill.price - position.entry_price) * fill.qty * position.sign)
    position.qty -= fill.qty
    position.realised_pnl += pnl
    _record(account, order, position, fill, reason)
    post(account, position, LedgerKind.PNL, pnl, fill.trade_id, clock.from_ms(fill.ts_ms))
    if position.qty == 0:
        position.status, position.closed_at, position.exit_reason = PositionStatus.CLOSED, clock.from_ms(fill.ts_ms), reason
        send_after_commit(events.position_closed, position_id=position.pk, user_id=account.user_id)


def post(account: TradingAccount, position: Position, kind: str, amount: Decimal, reference: str, at: datetime) -> None:
    """One ledger entry, and the balance that follows from it."""
    LedgerEntry.objects.create(account=account, position=position, kind=kind, amount=amount, reference=reference, at=at)
    account.balance += amount
    account.save(update_fields=["balance"])


def funding_due(position: Position, start_ms: int, end_ms: int) -> list[tuple[int, float]]:
    """[(time, rate)] of the boundaries with start_ms <= time < end_ms, oldest first; a positive rate is paid by longs.

    Where the pair's history reaches, its own boundaries; after the newest stored one (or where a pair has none) the default per full hour,
    which either side pays. A spot market has no funding.
    """
    market, opened_ms = position.market, clock.to_ms(position.opened_at)
    stored = candles.funding(market, start_ms=max(start_ms, opened_ms), end_ms=end_ms)
    due = list(zip(stored.timestamp.tolist(), stored.rate.tolist(), strict=True))
    if market.kind == MarketKind.PERPETUAL:
        newest = candles.last_funding_ms(market) or 0
        hourly = position.sign * market.costs.funding_bps_per_hour * 1e-4
        first = -(-max(start_ms, opened_ms + 1, newest + 1) // HOUR_MS) * HOUR_MS
        due += [(at, hourly) for at in range(first, end_ms, HOUR_MS)]
    return sorted(due)


def charge_funding(account: TradingAccount, position: Position, at_ms: int, rate: float, price: float) -> None:
    """Longs pay shorts when the rate is positive, on what is held at that moment, once per boundary. The caller saves the position."""
    reference = f"funding:{position.pk}:{at_ms}"
    if LedgerEntry.objects.filter(account=account, kind=LedgerKind.FUNDING, reference=reference).exists():
        return
    amount = precision.money(-position.sign * position.qty * precision.exact(price) * precision.exact(rate))
    post(account, position, LedgerKind.FUNDING, amount, reference, clock.from_ms(at_ms))
    position.funding += amount


def _catch_up_funding(account: TradingAccount, position: Position, until_ms: int) -> None:
    """What fell due since the last bar that was managed: whoever leaves between two bars has held until now, and pays like anybody else."""
    market, bar_ms = position.market, candles.length_ms(settings.BASE_TIMEFRAME)
    for at_ms, rate in funding_due(position, position.last_bar_ms + bar_ms, until_ms + 1):
        before = candles.read(market, settings.BASE_TIMEFRAME, end_ms=at_ms, last=1)
        charge_funding(account, position, at_ms, rate, float(before.close[-1]) if len(before) else float(position.entry_price))


def _record(account: TradingAccount, order: Order, position: Position, fill: VenueFill, reason: str) -> None:
    Fill.objects.create(
        order=order,
        account=account,
        position=position,
        venue_trade_id=fill.trade_id,
        side=order.side,
        qty=fill.qty,
        price=fill.price,
        fee=fill.fee,
        liquidity=Liquidity.MAKER if fill.maker else Liquidity.TAKER,
        reason=reason,
        at=clock.from_ms(fill.ts_ms),
    )
    position.fees += fill.fee
    post(account, position, LedgerKind.FEE, -fill.fee, fill.trade_id, clock.from_ms(fill.ts_ms))


def _settle(order: Order) -> None:
    """The order's own figures from its fills, and its last move."""
    rows = list(Fill.objects.filter(order=order))
    filled = sum((row.qty for row in rows), Decimal(0))
    if filled == 0:
        move(order, OrderMove.EXPIRE if order.state == "sending" else OrderMove.CANCEL, reason="Nothing was left to close.")
        return
    order.filled_qty = filled
    order.avg_price = precision.money(sum((row.qty * row.price for row in rows), Decimal(0)) / filled)
    order.save(update_fields=["filled_qty", "avg_price"])
    # A reduce-only order ends with what there was to reduce.
    move(order, OrderMove.FILL_ALL if filled == order.qty or order.reduce_only else OrderMove.FILL_PART)


def _save_position(position: Position) -> None:
    position.version += 1
    position.save()
    send_after_commit(events.position_changed, position_id=position.pk, user_id=position.account.user_id)


def _liquidation_price(order: Order, entry: Decimal, sign: int) -> Decimal | None:
    """Isolated margin: entry * (1 - sign * (1/leverage - maintenance)). None where it cannot be reached."""
    if order.market.kind == MarketKind.SPOT:
        return None
    room = Decimal(1) / order.leverage - precision.exact(order.market.maintenance_margin_pct) / 100
    price = entry * (1 - sign * room)
    return precision.to_tick(price, order.market.tick_size) if price > 0 else None
