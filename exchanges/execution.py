"""Orders: the one risk gate, sending, and finding out. A row is committed before anything leaves; no venue is called inside a transaction.

An outcome nobody knows (a lost reply, a killed worker) is resolved by asking the venue for the client order id, never by sending again.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum

from exchanges import booking, candles, events, exits, precision, streams
from exchanges.models import (
    KillSwitch,
    LedgerEntry,
    LedgerKind,
    Market,
    Order,
    OrderEvent,
    OrderSide,
    OrderType,
    Position,
    Provenance,
    SwitchLevel,
    TradingAccount,
    TradingState,
    new_client_order_id,
)
from exchanges.order_states import TERMINAL, OrderMove, OrderState
from exchanges.ports import EntryPlan, TradingVenue, VenueError, VenueRefused, VenueUnavailable
from exchanges.risk import limits, profiles, sizing
from exchanges.risk.limits import RiskDecision, Snapshot
from exchanges.risk.profiles import RiskProfile
from exchanges.venues import registry
from traderai.lib import clock
from traderai.lib.events import send_after_commit

log = structlog.get_logger(__name__)

SEND_WITHIN = timedelta(minutes=10)
"""An entry that could not be sent by then has lost its moment."""
UNRESOLVED_AFTER = timedelta(seconds=30)
STALE_AFTER_BARS = 2
SWITCH_ORDER = {SwitchLevel.RUN: 0, SwitchLevel.REDUCE_ONLY: 1, SwitchLevel.STOP: 2, SwitchLevel.FLATTEN: 3}
MANUAL, FLATTEN = (exits.REASONS[code] for code in (exits.MANUAL, exits.FLATTEN))
"""Why a position is closed before its plan ends."""
UNKNOWN = (OrderState.UNKNOWN, OrderState.LOST)
STUCK = (OrderState.SENDING, OrderState.UNKNOWN)


def submit(account: TradingAccount, *, market: Market, side: str, origin: str, plan: EntryPlan, risk_profile: str) -> Order:
    """Ask for a position. Returns the stored order, READY or DENIED with the reason; the same (account, origin) always gets the same order.

    Raises UnknownRiskProfile.
    """
    profile = profiles.profile(risk_profile)
    tick = streams.latest_tick(market)
    with transaction.atomic():
        held = TradingAccount.objects.select_for_update(of=("self",)).select_related("venue").get(pk=account.pk)
        existing = Order.objects.filter(account=held, origin=origin).first()
        if existing is not None:
            return existing
        snapshot = _snapshot(held, market, tick)
        decision, size = _decide(snapshot, market, plan, profile, 1 if side == OrderSide.BUY else -1)
        order = _store_entry(held, market, side, origin, plan, decision, size)
        if decision.allowed:
            send_after_commit(events.order_ready, account_id=held.pk)
    return order


def close_position(position: Position, *, reason: str) -> Order | None:
    """Ask for a market exit of what is left; `reason` is MANUAL or FLATTEN. An exit on its way is returned instead of a second one; None
    when the position is flat."""
    with transaction.atomic():
        TradingAccount.objects.select_for_update().get(pk=position.account_id)
        current = Position.objects.select_related("market").get(pk=position.pk)
        if not current.is_open:
            return None
        asked = Order.objects.filter(position=current, reduce_only=True)
        waiting = asked.unsettled().order_by("-pk").first()
        if waiting is not None:
            return waiting
        order = Order.objects.create(
            account_id=current.account_id,
            market=current.market,
            position=current,
            origin=f"{reason}:{current.pk}:{asked.count() + 1}",
            client_order_id=new_client_order_id(),
            side=OrderSide.SELL if current.is_long else OrderSide.BUY,
            order_type=OrderType.MARKET,
            reduce_only=True,
            qty=current.qty,
            leverage=current.leverage,  # and no send_by: an exit that was asked for never lapses
        )
        OrderEvent.objects.create(order=order, move="submit", state=order.state, detail={"reason": reason})
        send_after_commit(events.order_ready, account_id=current.account_id)
    return order


def execute_ready(account_id: int) -> int:
    """Send what waits in READY, oldest first. Returns how many orders reached an end."""
    done = 0
    ready = Order.objects.filter(account_id=account_id, state=OrderState.READY)
    for order in ready.select_related("market__venue", "account__venue").order_by("pk"):
        done += _execute(order)
    return done


def waiting(now: datetime | None = None) -> list[int]:
    """Accounts with work that lost messages and killed workers may have left behind."""
    left = Order.objects.filter(_stuck(now) | Q(state=OrderState.READY)).values_list("account_id", flat=True)
    return sorted({*left, *_to_flatten().values_list("account_id", flat=True)})


def attend(account_id: int, now: datetime | None = None) -> int:
    """Everything one account waits for: find out about orders left behind, close what is to be flattened, send what is READY.

    Returns the number of orders that were asked about or reached an end.
    """
    asked = resolve_stuck(account_id, now)
    for position in _to_flatten().filter(account_id=account_id).order_by("pk"):
        close_position(position, reason=FLATTEN)
    return asked + execute_ready(account_id)


def resolve_stuck(account_id: int, now: datetime | None = None) -> int:
    """Ask the venue about orders whose outcome nobody knows. Returns how many were asked about."""
    stuck = Order.objects.filter(_stuck(now), account_id=account_id)
    orders = list(stuck.select_related("market__venue", "account__venue").order_by("pk"))
    for order in orders:
        _resolve(order)
    return len(orders)


def sweep(now: datetime | None = None) -> int:
    """Do here and now what waits for any account. Returns the number of orders that were asked about or reached an end."""
    return sum(attend(account_id, now) for account_id in waiting(now))


def set_kill_switch(user: Any, level: str, reason: str) -> KillSwitch:
    """Set the user's own kill switch."""
    switch, _ = KillSwitch.objects.update_or_create(user=user, venue=None, defaults={"level": level, "reason": reason})
    return switch


