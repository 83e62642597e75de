"""A run beside the positions of its owner, and the answer to the question of parity: a number, or why there is none."""

from dataclasses import replace

import pytest

from backtesting import parity
from backtesting.honesty import lived
from backtesting.models import BacktestRun
from backtesting.parity.beside import Traded, beside
from exchanges import candles, execution
from exchanges.models import Candle, Order, TradingAccount
from signals.models import Rejection
from tests.backtesting.lived import BAR_MS, ETH, LADDER, PLAN, START_MS, bars, live_on, open_long
from tests.signals.scenes import make_signal

pytestmark = pytest.mark.django_db(transaction=True)

DECIDED = START_MS + BAR_MS
SPAN = (START_MS, START_MS + 86_400_000)


def make_run(user, strategy: str = "ml-ensemble") -> BacktestRun:
    return BacktestRun.objects.create(
        user=user, strategy=strategy, venue_slug="binance", symbols=[ETH], timeframe="15m", capital=1000, risk_profile="medium"
    )


@pytest.fixture
def position(alice):
    """Asked for by a signal on the second bar, and lived to its end."""
    market = candles.find_market(ETH)
    candles.ingest(market, bars(LADDER[:2]), provenance="file")
    signal = make_signal(market, bar_ms=DECIDED, entry=2000.0, step=20.0)
    open_long(alice, origin=f"signal:{signal.pk}")
    return live_on(LADDER[2:])


def traded(position, **changes) -> Traded:
    return Traded(ETH, "long", DECIDED, float(position.qty_opened), float(position.net_pnl))._replace(**changes)


def test_a_trade_that_was_lived_through_alike_passes(alice, position):
    told = lived.answer(make_run(alice), [traded(position)], *SPAN)

    assert (told["verdict"], told["number"]) == ("pass", "100 %")
    assert told["detail"].startswith("1 of 1 trades from 2025-01-01 00:15 to 2025-01-01 00:30 UTC are in the run and went alike")
    assert told["detail"].endswith("come to +0.00 USDT")


def test_it_warns_with_what_the_differences_cost(alice, position):
    Candle.objects.filter(timestamp=START_MS + 4 * BAR_MS).update(high=2019.0, close=2010.0)

    told = lived.answer(make_run(alice), [traded(position)], *SPAN)
    (line,) = parity.compared(TradingAccount.objects.for_user(alice), *SPAN)[0]

    assert abs(line.difference) > 0.01
    assert (told["verdict"], told["number"]) == ("warn", "0 %")
    assert f"come to {line.difference:+.2f} USDT" in told["detail"]


def test_a_position_without_a_trade_is_extra_and_a_trade_of_the_other_side_is_none(alice, position):
    nothing, other_side = (beside(make_run(alice), trades, *SPAN) for trades in ([], [traded(position, side="short")]))

    assert ([line.position for line in nothing.extra], nothing.both, nothing.missed) == ([position], [], [])
    assert (len(other_side.extra), other_side.both) == (1, [])
    assert lived.answer(make_run(alice), [], *SPAN)["verdict"] == "warn"


def test_a_trade_that_the_gate_refused_is_missed_with_its_reason(alice, position):
    market = candles.find_market(ETH)
    later = make_signal(market, bar_ms=START_MS + 5 * BAR_MS, entry=2006.0, step=20.0, status="expired")
    account = TradingAccount.objects.get()
    TradingAccount.objects.update(is_active=False)
    plan = replace(PLAN, reference_price=2006.0, decided_ms=START_MS + 6 * BAR_MS)
    order = execution.submit(account, market=market, side="buy", origin=f"signal:{later.pk}", plan=plan, risk_profile="medium")
    assert order.state == "denied"

    found = beside(make_run(alice), [traded(position), traded(position, decided_ms=START_MS + 5 * BAR_MS, pnl=7.5)], *SPAN)
    told = lived.answer(make_run(alice), [traded(position), traded(position, decided_ms=START_MS + 5 * BAR_MS, pnl=7.5)], *SPAN)

    assert [each.why for each in found.missed] == [f"The order ended as denied: {order.reason}"]
    assert "1 of the run you did not have, which brought +7.50 USDT in it" in told["detail"]
    assert (told["verdict"], told["number"]) == ("warn", "50 %")


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ("signal", "There was a signal, and no strategy of yours took it."),
        ("rejection", "The scan rejected it: too dear"),
        ("", "issued no signal"),
    ],
)
def test_a_trade_between_positions_is_missed_for_what_the_scan_left(alice, position, stored, why):
    market, between = candles.find_market(ETH), START_MS + 4 * BAR_MS
    last = make_signal(market, bar_ms=START_MS + 5 * BAR_MS, status="expired")
    Order.objects.create(
        account=position.account, market=market, origin=f"signal:{last.pk}", client_order_id="c", side="buy", order_type="market", qty=1,
        leverage=1, plan={}, state="expired", reason="too late",
    )  # fmt: skip
    if stored == "signal":
        make_signal(market, bar_ms=between, status="expired")
    elif stored:
        Rejection.objects.create(market=market, strategy="ml-ensemble", bar_ms=between, code="costs", reason="too dear")

    found = beside(make_run(alice), [traded(position), traded(position, decided_ms=between)], *SPAN)

    assert [why in each.why for each in found.missed] == [True], found.missed


def test_a_position_of_another_size_says_so(alice, position):
    (both,) = beside(make_run(alice), [traded(position, qty=2 * float(position.qty_opened))], *SPAN).both
    (same,) = beside(make_run(alice), [traded(position)], *SPAN).both

    qty = float(position.qty_opened)
    assert both.sentence == f"Sized by another equity or profile: {qty:.10g} for the run's {2 * qty:.10g}, 0.5 times."
    assert both.line.goes_alike
    assert same.sentence == ""


def test_it_says_why_there_is_nothing_to_compare_and_what_to_do(alice, bob, position):
    assert "no rule is traded on an account here" in lived.answer(make_run(alice, "sma-cross"), [], *SPAN)["detail"]
    assert "run it from your own page" in lived.answer(make_run(None), [], *SPAN)["detail"]
    strangers = lived.answer(make_run(bob), [traded(position)], *SPAN)
    assert (strangers["verdict"], strangers["number"]) == ("skip", "")
    assert "start the strategy on a paper account, let it trade, and run this again over that time" in strangers["detail"]
    assert lived.answer(make_run(alice), [], SPAN[1], SPAN[1] + BAR_MS)["verdict"] == "skip"
