"""Each market is charged its own costs: what is paid in full pays no funding, be it sized live, simulated, labelled or judged."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from backtesting import affordable, arrays, kernel, runs, wording
from backtesting.honesty.again import Simulation, dearer
from exchanges import candles, paper_accounts
from exchanges.models import Market
from exchanges.risk import profiles
from signals import labels, scan
from signals.models import Signal
from signals.plan import PlanConfig
from signals.training import panel
from tests.backtesting.tables import START_MS, make_series
from tests.exchanges.entries import plan_at, store, submit
from tests.signals import scenes
from tests.signals.series import make_series as make_frame

pytestmark = pytest.mark.django_db
SPOT, PERPETUAL = "BTC/USDT", "BTC/USDT:USDT"
HOURS = 48.0
FEES_PCT = 2 * (0.05 + 0.03)
"""Of notional: a taker's fee and slippage at both ends."""
FAR = 0.3
"""A stop so far, as a part of the price, that the risk and not the margin sizes a position of no leverage."""


@pytest.fixture
def markets() -> dict[str, Market]:
    return {symbol: candles.find_market(symbol) for symbol in (SPOT, PERPETUAL)}


def test_what_is_paid_in_full_costs_no_funding(markets):
    assert markets[SPOT].costs.stop_cost_pct(hours=HOURS) == pytest.approx(FEES_PCT)
    assert markets[PERPETUAL].costs.stop_cost_pct(hours=HOURS) == pytest.approx(FEES_PCT + HOURS * 0.01)
    assert (markets[SPOT].default_funding, markets[PERPETUAL].default_funding) == (0.0, 0.0001)


def spot_order(alice, market):
    """The live gate's order for 2 % of 1,000 at risk behind a far stop."""
    alice.profile.simulation_capital = Decimal(1000)
    alice.profile.save()
    decided = store(market, [100.0] * 4)
    plan = replace(plan_at(100.0, decided), stop=100.0 * (1 - FAR))
    order = submit(paper_accounts.open_for(alice), market, plan)
    assert order.qty > 0, order.reason
    return order


def test_the_live_gate_and_the_simulation_size_a_spot_position_without_funding(alice, markets):
    market = markets[SPOT]
    order = spot_order(alice, market)
    step = float(market.step_size)
    assert float(order.qty) == pytest.approx(1000 * 0.02 / (FAR + FEES_PCT / 100) / 100, abs=step)

    bars = kernel.join([make_series([(100.0, 100.5, 99.5, 100.0)] * 3, start_ms=START_MS)])
    plan = PlanConfig(stop_atr=FAR * 100)
    rules = arrays.rules(1000.0, profiles.profile("medium"), plan)
    entries = kernel.entries_of(bars, np.array([1, 0, 0], np.int8), np.ones(3))
    trades = kernel.simulate(bars, entries, arrays.specs([market]), rules).trades
    assert trades.qty.tolist() == pytest.approx([float(order.qty)])


def test_the_least_capital_of_a_spot_market_knows_no_hours(markets):
    profile = profiles.profile("medium")
    patient = {
        symbol: [affordable.least_capital(market, 100.0, profile, hours) for hours in (0.0, 2000.0)] for symbol, market in markets.items()
    }
    assert patient[SPOT][0] == patient[SPOT][1]
    assert patient[PERPETUAL][0] < patient[PERPETUAL][1]


def test_a_signal_on_a_spot_market_is_sized_without_funding(learners, settings):
    scenes.make_market(SPOT)
    scenes.make_champion(scenes.make_ensemble(learners), symbols=[SPOT])
    scan.run(slot="one", symbols=[SPOT])
    signal = Signal.objects.get()
    own = signal.sizing["medium"]
    away_pct = abs(float(signal.entry - signal.stop)) / float(signal.entry) * 100.0
    assert own["risk_pct"] == pytest.approx(own["notional_pct"] / 100.0 * (away_pct + FEES_PCT))
    assert signal.cost_lines["funding_pct"] == 0.0


@pytest.mark.parametrize("first", [SPOT, PERPETUAL])
def test_labels_pay_their_own_markets_funding_whichever_market_is_first(markets, first):
    """The costs of a training come from its first market; its funding is not that of the others."""
    frame, plan = make_frame(1_000, symbol=PERPETUAL, seed=4), PlanConfig()
    atr, rows = frame.close * 0.01, np.arange(500, 600)
    nothing = candles.funding(markets[PERPETUAL])
    for symbol, market in markets.items():
        history = panel.History(market, frame, nothing)
        seen = panel.outcomes(history, frame, atr, plan, markets[first].costs, rows)
        told = labels.outcomes(frame, atr, plan, market.costs, funding=nothing, rows=rows)
        assert seen.net_pct[rows] == pytest.approx(told.net_pct[rows], nan_ok=True), symbol
    assert np.isfinite(told.net_pct[rows]).any()


def test_a_run_charges_each_of_its_markets_its_own_costs(markets, alice):
    for number, symbol in enumerate((PERPETUAL, SPOT)):
        scenes.make_market(symbol, frame=make_frame(900, symbol=symbol, seed=number))
    run = runs.start(
        alice, symbols=[PERPETUAL, SPOT], capital=1000, risk_profile="medium", strategy="sma-cross",
        strategy_params={"fast": 5, "slow": 20}, queue=False,
    )  # fmt: skip
    run = runs.execute(run.pk)
    run.refresh_from_db()
    assert [(group["symbols"], group["funding_bps_per_hour"]) for group in run.metrics["costs"]] == [([PERPETUAL], 1.0), ([SPOT], 0.0)]
    assert wording.charged(run.metrics["costs"]) == [
        f"{PERPETUAL}: maker 2 bps, taker 5 bps, slippage 3 bps, default funding 1 bps an hour.",
        f"{SPOT}: maker 2 bps, taker 5 bps, slippage 3 bps, no funding.",
    ]
    assert {symbol: rules["funding_bps_per_hour"] for symbol, rules in run.params["markets"].items()} == {PERPETUAL: 1.0, SPOT: 0.0}


def test_dearer_costs_are_every_symbols_own():
    specs = [kernel.Spec(0.1, 0.1, 5.0, 1, 0.0001, 0.0002, slippage=0.0003, stop_cost_pct=0.1, hold_cost_pct=cost) for cost in (0.0, 0.01)]
    bars = kernel.join([make_series([(100.0, 101.0, 99.0, 100.0)] * 2)])
    done = dearer(Simulation(bars, None, specs, kernel.Rules(1000.0), None, None), 3, np.zeros(2, np.bool_))
    assert [each[4:6] + each[8:] for each in done.specs] == [
        pytest.approx((0.0003, 0.0006, 0.0009, 0.3, cost)) for cost in (0.0, 0.03)
    ]  # fmt: skip
