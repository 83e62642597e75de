"""The paper venue: what it fills, at which price, what it refuses and what it remembers."""

from decimal import Decimal

import pytest
from django.core.cache import cache

from exchanges import candles, execution, paper_accounts, positions, streams
from exchanges.models import Fill, FundingRate, LedgerEntry, Order, Position
from exchanges.ports import VenueRefused
from exchanges.streams import Tick
from exchanges.venues.paper import PaperVenue
from tests.exchanges.entries import BAR_MS, START_MS, ledger_sum, plan_at, store, submit

pytestmark = pytest.mark.django_db(transaction=True)

HOUR_MS = 3_600_000
NO_PRICES = [0.0, -1.0, float("nan"), float("inf")]


@pytest.fixture
def market():
    return candles.find_market("ETH/USDT:USDT")


@pytest.fixture
def account(alice):
    alice.profile.simulation_capital = Decimal(1000)
    alice.profile.save()
    return paper_accounts.open_for(alice)


def say(market, price: float, ts_ms: int) -> None:
    """The newest price, as a feed that may be broken left it."""
    cache.set(f"tick:{market.pk}", Tick(market.pk, market.symbol, price, ts_ms, "replay")._asdict())


@pytest.mark.parametrize("price", NO_PRICES)
def test_it_never_closes_at_a_price_that_is_none(account, market, price):
    decided = store(market, [3000.0] * 4)
    submit(account, market, plan_at(3000.0, decided))
    position = Position.objects.get()
    say(market, price, decided + 1)
    order = execution.close_position(position, reason="manual")
    order.refresh_from_db()
    position.refresh_from_db()
    assert (order.state, position.status, position.realised_pnl) == ("ready", "open", 0)
    store(market, [3010.0], start_ms=decided)  # a price comes, and the exit that waited goes through
    execution.sweep()
    position.refresh_from_db()
    assert (position.status, Fill.objects.get(side="sell").price) == ("closed", Decimal("3009.10"))


@pytest.mark.parametrize("price", [*NO_PRICES, None])
def test_it_refuses_when_the_price_is_gone_at_the_last_moment(account, market, price):
    order = submit(account, market, plan_at(3000.0, store(market, [3000.0] * 4) + BAR_MS))
    venue = PaperVenue(lambda _: None if price is None else Tick(market.pk, market.symbol, price, START_MS, "replay"))
    assert not venue.is_ready(order)
    with pytest.raises(VenueRefused, match="no_price"):
        venue.place(order)


@pytest.mark.parametrize("price", NO_PRICES)
def test_it_marks_nothing_at_a_price_that_is_none(account, market, price):
    decided = store(market, [3000.0] * 4)
    submit(account, market, plan_at(3000.0, decided))
    assert positions.mark(market.pk, price, decided + 1) == 0
    assert Position.objects.get().mark_price == Decimal("3000.90")


def test_it_fills_a_short_below_the_price_and_its_exit_above(account, market):
    decided = store(market, [3000.0] * 4)
    submit(account, market, plan_at(3000.0, decided, side=-1), side="sell")
    say(market, 2990.0, decided + 1)
    execution.close_position(Position.objects.get(), reason="manual")
    assert list(Fill.objects.order_by("pk").values_list("side", "price")) == [
        ("sell", Decimal("2999.10")),
        ("buy", Decimal("2990.90")),  # 2990.897 to the tick
    ]


def test_it_gives_the_same_trade_id_however_often_it_is_asked(account, market):
    order = submit(account, market, plan_at(3000.0, store(market, [3000.0] * 4) + BAR_MS))
    store(market, [3001.0], start_ms=START_MS + 4 * BAR_MS)
    venue = PaperVenue(streams.latest_tick)
    assert venue.place(order) == venue.place(order)
    assert venue.place(order)[0].trade_id == f"paper-{order.client_order_id}"
    assert venue.find(order) is None  # its acceptance is our commit, and nothing was committed


def test_it_remembers_what_was_committed(account, market):
    order = submit(account, market, plan_at(3000.0, store(market, [3000.0] * 4)))
    row = Fill.objects.get(order=order)
    (found,) = PaperVenue(streams.latest_tick).find(order)
    assert (found.trade_id, found.qty, found.price, found.fee) == (row.venue_trade_id, row.qty, row.price, row.fee)


def close_after_the_hour(account, market) -> Position:
    """Opened a quarter before the hour, managed up to the hour, closed by hand ten minutes after it."""
    decided = store(market, [3000.0] * 3, start_ms=START_MS + HOUR_MS - 4 * BAR_MS)
    submit(account, market, plan_at(3000.0, decided))
    store(market, [3010.0], start_ms=decided)
    positions.on_bar(market.pk)
    say(market, 3020.0, decided + BAR_MS + 600_000)
    execution.close_position(Position.objects.get(), reason="manual")
    return Position.objects.get()


def test_it_charges_funding_that_fell_due_between_two_bars_before_a_close_by_hand(account, market):
    position = close_after_the_hour(account, market)
    assert position.status == "closed"
    (entry,) = LedgerEntry.objects.filter(kind="funding")
    assert entry.amount == position.funding == -position.qty_opened * 3010 * Decimal("0.0001")
    account.refresh_from_db()
    assert account.balance == ledger_sum(account) == 1000 + position.net_pnl


def test_it_charges_the_pairs_own_rate_then(account, market):
    FundingRate.objects.create(market=market, timestamp=START_MS - HOUR_MS, rate=0.0001)
    FundingRate.objects.create(market=market, timestamp=START_MS + HOUR_MS, rate=-0.0003)
    position = close_after_the_hour(account, market)
    assert position.funding == position.qty_opened * 3010 * Decimal("0.0003")


def test_it_charges_no_boundary_twice(account, market):
    decided = store(market, [3000.0] * 4)
    submit(account, market, plan_at(3000.0, decided))
    store(market, [3000.0] * 5, start_ms=decided)  # the fifth bar begins with the hour, and its manager charges it
    positions.on_bar(market.pk)
    say(market, 3000.0, decided + 5 * BAR_MS + 1)
    execution.close_position(Position.objects.get(), reason="manual")
    references = list(LedgerEntry.objects.filter(kind="funding").order_by("at").values_list("reference", flat=True))
    assert references == [f"funding:{Position.objects.get().pk}:{decided + HOUR_MS}:default"]
    assert Order.objects.filter(state="filled").count() == 2
