"""The kill switch: nothing is opened after it, what waits is cancelled, and ways out stay open."""

from decimal import Decimal

import pytest

from exchanges import candles, execution, paper_accounts
from exchanges.models import KillSwitch, Order, Position
from tests.exchanges.entries import BAR_MS, plan_at, store, submit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def market():
    return candles.find_market("ETH/USDT:USDT")


def open_account(user):
    user.profile.simulation_capital = Decimal(1000)
    user.profile.save()
    return paper_accounts.open_for(user)


@pytest.fixture
def account(alice):
    return open_account(alice)


@pytest.fixture
def waiting(account, market):
    """An entry that still waits for its price."""
    order = submit(account, market, plan_at(3000.0, store(market, [3000.0] * 4) + BAR_MS))
    order.refresh_from_db()
    assert order.state == "ready"
    return order


def price_comes(market) -> None:
    decided = int(candles.read(market, "15m", last=1).timestamp[0]) + BAR_MS
    store(market, [3001.0], start_ms=decided)


def test_it_cancels_what_has_not_left_and_never_sends_it_after_the_release(account, market, waiting):
    execution.stop_all(account.user, flatten=False)
    waiting.refresh_from_db()
    assert (waiting.state, "kill switch" in waiting.reason) == ("canceled", True)
    execution.set_kill_switch(account.user, "run", "released")
    price_comes(market)
    execution.execute_ready(account.pk)
    waiting.refresh_from_db()
    assert (waiting.state, Position.objects.count()) == ("canceled", 0)


@pytest.mark.parametrize("scope", ["everybody", "venue", "owner", "owner at venue"])
@pytest.mark.parametrize("level", ["stop", "reduce_only"])
def test_it_is_read_again_right_before_an_entry_leaves(account, market, waiting, scope, level):
    owner = account.user if "owner" in scope else None
    venue = account.venue if "venue" in scope else None
    KillSwitch.objects.create(user=owner, venue=venue, level=level)
    price_comes(market)
    execution.execute_ready(account.pk)
    waiting.refresh_from_db()
    assert (waiting.state, Position.objects.count()) == ("expired", 0)


def test_it_stops_only_the_trader_who_pulled_it(account, market, bob):
    other = open_account(bob)
    execution.stop_all(account.user, flatten=False)
    decided = store(market, [3000.0] * 4)
    assert submit(account, market, plan_at(3000.0, decided)).state == "denied"
    assert submit(other, market, plan_at(3000.0, decided)).state != "denied"


def test_it_lets_positions_be_closed_while_everything_is_stopped(account, market):
    submit(account, market, plan_at(3000.0, store(market, [3000.0] * 4)))
    KillSwitch.objects.create(level="stop")
    orders = execution.stop_all(account.user, flatten=True)
    assert [order.reduce_only for order in orders] == [True]
    assert (Position.objects.get().status, KillSwitch.objects.get(user=account.user).level) == ("closed", "flatten")


def test_it_keeps_an_exit_that_was_asked_for_before(account, market, monkeypatch):
    submit(account, market, plan_at(3000.0, store(market, [3000.0] * 4)))
    with monkeypatch.context() as away:
        away.setattr("exchanges.receivers.nudge", lambda *_, **__: None)
        asked = execution.close_position(Position.objects.get(), reason="manual")
    execution.stop_all(account.user, flatten=False)
    assert Order.objects.get(pk=asked.pk).state == "ready"
    execution.sweep()
    assert Order.objects.get(pk=asked.pk).state == "filled"
