"""What a simulated run keeps beside its trades: tables, costs and luck that agree with them."""

import json

import pytest

from backtesting import runs
from backtesting.models import BacktestTrade
from backtesting.views.report import LABELS
from tests.signals.scenes import BTC, ETH

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(champion):
    found = runs.start(None, symbols=[BTC, ETH], capital=1000, risk_profile="medium", queue=False)
    runs.execute(found.pk)
    found.refresh_from_db()
    assert found.status == "done", found.error
    return found


def test_it_keeps_every_figure_that_the_page_can_name_and_no_other(run):
    assert set(run.metrics["metrics"]) == set(LABELS)
    for name, figure in run.metrics["metrics"].items():
        assert {"value", "start", "end", "n"} <= figure.keys(), name
        assert figure["value"] is not None or figure["reason"], name


def test_its_tables_costs_and_trades_tell_of_the_same_money(run):
    trades = list(BacktestTrade.objects.filter(run=run))
    net = sum(trade.pnl for trade in trades)
    found = run.metrics
    for name in ("symbol", "side", "reason", "regime", "hour", "weekday", "month"):
        rows = found["tables"][name]
        assert sum(row["n"] for row in rows) == len(trades) > 0, name
        assert sum(row["net"] for row in rows) == pytest.approx(net, abs=1e-4), name
    paid = found["costs_paid"]
    assert paid["net"] == pytest.approx(net, abs=1e-5)
    assert paid["gross"] - paid["fees"] - paid["slippage"] - paid["funding"] == pytest.approx(net, abs=1e-5)
    assert paid["slippage"] > 0.0
    moved = sum((trade.exit_price - trade.entry_price) * trade.qty * (1 if trade.side == "long" else -1) for trade in trades)
    assert paid["gross"] == pytest.approx(moved + paid["slippage"], abs=1e-4)  # the prices hold slippage, and nothing else
    assert paid["funding"] > 0.0
    assert paid["funding"] == pytest.approx(-sum(trade.funding for trade in trades), abs=1e-5)
    assert {row["key"] for row in found["tables"]["symbol"]} == {trade.symbol for trade in trades}
    assert {row["key"] for row in found["tables"]["reason"]} == {trade.exit_reason for trade in trades}
    assert found["concentration"]["without_best"][0]["net"] == pytest.approx(net - max(trade.pnl for trade in trades), abs=1e-5)


def test_its_months_compound_to_its_total_return_and_its_worst_fall_is_the_deepest(run):
    found, tables = run.metrics["metrics"], run.metrics["tables"]
    total = 1.0
    for row in tables["years"]:
        total *= 1.0 + row["total"] / 100.0
    assert (total - 1.0) * 100.0 == pytest.approx(found["total_return_pct"]["value"], abs=0.01)
    assert tables["drawdowns"][0]["depth_pct"] == pytest.approx(found["max_drawdown_pct"]["value"], abs=1e-3)


def test_its_regimes_are_known_and_named_as_the_models_are(run):
    keys = {row["key"] for row in run.metrics["tables"]["regime"]}
    assert keys <= {"bull", "bear", "sideways", "volatile", "crisis"}, "the champion's out-of-sample time has history enough"


def test_its_luck_is_drawn_with_the_seed_it_names(run):
    luck = run.metrics["luck"]
    assert luck["seed"] == run.params["seed"]
    assert luck["drawdowns"]["drawn"]["trade"][-1] == BacktestTrade.objects.filter(run=run).count()
    json.dumps(run.metrics, allow_nan=False)


def test_the_trades_at_random_moments_are_as_many_and_have_the_same_costs(run):
    random = run.metrics["luck"]["random"]
    assert random["runs"] == 100
    assert random["low_pct"] <= random["middle_pct"] <= random["high_pct"]
    assert 0.0 < random["p_value"] <= 1.0
    assert random["trades"] == pytest.approx(BacktestTrade.objects.filter(run=run).count(), rel=0.5)


def test_its_exposure_curve_says_how_much_was_open(run):
    curve = run.equity["open_notional"]
    assert len(curve) == len(run.equity["timestamps"])
    assert min(curve) == 0.0 < max(curve)
