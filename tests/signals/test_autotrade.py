from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import close_old_connections, connection

from exchanges import candles
from exchanges.models import Order
from signals import autotrade, processing, scan
from signals.autotrade import CannotStart
from signals.models import ModelVersion, Signal, SignalStatus
from tests.backtesting import rows
from tests.signals import scenes
from tests.signals.scenes import BAR_MS, BTC, ETH
from traderai.lib import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def market():
    return scenes.make_market(ETH, bars=20)


@pytest.fixture
def config(alice):
    return scenes.make_config(alice, scenes.make_account(alice, balance=10_000))


def running(config, **more):
    config.auto_trade, config.started_at = True, clock.now()
    for name, value in more.items():
        setattr(config, name, value)
    config.save()
    return config


def at_market(market, **more) -> Signal:
    """A signal at the market's own price, two percent between levels."""
    close = float(candles.read(market, "15m", last=1).close[-1])
    return scenes.make_signal(market, entry=close, step=close * 0.02, **more)


# --- starting and stopping


def test_it_starts_once(config):
    first = autotrade.start(config)
    again = autotrade.start(config)
    assert first.auto_trade
    assert again.started_at == first.started_at


def test_it_stops_once(config):
    autotrade.start(config)
    stopped = autotrade.stop(config)
    assert not stopped.auto_trade
    assert autotrade.stop(config).stopped_at == stopped.stopped_at


def test_it_does_not_start_on_an_account_that_is_switched_off(config):
    config.account.is_active = False
    config.account.save()
    with pytest.raises(CannotStart, match="switched off"):
        autotrade.start(config)


def test_it_does_not_start_a_strategy_that_is_no_longer_offered(config):
    config.template = "gone"
    config.save()
    with pytest.raises(CannotStart, match="no longer offered"):
        autotrade.start(config)


def no_edge_shown() -> ModelVersion:
    metrics = {"edge": {"found": False, "reason": "12 trades out of fold are too few to tell"}}
    return rows.make_model(provenance="file", metrics=metrics)


def test_it_does_not_start_under_a_champion_that_has_shown_no_edge(config):
    no_edge_shown()
    with pytest.raises(
        CannotStart, match=r"Model default v1 has shown no edge: 12 trades out of fold are too few to tell\. Its signals are shown"
    ):
        autotrade.start(config)
    config.refresh_from_db()
    assert not config.auto_trade


def test_what_runs_waits_while_the_champion_has_shown_no_edge(config, market):
    model = no_edge_shown()
    running(config)
    signal = at_market(market)
    Signal.objects.update(model=model)
    assert autotrade.on_signal(signal.pk) == autotrade.sweep() == autotrade.take_open(config.pk) == []
    assert not Order.objects.exists()
    assert autotrade.status(config).held.startswith("Model default v1 has shown no edge")
    ModelVersion.objects.update(metrics={"edge": {"found": True, "reason": "it earned"}})
    assert autotrade.on_signal(signal.pk) == [], "it was shown on Bitcoin, and this is Ether"
    ModelVersion.objects.update(symbols=[BTC, ETH])
    assert [order.state for order in autotrade.on_signal(signal.pk)] != []
    assert autotrade.status(config).held == ""


def test_signals_of_a_former_champion_wait_while_the_new_one_has_shown_no_edge(config, market):
    former = rows.make_model(provenance="file", symbols=[ETH], metrics={"edge": {"found": True, "reason": "it earned"}})
    running(config)
    signal = at_market(market)
    Signal.objects.update(model=former)
    ModelVersion.objects.update(status="archived")
    new = rows.make_model(version=2, provenance="file", metrics={"edge": {"found": False, "reason": "too few"}})
    assert autotrade.on_signal(signal.pk) == []
    new.delete()
    assert len(autotrade.on_signal(signal.pk)) == 1


# --- offering signals


def test_it_offers_a_signal_to_the_risk_gate(config, market):
    running(config)
    signal = at_market(market)
    [order] = autotrade.on_signal(signal.pk)
    assert (order.account, order.market, order.side, order.origin) == (config.account, market, "buy", f"signal:{signal.pk}")
    assert order.state == "ready", order.reason
    assert order.qty > 0


def test_it_sells_for_a_short(config, market):
    running(config)
    [order] = autotrade.on_signal(at_market(market, side="short").pk)
    assert order.side == "sell"


def test_the_gate_gets_the_signals_own_plan(market):
    signal = at_market(market)
    plan = autotrade.entry_plan(signal)
    assert (plan.reference_price, plan.stop, plan.tp1, plan.tp2, plan.tp3) == (
        signal.entry,
        signal.stop,
        signal.tp1,
        signal.tp2,
        signal.tp3,
    )
    assert plan.decided_ms == signal.bar_ms + BAR_MS
    assert plan.max_hold_ms == 48 * 3_600_000
    assert plan.shares == (0.3, 0.4, 0.3)


def test_a_message_that_comes_twice_makes_one_order(config, market):
    running(config)
    signal = at_market(market)
    first, second = autotrade.on_signal(signal.pk), autotrade.on_signal(signal.pk)
    assert first == second
    assert Order.objects.count() == 1


