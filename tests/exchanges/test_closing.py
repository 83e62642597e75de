"""Ways out: bars that closed before come first, asking twice is asking once, and nothing that was asked for gets lost."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.db import connections
from django.urls import reverse

from exchanges import candles, execution, paper_accounts, positions, streams
from exchanges.models import Fill, FundingRate, KillSwitch, LedgerEntry, Order, Position
from exchanges.streams import Tick
from exchanges.venues import registry
from exchanges.venues.paper import PaperVenue
from tests.exchanges.entries import BAR_MS, START_MS, ledger_sum, plan_at, store, submit
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)

HOUR_MS = 3_600_000


@pytest.fixture
def market():
    return candles.find_market("ETH/USDT:USDT")


@pytest.fixture
def account(alice):
    alice.profile.simulation_capital = Decimal(1000)
    alice.profile.save()
    return paper_accounts.open_for(alice)


@pytest.fixture
def held(account, market):
    """A long from 3000 with its stop at 2940, opened at START_MS + 4 bars."""
    submit(account, market, plan_at(3000.0, store(market, [3000.0] * 4)))
    return Position.objects.get()


@pytest.fixture
def workers_away(monkeypatch):
    """Messages get lost: what is asked for waits in its row."""
    monkeypatch.setattr("exchanges.receivers.nudge", lambda *_, **__: None)


def say(market, price: float, ts_ms: int) -> None:
    cache.set(f"tick:{market.pk}", Tick(market.pk, market.symbol, price, ts_ms, "replay")._asdict())


def books_balance(account) -> bool:
    account.refresh_from_db()
    for position in Position.objects.filter(account=account):
        rows = Fill.objects.filter(position=position).values_list("reason", "qty")
        entered = sum((qty for reason, qty in rows if reason == "entry"), Decimal(0))
        left = sum((qty for reason, qty in rows if reason != "entry"), Decimal(0))
        assert (entered, entered - left) == (position.qty_opened, position.qty)
    return account.balance == ledger_sum(account)


def test_a_stop_that_was_hit_before_the_request_wins(account, market, held):
    decided = START_MS + 4 * BAR_MS
    store(market, [2900.0, 3100.0], start_ms=decided)  # nobody has managed these bars yet
    order = execution.close_position(held, reason="manual")
    held.refresh_from_db()
    order.refresh_from_db()
    assert (held.status, held.exit_reason, held.closed_at) == ("closed", "stop", clock.from_ms(decided))
    assert (order.state, order.reason) == ("expired", "Nothing was left to close: the position had been closed by stop.")
    assert Fill.objects.get(side="sell").price == Decimal("2899.13")  # the gap's open less slippage, not 3100
    assert books_balance(account)


def test_a_target_that_was_reached_before_the_request_is_taken_first(account, market, held):
    store(market, [3065.0], start_ms=START_MS + 4 * BAR_MS)
    execution.close_position(held, reason="manual")
    held.refresh_from_db()
    assert list(Fill.objects.order_by("pk").values_list("reason", flat=True)) == ["entry", "tp1", "manual"]
    assert (held.exit_reason, held.tps_hit, held.last_bar_ms) == ("manual", 1, START_MS + 4 * BAR_MS)
    assert books_balance(account)


def test_bars_that_close_between_the_request_and_the_exit_count_too(account, market, held, workers_away):
    execution.close_position(held, reason="manual")
    store(market, [2900.0, 3100.0], start_ms=START_MS + 4 * BAR_MS)
    execution.sweep()
    held.refresh_from_db()
    assert held.exit_reason == "stop"


def test_a_bar_that_is_still_running_does_not_count(account, market, held):
    """The exit is filled at a price from inside it; what the rest of the bar brings is no longer this position's."""
    say(market, 3010.0, START_MS + 4 * BAR_MS + 60_000)
    execution.close_position(held, reason="manual")
    store(market, [2900.0], start_ms=START_MS + 4 * BAR_MS)
    positions.on_bar(market.pk)
    held.refresh_from_db()
    assert (held.exit_reason, Fill.objects.filter(side="sell").count()) == ("manual", 1)


def test_funding_of_the_bars_that_come_first_is_paid_once(account, market, held):
    FundingRate.objects.create(market=market, timestamp=START_MS, rate=0.0001)
    FundingRate.objects.create(market=market, timestamp=START_MS + 2 * HOUR_MS, rate=0.0004)
    store(market, [3000.0] * 5, start_ms=START_MS + 4 * BAR_MS)
    say(market, 3000.0, START_MS + 9 * BAR_MS + 1)
    execution.close_position(held, reason="manual")
    held.refresh_from_db()
    assert held.funding == -held.qty_opened * 3000 * Decimal("0.0004")
    assert LedgerEntry.objects.filter(kind="funding").count() == 1
    assert books_balance(account)


