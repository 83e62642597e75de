"""Paper money: accounts whose fills are simulated. The balance is the sum of the ledger, always."""

from decimal import Decimal
from typing import Any

from django.db import transaction

from exchanges.models import Environment, LedgerEntry, LedgerKind, Position, TradingAccount, Venue
from traderai.lib import clock

NAME = "Paper"


@transaction.atomic
def open_for(user: Any) -> TradingAccount:
    """The user's paper account, opened with the profile's simulation capital when there is none yet."""
    venue = Venue.objects.get(slug="paper")
    capital = user.profile.simulation_capital
    account, created = TradingAccount.objects.get_or_create(
        user=user, venue=venue, environment=Environment.PAPER, name=NAME, defaults={"balance": capital, "peak_equity": capital}
    )
    if created:
        LedgerEntry.objects.create(account=account, kind=LedgerKind.DEPOSIT, amount=capital, reference="opening", at=clock.now())
    return account


def unrealised(account: TradingAccount) -> Decimal:
    """Unrealised P&L of the open positions at their last marks."""
    rows = Position.objects.filter(account=account).open()
    return sum((position.unrealised_pnl for position in rows), Decimal(0))


def equity(account: TradingAccount) -> Decimal:
    """Balance and unrealised P&L."""
    return account.balance + unrealised(account)


def raise_peak(account: TradingAccount) -> None:
    """Remember the equity if it is the highest so far: drawdown is measured from there. The caller holds the account's row."""
    now = equity(account)
    if now > account.peak_equity:
        account.peak_equity = now
        account.save(update_fields=["peak_equity"])