def test_two_configurations_of_one_account_make_one_order(alice, config, market):
    running(config, risk_profile="low")
    running(scenes.make_config(alice, config.account, name="Second", risk_profile="high"))
    autotrade.on_signal(at_market(market).pk)
    assert Order.objects.count() == 1


def test_every_account_gets_its_own(config, bob, market):
    running(config)
    running(scenes.make_config(bob, scenes.make_account(bob, balance=10_000)))
    assert {order.account.user.email for order in autotrade.on_signal(at_market(market).pk)} == {config.user.email, bob.email}


@pytest.mark.parametrize("unlike", [{"symbols": [BTC]}, {"min_confidence": 0.8}, {"template": "other"}, {"auto_trade": False}])
def test_it_leaves_alone_who_did_not_ask(config, market, unlike):
    running(config, **unlike)
    assert autotrade.on_signal(at_market(market).pk) == []
    assert not Order.objects.exists()


def test_it_leaves_alone_an_account_that_is_switched_off(config, market):
    running(config)
    config.account.is_active = False
    config.account.save()
    assert autotrade.on_signal(at_market(market).pk) == []


def test_a_refusal_is_an_order_that_says_why(alice, market):
    running(scenes.make_config(alice, scenes.make_account(alice, balance=1)))
    [order] = autotrade.on_signal(at_market(market).pk)
    assert order.state == "denied"
    assert order.reason


@pytest.mark.parametrize("status", [SignalStatus.EXPIRED, SignalStatus.SUPERSEDED])
def test_it_does_not_trade_a_signal_that_has_ended(config, market, status):
    running(config)
    assert autotrade.on_signal(at_market(market, status=status).pk) == []


def test_it_does_not_trade_a_signal_whose_time_is_over(config, market):
    running(config)
    signal = at_market(market)
    close = signal.entry
    scenes.next_bars(market, [(close, close * 1.001, close * 0.999, close)] * processing.EXPIRE_AFTER_BARS)
    assert autotrade.on_signal(signal.pk) == []


def test_an_unknown_signal_is_nobodys(config):
    running(config)
    assert autotrade.on_signal(404) == []


# --- what is open when a configuration is started


def test_a_fresh_start_takes_the_open_signal_of_the_newest_bar(config, market):
    signal = at_market(market)
    running(config)
    [order] = autotrade.take_open(config.pk)
    assert order.origin == f"signal:{signal.pk}"


def test_a_fresh_start_leaves_older_signals(config, market):
    signal = at_market(market)
    close = signal.entry
    scenes.next_bars(market, [(close, close * 1.001, close * 0.999, close)])
    running(config)
    assert autotrade.take_open(config.pk) == []
    assert autotrade.sweep() == []


def test_starting_takes_them_by_itself(config, market, django_capture_on_commit_callbacks):
    at_market(market)
    with django_capture_on_commit_callbacks(execute=True):
        autotrade.start(config)
    assert Order.objects.count() == 1


def test_one_that_was_stopped_takes_nothing(config, market):
    at_market(market)
    assert autotrade.take_open(config.pk) == []


# --- faults


def test_the_sweep_finds_what_a_lost_message_left(config, market):
    running(config)
    signal = at_market(market)
    [order] = autotrade.sweep()
    assert order.origin == f"signal:{signal.pk}"
    assert autotrade.sweep() == []


def test_the_sweep_does_not_ask_again_after_a_refusal(alice, market):
    running(scenes.make_config(alice, scenes.make_account(alice, balance=1)))
    at_market(market)
    assert [order.state for order in autotrade.sweep()] == ["denied"]
    assert autotrade.sweep() == []


@pytest.mark.django_db(transaction=True)
def test_workers_that_run_side_by_side_make_one_order(config, market):
    running(config)
    signal = at_market(market)

    def work(_):
        try:
            return [order.pk for order in autotrade.on_signal(signal.pk)]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(8)))
    close_old_connections()
    assert Order.objects.count() == 1
    assert found == [[Order.objects.get().pk]] * 8


def test_a_scan_ends_in_an_order(config, ensemble, django_capture_on_commit_callbacks):
    scenes.make_market(ETH)
    scenes.make_champion(ensemble)
    running(config)
    with django_capture_on_commit_callbacks(execute=True):
        [signal] = scan.run(slot="one").issued
    order = Order.objects.get()
    assert order.origin == f"signal:{signal.pk}"
    assert order.state in ("ready", "filled", "open", "sending"), order.reason


# --- what its owner sees


def test_the_status_counts_orders_since_the_start(config, market):
    config = autotrade.start(config)
    at_market(market)
    autotrade.sweep()
    status = autotrade.status(config)
    assert (status.made, status.denied, len(status.orders)) == (1, 0, 1)


def test_the_status_forgets_what_was_before_the_start(config, market):
    autotrade.start(config)
    at_market(market)
    autotrade.sweep()
    autotrade.stop(config)
    assert autotrade.status(autotrade.start(config)).made == 0


def test_the_status_of_one_that_never_ran_is_empty(config):
    assert autotrade.status(config)[1:] == ([], 0, 0, "")