@pytest.mark.parametrize(("marks", "price"), [([], 3000), ([2950.0], 2950)])
def test_funding_between_two_bars_is_paid_at_the_mark_price_where_it_is_stored(account, market, held, marks, price):
    """The boundary lies in a bar that has not closed yet: the last close stands in where no mark price is known."""
    FundingRate.objects.create(market=market, timestamp=START_MS, rate=0.0001)
    FundingRate.objects.create(market=market, timestamp=START_MS + 2 * HOUR_MS, rate=0.0004)
    store(market, [3000.0] * 4, start_ms=START_MS + 4 * BAR_MS)
    if marks:
        store(market, marks, start_ms=START_MS + 2 * HOUR_MS, price=candles.MARK)
    say(market, 3000.0, START_MS + 8 * BAR_MS + 1)
    execution.close_position(held, reason="manual")
    held.refresh_from_db()
    assert held.funding == -held.qty_opened * price * Decimal("0.0004")
    assert books_balance(account)


def test_a_rate_that_becomes_known_after_its_hours_were_paid_is_not_paid_again(account, market, held):
    paid = LedgerEntry.objects.filter(kind="funding").order_by("at")
    store(market, [3000.0] * 36, start_ms=START_MS + 4 * BAR_MS)
    positions.on_bar(market.pk)
    assert [entry.at.hour for entry in paid] == [2, 3, 4, 5, 6, 7, 8, 9]  # at the default
    FundingRate.objects.create(market=market, timestamp=START_MS + 8 * HOUR_MS, rate=0.01)
    store(market, [3000.0] * 20, start_ms=START_MS + 40 * BAR_MS)
    positions.on_bar(market.pk)
    assert [entry.at.hour for entry in paid] == [2, 3, 4, 5, 6, 7, 8, 9]
    FundingRate.objects.create(market=market, timestamp=START_MS + 16 * HOUR_MS, rate=0.0002)
    store(market, [3000.0] * 8, start_ms=START_MS + 60 * BAR_MS)
    positions.on_bar(market.pk)
    newest = paid.last()
    assert (newest.at.hour, newest.amount) == (16, -held.qty * 3000 * Decimal("0.0002"))


def test_a_way_out_is_never_filled_at_a_price_from_before_the_entry(account, market):
    """The cache with its ticks is gone, and the newest stored bar is older than the position: what it was valued at last is the price."""
    decided = store(market, [3000.0] * 4)
    say(market, 3020.0, decided + 60_000)
    submit(account, market, plan_at(3000.0, decided))
    position = Position.objects.get()
    positions.mark(market.pk, 3030.0, decided + 120_000)
    cache.clear()
    execution.close_position(position, reason="manual")
    position.refresh_from_db()
    assert (position.closed_at, position.status) == (clock.from_ms(decided + 120_000), "closed")
    assert Fill.objects.get(side="sell").price == Decimal("3029.09")


def test_an_entry_is_never_filled_in_its_own_bar_when_the_newest_price_disappears(account, market):
    decided = store(market, [3000.0] * 4)
    say(market, 3001.0, decided + BAR_MS + 1)
    ticks = [streams.latest_tick(market), Tick(market.pk, market.symbol, 3000.0, decided, "replay")]
    order = Order(market=market, side="buy", qty=Decimal(1), plan={"decided_ms": decided + BAR_MS, "stop": 2900.0, "tp1": 3100.0})
    venue = PaperVenue(lambda _: ticks.pop(0))
    assert venue.is_ready(order)
    with pytest.raises(Exception, match="no_price"):
        venue.place(order)


def test_flatten_is_told_apart_in_the_history(alice, account, market, held, client_for):
    client = client_for(alice)
    client.post(reverse("positions:stop_all"), {"flatten": "on"})
    held.refresh_from_db()
    assert (held.exit_reason, Fill.objects.get(side="sell").reason) == ("flatten", "flatten")
    assert "<td>flatten</td>" in client.get(reverse("positions:history")).content.decode()
    assert "being closed" in client.get(reverse("positions:list")).content.decode()


def test_closing_twice_is_closing_once(account, market, held, workers_away):
    first, second = (execution.close_position(held, reason="manual") for _ in range(2))
    assert first.pk == second.pk
    execution.sweep()
    assert Fill.objects.filter(side="sell").count() == 1
    assert books_balance(account)


