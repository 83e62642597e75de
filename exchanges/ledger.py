"""Money: each fill, fee and funding payment is booked once, and the balance is the ledger's sum to the last unit.

Every function here works on rows whose account the caller holds locked.
"""

from datetime import datetime
from decimal import Decimal

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from exchanges import candles, events, funding, precision
from exchanges.funding import Due
from exchanges.models import Fill, LedgerEntry, LedgerKind, Liquidity, Market, Order, Position, PositionStatus, TradingAccount
from exchanges.ports import FundingFrame, VenueFill
from traderai.lib import clock
from traderai.lib.events import send_after_commit


def post(account: TradingAccount, position: Position, kind: str, amount: Decimal, reference: str, at: datetime) -> None:
    """One ledger entry, and the balance that follows from it."""
    LedgerEntry.objects.create(account=account, position=position, kind=kind, amount=amount, reference=reference, at=at)
    account.balance += amount
    account.save(update_fields=["balance"])


def record(account: TradingAccount, order: Order, position: Position, fill: VenueFill, reason: str) -> None:
    """A fill and its fee."""
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


def leave(account: TradingAccount, order: Order, position: Position, fill: VenueFill, *, reason: str) -> None:
    """Book one exit on the objects in hand: realised P&L, fee, quantity, and the end when nothing is left. The caller saves the position."""
    pnl = precision.money((fill.price - position.entry_price) * fill.qty * position.sign)
    position.qty -= fill.qty
    position.realised_pnl += pnl
    record(account, order, position, fill, reason)
    post(account, position, LedgerKind.PNL, pnl, fill.trade_id, clock.from_ms(fill.ts_ms))
    if position.qty == 0:
        position.status, position.closed_at, position.exit_reason = PositionStatus.CLOSED, clock.from_ms(fill.ts_ms), reason
        send_after_commit(events.position_closed, position_id=position.pk, user_id=account.user_id)


def funding_due(position: Position, start_ms: int, end_ms: int) -> Due:
    """What falls due for this position in start_ms <= time < end_ms: exchanges.funding's rule on what is stored by now."""
    market = position.market
    start_ms = max(start_ms, clock.to_ms(position.opened_at) + 1)
    stored: FundingFrame = candles.funding(market, start_ms=start_ms - funding.LONGEST_INTERVAL_MS, end_ms=end_ms)
    return funding.due(stored, start_ms=start_ms, end_ms=end_ms, hourly_cost=market.default_funding)


def funding_prices(market: Market, due: Due, otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """The price of each row of `due`: exchanges.funding's rule on the mark prices that are stored by now."""
    if not due.timestamp.shape[0]:
        return otherwise
    bar_ms, start_ms, end_ms = candles.length_ms(settings.BASE_TIMEFRAME), int(due.timestamp[0]), int(due.timestamp[-1]) + 1
    marks = candles.read(market, settings.BASE_TIMEFRAME, start_ms=start_ms - bar_ms + 1, end_ms=end_ms, price=candles.MARK)
    return funding.prices(due.timestamp, marks, otherwise, bar_ms)


def charge_funding(account: TradingAccount, position: Position, due: Due, row: int, price: float) -> None:
    """Pay one row of `due`, once, on what is held at that moment. The caller saves the position."""
    at_ms, is_default = int(due.timestamp[row]), bool(due.cost[row])
    reference = f"funding:{position.pk}:{at_ms}{':default' if is_default else ''}"
    if LedgerEntry.objects.filter(account=account, kind=LedgerKind.FUNDING, reference=reference).exists():
        return
    fraction = position.sign * precision.exact(due.rate[row]) + precision.exact(due.cost[row])
    amount = precision.money(-position.qty * precision.exact(price) * fraction)
    post(account, position, LedgerKind.FUNDING, amount, reference, clock.from_ms(at_ms))
    position.funding += amount


def charge_funding_until(account: TradingAccount, position: Position, until_ms: int) -> None:
    """What fell due since the last bar that was managed: whoever leaves between two bars has held until now, and pays like anybody else."""
    market, bar_ms = position.market, candles.length_ms(settings.BASE_TIMEFRAME)
    due = funding_due(position, position.last_bar_ms + bar_ms, until_ms + 1)
    closes = [candles.read(market, settings.BASE_TIMEFRAME, end_ms=at_ms, last=1).close for at_ms in due.timestamp.tolist()]
    before = np.array([close[-1] if close.shape[0] else float(position.entry_price) for close in closes], np.float64)
    for row, price in enumerate(funding_prices(market, due, before).tolist()):
        charge_funding(account, position, due, row, price)
