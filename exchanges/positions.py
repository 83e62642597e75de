"""Managing open positions: each closed bar goes through exchanges.exits.step once, in order, exactly as in the backtest.

Restart-safe: the row remembers the last bar it has seen, ids of exits and funding derive from position and bar, and a version guards the row.
"""

from math import isfinite

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Min

from exchanges import candles, events, exits, funding, ledger, paper_accounts, precision, streams
from exchanges.exits import ExitFill, ExitPlan, ExitState
from exchanges.models import Market, Order, OrderEvent, OrderSide, OrderType, Position, TradingAccount, new_client_order_id
from exchanges.order_states import OrderMove, OrderState
from exchanges.ports import DEFAULT_SHARES, CandleFrame, VenueFill
from traderai.lib import clock
from traderai.lib.events import send_after_commit

log = structlog.get_logger(__name__)


def on_bar(market_id: int) -> int:
    """Carry every open position of the market through the closed bars it has not seen. Returns the number of positions that were touched."""
    market = Market.objects.select_related("venue").get(pk=market_id)
    newest = candles.last_open_ms(market, settings.BASE_TIMEFRAME) or 0
    touched, failed = 0, []
    for position in Position.objects.filter(market=market, last_bar_ms__lt=newest).open().order_by("pk"):
        try:
            touched += _carry(position)
        except Exception as error:  # other traders' stops do not wait for one broken row
            log.exception("position not managed", position=position.pk)
            failed.append(error)
    if failed:
        raise failed[0]
    return touched


def waiting() -> list[int]:
    """Markets with an open position that has not seen their newest closed bar: what a lost message left is found here."""
    seen_ms = Position.objects.open().values("market_id").annotate(seen=Min("last_bar_ms")).values_list("market_id", "seen")
    oldest = dict(seen_ms)
    markets = Market.objects.filter(pk__in=oldest).order_by("pk")
    return [market.pk for market in markets if (candles.last_open_ms(market, settings.BASE_TIMEFRAME) or 0) > oldest[market.pk]]


def mark(market_id: int, price: float, ts_ms: int) -> int:
    """Value the market's open positions at a price between two bars, so that pages and the risk gate see what they are worth now.

    Returns how many. A price that is none (zero, not a number) or older than what is known changes nothing.
    """
    if not (isfinite(price) and price > 0.0):
        return 0
    at = clock.from_ms(ts_ms)
    rows = Position.objects.filter(market_id=market_id, marked_at__lt=at).open()
    return rows.update(mark_price=precision.money(precision.exact(price)), marked_at=at)


def mark_all() -> int:
    """Value every open position at its market's newest price. Returns how many changed."""
    markets = Market.objects.filter(pk__in=Position.objects.open().values("market_id")).order_by("pk")
    ticks = [tick for tick in map(streams.latest_tick, markets) if tick is not None]
    return sum(mark(tick.market_id, tick.price, tick.ts_ms) for tick in ticks)


def catch_up(account: TradingAccount, position: Position, until_ms: int | None = None) -> bool:
    """Step a position through the closed bars it has not seen: all of them, or those closed by `until_ms`. False when there were none.

    The caller holds the rows of the account and the position.
    """
    bar_ms = candles.length_ms(settings.BASE_TIMEFRAME)
    end_ms = None if until_ms is None else until_ms - bar_ms + 1
    fresh = candles.read(position.market, settings.BASE_TIMEFRAME, start_ms=position.last_bar_ms + 1, end_ms=end_ms)
    if not position.is_open or not len(fresh):
        return False
    due, plan, state = _funding(position, fresh), _plan(position), _state(position)
    paying = funding.paying_bar(due.timestamp, fresh.timestamp, bar_ms)
    prices = ledger.funding_prices(position.market, due, fresh.open[paying])
    for row in range(len(fresh)):
        bar = fresh.slice(row, row + 1)
        for number in (paying == row).nonzero()[0].tolist():
            ledger.charge_funding(account, position, due, number, float(prices[number]))
        state = _one_bar(account, position, plan, state, bar)
        position.last_bar_ms = int(bar.timestamp[0])
        if not position.is_open:
            break
    _save(account, position, state)
    return True


@transaction.atomic
def _carry(found: Position) -> bool:
    account = TradingAccount.objects.select_for_update().get(pk=found.account_id)
    position = Position.objects.select_for_update(of=("self",)).select_related("market__venue").get(pk=found.pk)
    position.account = account
    return catch_up(account, position)