def stop_all(user: Any, *, flatten: bool) -> list[Order]:
    """No new positions for this user from now on; with `flatten` every open one is closed, and every one that an entry already on its
    way still opens. Depends on nothing but the database. Returns the exits that were asked for.

    Entries that have not left are cancelled, so that none of them is sent when the switch is released; orders that close stay.
    """
    with transaction.atomic():
        # Whoever is about to send an entry holds the account's row: either it has left by now, or it will find the switch.
        held = list(TradingAccount.objects.select_for_update().filter(user=user).order_by("pk"))
        flatten = flatten or KillSwitch.objects.filter(user=user, venue=None, level=SwitchLevel.FLATTEN).exists()
        set_kill_switch(user, SwitchLevel.FLATTEN if flatten else SwitchLevel.STOP, "stopped by its owner")
        for order in Order.objects.filter(account__in=held, state=OrderState.READY, reduce_only=False).order_by("pk"):
            booking.move(order, OrderMove.CANCEL, reason="The kill switch was pulled before the order was sent.")
    if not flatten:
        return []
    orders = [close_position(position, reason=FLATTEN) for position in Position.objects.for_user(user).open().order_by("pk")]
    return [order for order in orders if order is not None]


def _stuck(now: datetime | None) -> Q:
    return Q(state__in=STUCK, sent_at__lt=(now or clock.now()) - UNRESOLVED_AFTER)


def _to_flatten() -> QuerySet[Position]:
    """Open positions under a kill switch that flattens, which nothing on its way closes."""
    owner, venue = OuterRef("account__user"), OuterRef("account__venue")
    switches = KillSwitch.objects.filter(Q(user=None) | Q(user=owner), Q(venue=None) | Q(venue=venue), level=SwitchLevel.FLATTEN)
    closing = Order.objects.filter(position=OuterRef("pk"), reduce_only=True).unsettled()
    return Position.objects.open().filter(Exists(switches), ~Exists(closing))


# --- the gate


def _snapshot(account: TradingAccount, market: Market, tick: "streams.Tick | None") -> Snapshot:
    """Read under the account's lock, so that two orders cannot both see the last free place."""
    positions = list(Position.objects.filter(account=account).open())
    entries = Order.objects.filter(account=account, reduce_only=False).unsettled()
    balance = float(account.balance)
    unrealised = float(sum((position.unrealised_pnl for position in positions), Decimal(0)))
    reserved = sum(float(entry.qty) * entry.plan["reference_price"] / entry.leverage for entry in entries)
    now_ms = tick.ts_ms if tick else clock.now_ms()
    day_start = clock.from_ms(now_ms).replace(hour=0, minute=0, second=0, microsecond=0)
    today = (
        LedgerEntry.objects.filter(account=account, at__gte=day_start).exclude(kind=LedgerKind.DEPOSIT).aggregate(sum=Sum("amount"))["sum"]
    )
    is_live = market.provenance == Provenance.VENUE
    oldest_ms = clock.now_ms() - STALE_AFTER_BARS * candles.length_ms(settings.BASE_TIMEFRAME)
    return Snapshot(
        switch=_switch_level(account),
        account_is_active=account.is_active,
        account_state=account.state,
        market_is_active=market.is_active and market.venue.is_active,
        can_short=not market.is_cash,
        is_own_currency=market.quote == account.currency,
        has_unknown=Order.objects.filter(account=account, state__in=UNKNOWN).exists(),
        has_position=any(position.market_id == market.pk for position in positions) or entries.filter(market=market).exists(),
        open_positions=len(positions) + entries.count(),
        equity=balance + unrealised,
        peak_equity=float(account.peak_equity),
        day_start_equity=balance - float(today or 0),
        free_margin=balance + min(0.0, unrealised) - sum(float(position.margin) for position in positions) - reserved,
        price=tick.price if tick else None,
        price_ms=now_ms,
        price_is_stale=is_live and tick is not None and tick.ts_ms < oldest_ms,
    )


def _switch_level(account: TradingAccount) -> str:
    """The strictest level that applies: global, this user's, this venue's, or this user's at this venue."""
    applies = Q(user=None) | Q(user_id=account.user_id)
    applies &= Q(venue=None) | Q(venue_id=account.venue_id)
    levels = [SwitchLevel(level) for level in KillSwitch.objects.filter(applies).values_list("level", flat=True)]
    return max(levels, key=SWITCH_ORDER.__getitem__, default=SwitchLevel.RUN).value


