"""Whatever a day brings, in any order: the books balance, quantities are their fills, and nothing is filled before its time."""

import itertools
from datetime import timedelta
from decimal import Decimal
from unittest import mock

import pytest
from django.core.cache import cache
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from exchanges import booking, execution, paper_accounts, positions, streams
from exchanges.models import Fill, KillSwitch, LedgerEntry, Market, Order, Position, Venue
from exchanges.order_states import OrderMove
from exchanges.streams import Tick
from tests.exchanges.entries import BAR_MS, START_MS, ledger_sum, plan_at, store, submit
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)

MOVES = st.sampled_from([-0.035, -0.012, -0.004, 0.0, 0.004, 0.013, 0.035])
ORDINARY = ["work", "work", "work", "manage"]
RARE = ["close", "close", "worker dies", "cache is lost", "stop", "flatten", "resume", "resume", "resume"]
ACTIONS = st.one_of(
    st.tuples(st.just("bars"), st.lists(MOVES, min_size=1, max_size=6)),
    st.tuples(st.just("tick"), MOVES),
    st.tuples(st.just("signal"), st.sampled_from([1, -1])),
    st.tuples(st.sampled_from(ORDINARY), st.none()),
    st.tuples(st.sampled_from(RARE), st.none()),
)
NUMBERS = itertools.count(1)


class Day:
    """One account in a market of its own. Messages get lost: workers act only when an action says so."""

    def __init__(self) -> None:
        self.number = next(NUMBERS)
        self.market = Market.objects.create(
            venue=Venue.objects.get(slug="binance"), symbol=f"T{self.number}/USDT:USDT", base=f"T{self.number}", quote="USDT",
            kind="perpetual", tick_size=Decimal("0.01"), step_size=Decimal("0.001"),
        )  # fmt: skip
        self.user = User.objects.create_user(f"day-{self.number}@example.com", "correct-horse-battery")
        self.user.profile.simulation_capital = Decimal(1000)
        self.user.profile.save()
        self.account = paper_accounts.open_for(self.user)
        self.price, self.now, self.signals = 3000.0, START_MS, 0
        self.bars([0.0] * 4)

    def bars(self, moves) -> None:
        closes = []
        for move in moves:
            self.price = round(self.price * (1 + move), 2)
            closes.append(self.price)
        opens = self.now // BAR_MS * BAR_MS
        self.now = store(self.market, closes, start_ms=opens)

    def tick(self, move) -> None:
        self.price = round(self.price * (1 + move), 2)
        self.now = min(self.now + 120_000, self.now // BAR_MS * BAR_MS + BAR_MS - 1)
        cache.set(f"tick:{self.market.pk}", Tick(self.market.pk, self.market.symbol, self.price, self.now, "replay")._asdict())
        positions.mark(self.market.pk, self.price, self.now)

    def signal(self, side) -> None:
        self.signals += 1
        plan = plan_at(self.price, self.now // BAR_MS * BAR_MS, side)
        submit(self.account, self.market, plan, side="buy" if side > 0 else "sell", origin=f"signal:{self.signals}")

    def close(self, _) -> None:
        for position in Position.objects.filter(account=self.account).open():
            execution.close_position(position, reason="manual")

    def flatten(self, _) -> None:
        execution.stop_all(self.user, flatten=True)

    def stop(self, _) -> None:
        execution.stop_all(self.user, flatten=False)

    def resume(self, _) -> None:
        execution.set_kill_switch(self.user, "run", "")

    def manage(self, _) -> None:
        positions.on_bar(self.market.pk)

    def work(self, _) -> None:
        execution.attend(self.account.pk, clock.now() + timedelta(minutes=5))

    def worker_dies(self, _) -> None:
        order = Order.objects.filter(account=self.account, state="ready").first()
        if order:
            booking.move(order, OrderMove.CLAIM)

    def cache_is_lost(self, _) -> None:
        cache.clear()

    def check(self) -> None:
        self.account.refresh_from_db()
        assert self.account.balance == ledger_sum(self.account)
        held = list(Position.objects.filter(account=self.account))
        assert self.account.balance == 1000 + sum(p.realised_pnl - p.fees + p.funding for p in held)
        assert sum(position.is_open for position in held) <= 1
        for position in held:
            self.check_position(position)
        assert Order.objects.filter(account=self.account, reduce_only=True).unsettled().count() <= 1
        signs = LedgerEntry.objects.filter(account=self.account, kind__in=("fee", "funding"))
        assert not signs.filter(amount__gt=0).exists()  # fees cost, and so does funding at the default
        assert streams.latest_tick(self.market).ts_ms <= self.now

    def check_position(self, position) -> None:
        fills = list(Fill.objects.filter(position=position).select_related("order").order_by("pk"))
        entry, ways_out = fills[0], fills[1:]
        assert (entry.reason, entry.qty) == ("entry", position.qty_opened)
        assert position.qty == entry.qty - sum(fill.qty for fill in ways_out)
        assert clock.to_ms(entry.at) >= entry.order.plan["decided_ms"]  # never in the signal's own bar
        first_bar = clock.to_ms(entry.at) // BAR_MS * BAR_MS
        for fill in ways_out:
            assert fill.side != entry.side
            assert clock.to_ms(fill.at) >= first_bar
            assert clock.to_ms(fill.at) <= self.now
        gains = sum((fill.price - position.entry_price) * fill.qty * position.sign for fill in ways_out)
        assert (position.realised_pnl, position.fees) == (gains, sum(fill.fee for fill in fills))
        assert position.is_open == (position.qty > 0)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(ACTIONS, min_size=20, max_size=60))
def test_the_books_balance_whatever_happens_in_whatever_order(actions):
    with mock.patch("exchanges.receivers.nudge"):
        day = Day()
        for name, detail in actions:
            getattr(day, name.replace(" ", "_"))(detail)
            day.check()
        # And the day ends: every order comes to an end, and whoever is told to be flat is flat.
        day.flatten(None)
        for _ in range(4):
            day.bars([0.0])
            day.manage(None)
            day.work(None)
        day.check()
        assert not Order.objects.filter(account=day.account).unsettled().exists()
        assert not Position.objects.filter(account=day.account).open().exists()
        assert KillSwitch.objects.get(user=day.user).flattens
