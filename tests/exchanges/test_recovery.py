"""What happens to orders when a worker stalls, dies or is away, and when one account is broken."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connections

from exchanges import booking, candles, execution, paper_accounts, streams, tasks
from exchanges.models import Fill, LedgerEntry, Order, Position, TradingAccount, Venue
from exchanges.order_states import OrderMove
from exchanges.venues import registry
from exchanges.venues.paper import PaperVenue
from tests.exchanges.entries import BAR_MS, ledger_sum, plan_at, store, submit
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)


def open_account(user) -> TradingAccount:
    user.profile.simulation_capital = Decimal(1000)
    user.profile.save()
    return paper_accounts.open_for(user)


@pytest.fixture
def market():
    return candles.find_market("ETH/USDT:USDT")


@pytest.fixture
def account(alice):
    return open_account(alice)


@pytest.fixture
def waiting(account, market):
    """An entry that waits for its price, which has just arrived."""
    decided = store(market, [3000.0] * 4)
    order = submit(account, market, plan_at(3000.0, decided + BAR_MS))
    store(market, [3001.0], start_ms=decided)
    order.refresh_from_db()
    assert order.state == "ready"
    return order


class StalledVenue(PaperVenue):
    """A paper venue whose caller is held up after the fill for longer than the sweeper waits."""

    def place(self, order):
        fills = super().place(order)
        Order.objects.filter(pk=order.pk).update(sent_at=clock.now() - timedelta(minutes=5))
        execution.sweep()
        return fills


def test_it_books_nothing_for_a_worker_that_was_given_up(account, waiting, monkeypatch):
    monkeypatch.setitem(registry.TRADING, "paper", f"{__name__}.StalledVenue")
    registry.trading.cache_clear()
    execution.execute_ready(account.pk)
    registry.trading.cache_clear()
    waiting.refresh_from_db()
    account.refresh_from_db()
    assert (waiting.state, Position.objects.count(), Fill.objects.count()) == ("rejected", 0, 0)
    assert account.balance == ledger_sum(account) == 1000


def test_it_books_a_fill_that_was_committed_before_its_worker_died_once(account, waiting):
    """The fill is there, the order's last move is not: asking the venue settles it without a second fill."""
    execution.execute_ready(account.pk)
    before = LedgerEntry.objects.count()
    Order.objects.filter(pk=waiting.pk).update(state="sending", filled_qty=0, avg_price=None, sent_at=clock.now() - timedelta(minutes=5))
    execution.sweep()
    execution.sweep()
    waiting.refresh_from_db()
    assert (waiting.state, waiting.filled_qty) == ("filled", waiting.qty)
    assert (Fill.objects.count(), Position.objects.count(), LedgerEntry.objects.count()) == (1, 1, before)


def test_it_books_the_same_fills_once(account, waiting):
    assert booking.move(waiting, OrderMove.CLAIM)
    fills = PaperVenue(lambda market: execution.streams.latest_tick(market)).place(waiting)
    stale = Order.objects.select_related("market__venue").get(pk=waiting.pk)
    assert booking.book_fills(waiting, fills)
    assert not booking.book_fills(stale, fills)
    account.refresh_from_db()
    assert (Fill.objects.count(), account.balance) == (1, ledger_sum(account))


def test_it_lets_one_of_two_workers_claim_an_order(waiting):
    other = Order.objects.get(pk=waiting.pk)
    assert booking.move(waiting, OrderMove.CLAIM)
    assert not booking.move(other, OrderMove.CLAIM)


def test_it_flattens_after_workers_were_away_for_an_hour(account, market, monkeypatch):
    submit(account, market, plan_at(3000.0, store(market, [3000.0] * 4)))
    position = Position.objects.get()
    with monkeypatch.context() as away:
        away.setattr("exchanges.receivers.nudge", lambda *_, **__: None)
        execution.stop_all(account.user, flatten=True)
    asked = Order.objects.get(reduce_only=True)
    assert asked.state == "ready"
    with monkeypatch.context() as later:
        now = clock.now() + timedelta(hours=1)
        later.setattr("traderai.lib.clock.now", lambda: now)
        execution.sweep()
    position.refresh_from_db()
    assert (position.status, position.qty) == ("closed", 0)


def test_it_goes_on_with_other_accounts_when_one_has_no_order_desk(account, waiting, market, bob):
    other = open_account(bob)
    decided = int(candles.read(market, "15m", last=1).timestamp[0]) + BAR_MS
    second = submit(other, market, plan_at(3001.0, decided + BAR_MS))
    TradingAccount.objects.filter(pk=account.pk).update(venue=Venue.objects.get(slug="binance"))
    store(market, [3002.0], start_ms=decided)
    execution.sweep()
    second.refresh_from_db()
    waiting.refresh_from_db()
    assert second.state == "filled"
    assert waiting.state == "ready"
    connections.close_all()


def test_it_raises_the_peak_when_a_close_by_hand_makes_a_new_one(account, market):
    decided = store(market, [3000.0] * 4)
    submit(account, market, plan_at(3000.0, decided))
    streams.publish_tick(streams.Tick(market.pk, market.symbol, 3050.0, decided + 1, "replay"))
    execution.close_position(Position.objects.get(), reason="manual")
    account.refresh_from_db()
    assert account.peak_equity == account.balance > 1000


def test_it_does_not_send_an_entry_of_an_account_that_was_switched_off_meanwhile(account, waiting):
    TradingAccount.objects.filter(pk=account.pk).update(is_active=False)
    execution.execute_ready(account.pk)
    waiting.refresh_from_db()
    assert (waiting.state, Position.objects.count()) == ("expired", 0)


def test_it_wakes_each_account_on_its_own(account, waiting, monkeypatch):
    woken = []
    monkeypatch.setattr("exchanges.tasks.trading.nudge", lambda task, **ids: woken.append((task, ids)))
    tasks.sweep_orders()
    assert woken == [("exchanges.tasks.execute_orders", {"account_id": account.pk})]
    Order.objects.filter(pk=waiting.pk).update(state="sending", sent_at=clock.now())
    assert execution.waiting() == []  # its worker is at it
    Order.objects.filter(pk=waiting.pk).update(sent_at=clock.now() - timedelta(minutes=5))
    assert execution.waiting() == [account.pk]


def test_it_finds_out_about_what_was_left_behind_before_it_sends(account, waiting):
    Order.objects.filter(pk=waiting.pk).update(state="sending", sent_at=clock.now() - timedelta(minutes=5))
    tasks.sweep_orders()
    waiting.refresh_from_db()
    assert (waiting.state, Fill.objects.count()) == ("rejected", 0)
