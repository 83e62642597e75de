"""A capital that buys nothing is refused, with the least that would do; one that buys something of one market is not."""

from decimal import Decimal

import pytest

from backtesting import affordable, runs
from backtesting.models import BacktestRun
from exchanges import candles
from exchanges.models import Market
from exchanges.risk.profiles import PROFILES
from tests.backtesting import rows
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH
from traderai.lib.errors import UserError

pytestmark = pytest.mark.django_db
BARS = 50
WHOLE = {"start_ms": None, "end_ms": None, "hold_hours": 0.0}


@pytest.fixture
def markets():
    """BTC, whose smallest order is 100, and ETH, whose is 40; steps are too small to matter."""
    made = [scenes.make_market(symbol, bars=BARS, seed=seed) for symbol, seed in ((BTC, 7), (ETH, 8))]
    for market, notional in zip(made, (100, 40), strict=True):
        Market.objects.filter(pk=market.pk).update(min_notional=notional, step_size=Decimal("0.000001"), max_leverage=20)
        market.refresh_from_db()
    return made


def test_it_names_the_least_capital_of_one_market(markets):
    with pytest.raises(UserError) as refused:
        affordable.check(Decimal("399"), markets[:1], PROFILES["low"], **WHOLE)  # a quarter of it may be bought
    assert refused.value.field == "capital"
    least = Decimal(refused.value.message.partition("at least ")[2].partition(" USDT,")[0])
    assert 400 <= least < Decimal("400.1")  # whole steps are worth a little more than 100
    assert refused.value.message.startswith(
        f"capital: 399 USDT cannot buy the venue's smallest order of {BTC} within the low risk profile; "
    )
    affordable.check(least, markets[:1], PROFILES["low"], **WHOLE)


def test_one_affordable_market_is_enough(markets):
    affordable.check(Decimal("161"), markets, PROFILES["low"], **WHOLE)
    with pytest.raises(
        UserError, match=r"of any of the 2 markets within the low risk profile; it takes at least 160\.0\d USDT \(ETH/USDT:USDT\)"
    ):
        affordable.check(Decimal("159"), markets, PROFILES["low"], **WHOLE)


def test_a_market_that_was_cheaper_before_is_judged_by_its_lowest_close(markets):
    """One step of it: affordable at the lowest close, not at the newest."""
    market = markets[0]
    Market.objects.filter(pk=market.pk).update(min_notional=0, step_size=1)
    market.refresh_from_db()
    bars = candles.read(market, "15m")
    dearest = int(bars.close.argmax())
    begins_ms, ends_ms = int(bars.timestamp[dearest]), int(bars.timestamp[dearest]) + 1
    lowest, newest = float(bars.close[: dearest + 1].min()), float(bars.close[dearest])
    assert lowest < newest
    between = Decimal(repr(round((lowest + newest) / 2, 2)))
    affordable.check(between, [market], PROFILES["medium"], hold_hours=0.0, start_ms=None, end_ms=ends_ms)
    with pytest.raises(UserError, match="cannot buy"):
        affordable.check(between, [market], PROFILES["medium"], hold_hours=0.0, start_ms=begins_ms, end_ms=ends_ms)


def test_funding_for_as_long_as_it_is_held_is_a_part_of_the_risk(markets):
    """At 1 bp an hour 500 hours cost 5 %, and 2 % may be lost: two fifths of the equity, with the fees a little less."""
    affordable.check(Decimal("105"), markets[:1], PROFILES["medium"], **WHOLE)
    with pytest.raises(UserError, match=r"at least 25\d\.\d\d USDT,"):
        affordable.check(Decimal("105"), markets[:1], PROFILES["medium"], hold_hours=500.0, start_ms=None, end_ms=None)


def test_a_run_with_too_little_is_not_stored_and_a_repetition_is_not_judged_anew(markets, alice):
    model = rows.make_model(oos_start_ms=scenes.START_MS + 20 * scenes.BAR_MS)
    asked = {"symbols": [BTC], "risk_profile": "low", "queue": False}
    with pytest.raises(UserError, match="capital: 100 USDT cannot buy"):
        runs.start(alice, capital=100, **asked)
    assert BacktestRun.objects.count() == 0
    span = {"start_ms": model.oos_start_ms, "end_ms": scenes.START_MS + BARS * scenes.BAR_MS}
    old = rows.make_finished(alice, model, capital=100, risk_profile="low", **span)
    assert runs.repeat(old, queue=False).repeats == old


@pytest.mark.parametrize(("leverage", "share", "least"), [(20, 10.0, 1_000), (20, 500.0, 400), (1, 500.0, 2_000)])
def test_a_share_of_equity_has_to_buy_the_smallest_order(markets, alice, leverage, share, least):
    """The low profile allows a position 5 % of equity as margin at 5 times leverage, or at the market's where that is less."""
    Market.objects.filter(symbol=BTC).update(max_leverage=leverage)
    asked = {"symbols": [BTC], "risk_profile": "low", "strategy": "sma-cross", "queue": False}
    engine = {"sizing": "notional", "notional_pct": share}
    with pytest.raises(UserError, match=rf"at {share:g} % of equity a position it takes at least {least}\.\d\d USDT: give more") as refused:
        runs.start(alice, capital=least - 1, engine=engine, **asked)
    assert refused.value.field == "capital"
    assert BacktestRun.objects.count() == 0
    assert runs.start(alice, capital=least + 1, engine=engine, **asked).capital == least + 1
