"""Paper accounts: opened once, with the capital of the profile, and balanced by their ledger."""

from decimal import Decimal

import pytest

from accounts import events
from exchanges import paper_accounts
from exchanges.models import LedgerEntry, TradingAccount
from tests.exchanges.trading import make_position
from traderai.lib.events import send_after_commit

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_opens_one_account_with_the_profiles_capital(alice):
    alice.profile.simulation_capital = Decimal("250.50")
    alice.profile.save()
    first, second = paper_accounts.open_for(alice), paper_accounts.open_for(alice)
    assert first.pk == second.pk
    assert (first.environment, first.venue.slug, first.balance, first.peak_equity) == (
        "paper",
        "paper",
        Decimal("250.50"),
        Decimal("250.50"),
    )
    assert list(LedgerEntry.objects.values_list("kind", "amount")) == [("deposit", Decimal("250.50"))]


def test_it_does_not_top_up_when_the_profile_changes_later(alice):
    paper_accounts.open_for(alice)
    alice.profile.simulation_capital = Decimal(5000)
    alice.profile.save()
    assert paper_accounts.open_for(alice).balance == Decimal(100)


def test_it_opens_an_account_for_whoever_joins(alice, bob):
    send_after_commit(events.user_joined, user_id=bob.pk)
    send_after_commit(events.user_joined, user_id=bob.pk)
    assert list(TradingAccount.objects.values_list("user_id", flat=True)) == [bob.pk]


def test_it_counts_unrealised_profit_of_open_positions_only(alice):
    account = paper_accounts.open_for(alice)
    make_position(alice, account=account, mark_price=Decimal(50_500))
    assert paper_accounts.unrealised(account) == Decimal(1)
    assert paper_accounts.equity(account) == account.balance + 1


def test_it_raises_the_peak_and_never_lowers_it(alice):
    account = paper_accounts.open_for(alice)
    position = make_position(alice, account=account, mark_price=Decimal(50_500))
    paper_accounts.raise_peak(account)
    position.mark_price = Decimal(49_500)
    position.save()
    paper_accounts.raise_peak(account)
    account.refresh_from_db()
    assert account.peak_equity == Decimal(101)
