"""The one risk gate, sending to the paper venue, and finding out what became of an order."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.db import connection, connections

from exchanges import candles, execution, paper_accounts
from exchanges.models import Fill, KillSwitch, LedgerEntry, Market, Order, OrderEvent, Position, TradingAccount
from exchanges.streams import Tick
from tests.exchanges.entries import BAR_MS, START_MS, ledger_sum, plan_at, store, submit
from tests.exchanges.trading import make_position
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def market():
    return candles.find_market("ETH/USDT:USDT")


@pytest.fixture
def account(alice):
    account = paper_accounts.open_for(alice)
    LedgerEntry.objects.create(account=account, kind="deposit", amount=900, reference="more", at=clock.now())
    TradingAccount.objects.filter(pk=account.pk).update(balance=1000, peak_equity=1000)
    account.refresh_from_db()
    return account


def test_it_opens_a_position_with_slippage_fee_stop_and_liquidation(account, market):
    decided = store(market, [3000.0] * 4)
    order = submit(account, market, plan_at(3000.0, decided))
    order.refresh_from_db()
    assert order.state == "filled", order.reason
    position = Position.objects.get()
    assert position.entry_price == Decimal("3000.90")  # 3 bps of slippage
    # Risk 2 % of 1000: 20 / (2 % stop + 0.64 % costs) = 757.57 notional, floored to 0.001 coins.
    assert position.qty == Decimal("0.252")
    assert position.fees == Decimal("0.252") * Decimal("3000.90") * Decimal("0.0005")
    assert position.initial_stop == Decimal(2940)
    assert position.leverage * position.margin == pytest.approx(position.qty * position.entry_price)
    assert position.margin <= account.balance * Decimal("0.101")
    assert position.liquidation_price < position.initial_stop
    account.refresh_from_db()
    assert account.balance == ledger_sum(account) == 1000 - position.fees
    assert list(order.events.order_by("pk").values_list("move", "state")) == [
        ("submit", "ready"),
        ("claim", "sending"),
        ("fill_all", "filled"),
    ]


def test_it_gives_the_same_order_for_the_same_origin(account, market):
    decided = store(market, [3000.0] * 4)
    first, second = (submit(account, market, plan_at(3000.0, decided)) for _ in range(2))
    assert first.pk == second.pk
    assert (Order.objects.count(), Fill.objects.count(), Position.objects.count()) == (1, 1, 1)


def test_it_accepts_one_of_many_racing_submissions(account, market):
    decided = store(market, [3000.0] * 4)
    errors = []

    def race(number: int) -> None:
        try:
            submit(account, market, plan_at(3000.0, decided), origin=f"signal:{number}")
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Position.objects.count() == 1
    assert Order.objects.exclude(state="denied").count() == 1
    assert Order.objects.filter(state="denied").count() == 7


def test_it_stores_one_order_for_one_origin_however_many_ask_at_once(account, market):
    decided = store(market, [3000.0] * 4)

    def ask(_: int) -> int:
        try:
            return submit(account, market, plan_at(3000.0, decided)).pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        asked = set(pool.map(ask, range(8)))
    assert len(asked) == 1
    assert (Order.objects.count(), Fill.objects.count(), Position.objects.count()) == (1, 1, 1)
    account.refresh_from_db()
    assert account.balance == ledger_sum(account)


DENIALS = {
    "kill_switch": lambda s: KillSwitch.objects.create(level="stop"),
    "own kill_switch": lambda s: execution.set_kill_switch(s.account.user, "reduce_only", "test"),
    "venue's kill_switch": lambda s: KillSwitch.objects.create(venue=s.account.venue, level="stop"),
    "account is off": lambda s: TradingAccount.objects.update(is_active=False),
    "reduce only": lambda s: TradingAccount.objects.update(state="reduce_only"),
    "unknown order": lambda s: Order.objects.create(account=s.account, market=candles.find_market("BTC/USDT:USDT"), origin="x", client_order_id="x", side="buy", order_type="market", qty=1, state="lost"),
    "no price": lambda s: cache.set(f"tick:{s.market.pk}", Tick(s.market.pk, s.market.symbol, 0.0, s.decided + 1, "replay")._asdict()),
    "no margin": lambda s: make_position(s.account.user, candles.find_market("BTC/USDT:USDT"), account=s.account, margin=Decimal(1000)),
    "daily loss": lambda s: (LedgerEntry.objects.create(account=s.account, kind="pnl", amount=-100, reference="x", at=clock.from_ms(s.decided - 1)), TradingAccount.objects.update(balance=900)),
    "drawdown": lambda s: TradingAccount.objects.update(peak_equity=1400),
    "no equity": lambda s: TradingAccount.objects.update(balance=0),
    "too small": lambda s: TradingAccount.objects.update(balance=1, peak_equity=1),
    "market closed": lambda s: Market.objects.filter(pk=s.market.pk).update(is_active=False),
}  # fmt: skip
REASONS = {
    "kill_switch": "kill switch",
    "own kill_switch": "kill switch",
    "venue's kill_switch": "kill switch",
    "reduce only": "reduce-only",
    "unknown order": "outcome is not known",
    "no price": "no fresh price",
    "no margin": "0.00 is free",
    "account is off": "switched off",
    "daily loss": "day's loss of 10.0 %",
    "drawdown": "drawdown of 28.6 %",
    "no equity": "no equity",
    "too small": "minimum",
    "market closed": "not open for trading",
}


@pytest.mark.parametrize("case", DENIALS)
def test_it_denies_and_says_why(account, market, case):
    decided = store(market, [3000.0] * 4)

    class Scene:
        pass

    scene = Scene()
    scene.account, scene.market, scene.decided = account, market, decided
    DENIALS[case](scene)
    market.refresh_from_db()
    order = submit(account, market, plan_at(3000.0, decided))
    assert order.state == "denied"
    assert REASONS[case] in order.reason
    assert order.events.get().detail["code"]
    assert not Position.objects.filter(market=market).exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stop": 3100.0}, "not in order"),
        ({"tp2": 3010.0}, "not in order"),
        ({"reference_price": 2700.0, "stop": 2600.0}, "from the plan's"),
        ({"decided_ms": START_MS - 3_600_000}, "minutes old"),
        ({"stop": float("nan")}, "not in order"),
        ({"reference_price": float("nan")}, "not in order"),
        ({"tp3": float("inf")}, "not in order"),
        ({"trail_distance": float("nan")}, "trail"),
        ({"trail_distance": -1.0}, "trail"),
        ({"shares": (0.9, 0.9, 0.3)}, "shares"),
        ({"shares": (-0.3, 1.0, 0.3)}, "shares"),
        ({"max_hold_ms": 0}, "time stop"),
    ],
)
def test_it_denies_a_plan_that_makes_no_sense(account, market, change, reason):
    decided = store(market, [3000.0] * 4)
    order = submit(account, market, replace(plan_at(3000.0, decided), **change))
    assert (order.state, reason in order.reason) == ("denied", True), order.reason


def test_it_denies_a_stale_live_price_but_not_a_replayed_one(account, market):
    decided = store(market, [3000.0] * 4, provenance="venue")
    order = submit(account, market, plan_at(3000.0, decided))
    assert order.reason == "There is no fresh price for this market."


def test_it_denies_more_positions_than_the_profile_allows(account):
    for number, symbol in enumerate(["ETH/USDT:USDT", "BTC/USDT:USDT", "SOL/USDT:USDT"]):
        market = candles.find_market(symbol)
        decided = store(market, [3000.0] * 4)
        order = submit(account, market, plan_at(3000.0, decided), origin=f"signal:{number}", risk_profile="low")
    assert Position.objects.count() == 2
    assert "2 positions are open" in order.reason


def test_it_never_shorts_a_spot_market(account):
    market = candles.find_market("BTC/USDT")
    decided = store(market, [3000.0] * 4)
    order = submit(account, market, plan_at(3000.0, decided, side=-1), side="sell")
    assert "spot" in order.reason


def test_it_waits_for_a_price_after_the_deciding_bar(account, market):
    decided = store(market, [3000.0] * 4)
    order = submit(account, market, plan_at(3000.0, decided + BAR_MS))
    order.refresh_from_db()
    assert order.state == "ready"
    store(market, [3001.0], start_ms=decided)
    execution.execute_ready(account.pk)
    order.refresh_from_db()
    assert order.state == "filled"
    assert Fill.objects.get().at == clock.from_ms(decided + BAR_MS)


def test_it_lets_an_order_expire_that_never_got_a_price(account, market):
    decided = store(market, [3000.0] * 4)
    order = submit(account, market, plan_at(3000.0, decided + BAR_MS))
    Order.objects.update(send_by=clock.now() - timedelta(seconds=1))
    execution.execute_ready(account.pk)
    order.refresh_from_db()
    assert (order.state, Fill.objects.count()) == ("expired", 0)


def test_it_refuses_a_fill_beyond_the_stop_or_tp1(account, market):
    decided = store(market, [3000.0] * 4)
    order = submit(account, market, plan_at(3000.0, decided + BAR_MS))
    store(market, [3061.0], start_ms=decided)
    execution.execute_ready(account.pk)
    order.refresh_from_db()
    assert order.state == "rejected"
    assert order.reason.startswith("price_moved")
    assert Position.objects.count() == 0


def test_it_resolves_an_order_whose_worker_was_killed_without_sending_it_again(account, market):
    decided = store(market, [3000.0] * 4)
    order = submit(account, market, plan_at(3000.0, decided + BAR_MS))
    store(market, [3001.0], start_ms=decided)
    Order.objects.update(state="sending", sent_at=clock.now() - timedelta(minutes=5))
    execution.sweep()
    order.refresh_from_db()
    assert order.state == "rejected"
    assert "never seen" in order.reason
    assert Fill.objects.count() == 0
    assert OrderEvent.objects.filter(order=order, move="lose_touch").count() == 1


def test_it_leaves_a_fresh_sending_order_to_its_worker(account, market):
    decided = store(market, [3000.0] * 4)
    order = submit(account, market, plan_at(3000.0, decided + BAR_MS))
    Order.objects.update(state="sending", sent_at=clock.now())
    execution.sweep()
    order.refresh_from_db()
    assert order.state == "sending"


def test_it_closes_a_position_once_and_books_to_the_last_unit(account, market):
    decided = store(market, [3000.0] * 4)
    submit(account, market, plan_at(3000.0, decided))
    store(market, [3030.0], start_ms=decided)
    position = Position.objects.get()
    first = execution.close_position(position, reason="manual")
    assert execution.close_position(position, reason="manual") is None
    position.refresh_from_db()
    first.refresh_from_db()
    assert (position.status, position.qty, position.exit_reason, first.state) == ("closed", 0, "manual", "filled")
    # 3030 less 3 bps of slippage, to the tick of 0.01.
    assert position.realised_pnl == (Decimal("3029.09") - Decimal("3000.90")) * Decimal("0.252")
    account.refresh_from_db()
    assert account.balance == ledger_sum(account) == 1000 + position.net_pnl


def test_it_books_nothing_when_an_exit_finds_the_position_flat(account, market):
    decided = store(market, [3000.0] * 4)
    submit(account, market, plan_at(3000.0, decided))
    position = Position.objects.get()
    for name in ("manual:first", "manual:late"):
        Order.objects.create(
            account=account, market=market, position=position, origin=name, client_order_id=name, side="sell", order_type="market", reduce_only=True, qty=position.qty
        )  # fmt: skip
    execution.sweep()
    first, late = Order.objects.filter(reduce_only=True).order_by("pk")
    position.refresh_from_db()
    assert (first.state, late.state, late.reason) == (
        "filled",
        "expired",
        "Nothing was left to close: the position had been closed by manual.",
    )
    assert position.qty == 0
    assert sum(fill.qty for fill in Fill.objects.filter(side="sell")) == position.qty_opened


def test_it_refuses_to_call_a_venue_inside_a_transaction(account, market):
    from django.db import transaction

    decided = store(market, [3000.0] * 4)
    with transaction.atomic():
        submit(account, market, plan_at(3000.0, decided))
        assert connection.in_atomic_block
        with pytest.raises(RuntimeError, match="inside a transaction"):
            execution.execute_ready(account.pk)
        transaction.set_rollback(True)