def _decide(snapshot: Snapshot, market: Market, plan: EntryPlan, profile: RiskProfile, sign: int) -> tuple[RiskDecision, sizing.Size]:
    nothing = sizing.Size(0.0, 1, 0.0)
    decision = limits.check_state(snapshot, profile)
    if decision.allowed:
        decision = limits.check_plan(snapshot, plan, sign)
    if not decision.allowed:
        return decision, nothing
    size = sizing.fixed_fractional(
        snapshot.equity,
        plan.reference_price,
        plan.stop,
        profile.risk_per_trade_pct,
        profile.max_margin_pct,
        min(profile.max_leverage, market.max_leverage),
        market.costs.stop_cost_pct(hours=plan.max_hold_ms / 3_600_000),
        float(market.step_size),
        float(market.min_notional),
    )
    return limits.check_size(size.qty, size.margin, snapshot), size


def _store_entry(
    account: TradingAccount, market: Market, side: str, origin: str, plan: EntryPlan, decision: RiskDecision, size: sizing.Size
) -> Order:
    qty = precision.nearest_step(size.qty, market.step_size) if decision.allowed else Decimal(0)
    order = Order.objects.create(
        account=account,
        market=market,
        origin=origin,
        client_order_id=new_client_order_id(),
        side=side,
        order_type=OrderType.MARKET,
        qty=qty,
        leverage=size.leverage,
        plan=booking.plan_to_json(plan),
        risk_amount=precision.money(qty * precision.exact(abs(plan.reference_price - plan.stop))) if decision.allowed else Decimal(0),
        state=OrderState.READY if decision.allowed else OrderState.DENIED,
        reason=decision.reason,
        send_by=clock.now() + SEND_WITHIN,
        done_at=None if decision.allowed else clock.now(),
    )
    OrderEvent.objects.create(order=order, move="submit", state=order.state, detail={"code": decision.code} if decision.code else {})
    return order


# --- sending


def _execute(order: Order) -> bool:
    """Take one READY order to its venue. True when it reached an end."""
    if order.send_by is not None and clock.now() > order.send_by:
        return booking.move(order, OrderMove.EXPIRE, reason="No price came in time; nothing was sent.")
    try:
        driver = _driver(order)
        if not driver.is_ready(order):
            return False
    except VenueError as error:  # nothing was sent, and other accounts' orders are not to wait for this one
        log.warning("order cannot be sent", order=order.pk, reason=str(error))
        return False
    if not _claim(order):
        return order.state in TERMINAL  # otherwise another worker has it
    if connection.in_atomic_block:
        raise RuntimeError("a venue must not be called inside a transaction")
    try:
        fills = driver.place(order)
    except VenueRefused as error:
        return booking.move(order, OrderMove.REFUSE, reason=str(error))
    except VenueUnavailable as error:
        log.warning("order outcome unknown", order=order.pk, reason=str(error))
        booking.move(order, OrderMove.LOSE_TOUCH, reason=str(error))
        return False
    if not booking.book_fills(order, fills):
        # The sweeper has given this worker up meanwhile. The venue has the last word, not what this worker remembers.
        order.refresh_from_db()
        _resolve(order)
    return True


@transaction.atomic
def _claim(order: Order) -> bool:
    """Take the order for this worker, committed before the first byte leaves. Kill switch and account are read in the same transaction."""
    account = TradingAccount.objects.select_for_update().get(pk=order.account_id)
    if not order.reduce_only and _switch_level(account) != SwitchLevel.RUN:
        booking.move(order, OrderMove.EXPIRE, reason="The kill switch was pulled before the order was sent.")
        return False
    if not order.reduce_only and not (account.is_active and account.state == TradingState.ACTIVE):
        booking.move(order, OrderMove.EXPIRE, reason="The account was switched off before the order was sent.")
        return False
    return booking.move(order, OrderMove.CLAIM)


def _resolve(order: Order) -> None:
    """Ask the venue what became of a sent order."""
    if order.state == OrderState.SENDING and not booking.move(order, OrderMove.LOSE_TOUCH, reason="The worker that sent it is gone."):
        return
    try:
        fills = _driver(order).find(order)
    except VenueError as error:
        log.warning("order still unknown", order=order.pk, reason=str(error))
        return
    if fills is None and order.state == OrderState.UNKNOWN:
        _give_back(order)
    elif fills or (fills is not None and order.state == OrderState.UNKNOWN):
        booking.book_fills(order, fills)


@transaction.atomic
def _give_back(order: Order) -> None:
    """The order never arrived. An entry is not sent again, because its moment has passed; a way out is asked for anew at once."""
    TradingAccount.objects.select_for_update().get(pk=order.account_id)
    is_absent = booking.move(order, OrderMove.PROVE_ABSENT, reason="The venue has never seen this order.")
    if is_absent and order.reduce_only and order.position is not None:
        close_position(order.position, reason=booking.exit_reason(order))


def _driver(order: Order) -> TradingVenue:
    return registry.trading(order.account.venue.slug, streams.latest_tick)