def _one_bar(account: TradingAccount, position: Position, plan: ExitPlan, state: ExitState, bar: CandleFrame) -> ExitState:
    """One step of the shared exit logic, and the booking of what it says."""
    open_ms, remaining = int(bar.timestamp[0]), state.remaining
    prices = (float(column[0]) for column in (bar.open, bar.high, bar.low, bar.close))
    state, count, *fills = exits.step(plan, state, open_ms, *prices)
    for number, fill in enumerate(fills[:count], start=1):
        remaining = 0.0 if number == count and state.remaining <= 0.0 else remaining - fill.share
        _exit(account, position, fill, remaining=remaining, key=f"exit:{position.pk}:{open_ms}:{number}", at_ms=open_ms)
    closed_at = clock.from_ms(open_ms + candles.length_ms(bar.timeframe))
    if closed_at >= position.marked_at:  # a price from after this bar may have been marked already
        position.mark_price, position.marked_at = precision.exact(float(bar.close[0])), closed_at
    return state


def _exit(account: TradingAccount, position: Position, fill: ExitFill, *, remaining: float, key: str, at_ms: int) -> None:
    """Book one exit as an order of its own, after which the share `remaining` is still open. What is too small leaves with the next exit."""
    market = position.market
    # Venues let an order that only closes be as small as a step; where one pays in full every order has to be worth the minimum.
    least = float(market.min_notional) / fill.price if market.is_cash else 0.0
    left = exits.slice_qty(float(position.qty_opened), float(position.qty), remaining, float(market.step_size), least)
    qty = position.qty if remaining <= 0.0 else min(position.qty, precision.nearest_step(left, market.step_size))
    if qty <= 0:
        return
    costs = market.costs
    raw = fill.price if fill.maker or fill.reason == exits.LIQUIDATION else costs.slipped(fill.price, buys=not position.is_long)
    price = precision.to_tick(precision.exact(raw), market.tick_size)
    fee = precision.money(qty * price * precision.exact(costs.fee_rate(maker=fill.maker)))
    order = Order.objects.create(
        account=account,
        market=market,
        position=position,
        origin=key,
        client_order_id=new_client_order_id(),
        side=OrderSide.SELL if position.is_long else OrderSide.BUY,
        order_type=OrderType.LIMIT if fill.maker else OrderType.MARKET,
        price=price if fill.maker else None,
        reduce_only=True,
        qty=qty,
        filled_qty=qty,
        avg_price=price,
        leverage=position.leverage,
        state=OrderState.FILLED,
        done_at=clock.now(),
    )
    reason = exits.REASONS[fill.reason]
    OrderEvent.objects.create(order=order, move=OrderMove.FILL_ALL, state=order.state, detail={"reason": reason})
    ledger.leave(account, order, position, VenueFill(key, qty, price, fee, fill.maker, at_ms), reason=reason)


def _plan(position: Position) -> ExitPlan:
    shares = _entry_shares(position)
    return ExitPlan(
        side=position.sign,
        entry=float(position.entry_price),
        stop=float(position.initial_stop),
        tp1=float(position.tp1),
        tp2=float(position.tp2),
        tp3=float(position.tp3),
        share1=shares[0],
        share2=shares[1],
        share3=shares[2],
        trail=float(position.trail_distance),
        liquidation=float(position.liquidation_price or 0.0),
        deadline_ms=clock.to_ms(position.expires_at),
    )


def _state(position: Position) -> ExitState:
    return ExitState(
        remaining=1.0 - sum(_entry_shares(position)[: position.tps_hit]),
        stop=float(position.stop_price),
        tps_hit=position.tps_hit,
        best=float(position.best_price),
    )


def _entry_shares(position: Position) -> tuple[float, float, float]:
    """The ladder's shares as the entry order had them."""
    entry = Order.objects.filter(account_id=position.account_id, origin=position.origin).only("plan").first()
    shares = entry.plan.get("shares") if entry else None
    return (shares[0], shares[1], shares[2]) if shares else DEFAULT_SHARES


def _funding(position: Position, frame: CandleFrame) -> funding.Due:
    """What falls due from the last bar seen to the end of the frame."""
    bar_ms = candles.length_ms(frame.timeframe)
    return ledger.funding_due(position, position.last_bar_ms + bar_ms, int(frame.timestamp[-1]) + bar_ms)


def _save(account: TradingAccount, position: Position, state: ExitState) -> None:
    position.tps_hit = state.tps_hit
    position.stop_price = precision.money(precision.exact(state.stop))
    position.best_price = precision.money(precision.exact(state.best))
    position.version += 1
    position.save()
    paper_accounts.raise_peak(account)
    send_after_commit(events.position_changed, position_id=position.pk, user_id=account.user_id)