def test_closing_from_many_windows_at_once_is_closing_once(account, market, held):
    at_once(lambda: execution.close_position(held, reason="manual"), times=6)
    held.refresh_from_db()
    assert (held.status, Fill.objects.filter(side="sell").count(), Order.objects.filter(reduce_only=True).count()) == ("closed", 1, 1)
    assert books_balance(account)


@pytest.mark.parametrize("round_", range(4))
def test_closing_while_the_stop_is_hit_leaves_once(account, market, held, workers_away, round_):
    order = execution.close_position(held, reason="manual")
    store(market, [2900.0], start_ms=START_MS + 4 * BAR_MS)
    at_once(lambda: execution.execute_ready(account.pk), lambda: positions.on_bar(market.pk))
    execution.sweep()
    held.refresh_from_db()
    order.refresh_from_db()
    assert (held.status, held.exit_reason, order.state) == ("closed", "stop", "expired")
    assert Fill.objects.filter(side="sell").count() == 1
    assert books_balance(account)


def test_a_close_whose_worker_died_is_asked_for_again(account, market, held, workers_away):
    order = execution.close_position(held, reason="flatten")
    Order.objects.filter(pk=order.pk).update(state="sending", sent_at=clock.now() - timedelta(minutes=5))
    execution.sweep()
    held.refresh_from_db()
    order.refresh_from_db()
    again = Order.objects.get(reduce_only=True, state="filled")
    assert (order.state, held.status, held.exit_reason) == ("rejected", "closed", "flatten")
    assert again.client_order_id != order.client_order_id
    assert books_balance(account)


class SlowVenue(PaperVenue):
    """Its owner pulls the switch and flattens while the entry is on its way."""

    def place(self, order):
        fills = super().place(order)
        if not order.reduce_only:
            execution.stop_all(order.account.user, flatten=True)
        return fills


def test_an_entry_that_was_on_its_way_is_closed_when_everything_is_flattened(account, market, monkeypatch):
    with monkeypatch.context() as slow:
        slow.setitem(registry.TRADING, "paper", f"{__name__}.SlowVenue")
        registry.trading.cache_clear()
        submit(account, market, plan_at(3000.0, store(market, [3000.0] * 4)))
    registry.trading.cache_clear()
    position = Position.objects.get()
    assert position.status == "open"
    assert execution.waiting() == [account.pk]
    execution.sweep()
    position.refresh_from_db()
    assert (position.status, position.exit_reason, execution.waiting()) == ("closed", "flatten", [])
    assert books_balance(account)


@pytest.mark.parametrize("scope", ["everybody", "venue", "owner at venue"])
def test_the_staff_can_flatten(account, market, held, bob, scope):
    other = paper_accounts.open_for(bob)
    KillSwitch.objects.create(user=bob, level="flatten")
    execution.sweep()
    held.refresh_from_db()
    assert held.status == "open"  # that was somebody else's
    owner = account.user if "owner" in scope else None
    KillSwitch.objects.create(user=owner, venue=other.venue if "venue" in scope else None, level="flatten")
    execution.sweep()
    held.refresh_from_db()
    assert (held.status, held.exit_reason) == ("closed", "flatten")


def test_stopping_again_does_not_call_a_flatten_off(account, market, held, workers_away):
    execution.stop_all(account.user, flatten=True)
    execution.stop_all(account.user, flatten=False)
    assert KillSwitch.objects.get(user=account.user).level == "flatten"


def test_one_broken_position_does_not_keep_others_from_their_stops(account, market, held, bob, monkeypatch):
    other = paper_accounts.open_for(bob)
    store(market, [3000.0], start_ms=START_MS + 4 * BAR_MS)
    submit(other, market, plan_at(3000.0, START_MS + 5 * BAR_MS), risk_profile="high")
    assert Position.objects.filter(account=other).exists()
    whole = positions.catch_up

    def broken(account, position, until_ms=None):
        if position.pk == held.pk:
            raise ValueError("a row that cannot be")
        return whole(account, position, until_ms)

    monkeypatch.setattr(positions, "catch_up", broken)
    store(market, [2900.0], start_ms=START_MS + 5 * BAR_MS)
    with pytest.raises(ValueError, match="cannot be"):
        positions.on_bar(market.pk)
    assert Position.objects.get(account=other).exit_reason == "stop"


def at_once(*calls, times: int = 1) -> None:
    """Run the calls side by side, each in a thread of its own; raises what any of them raised."""
    errors, start = [], threading.Barrier(len(calls) * times)

    def run(call) -> None:
        try:
            start.wait()
            call()
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls * times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
