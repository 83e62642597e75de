"""Every run answers all 24 questions of the honesty checklist, a model's and a rule's."""

import json
import re

import numpy as np
import pytest

from backtesting import runs
from backtesting.combos import space
from backtesting.honesty.sayings import POINTS
from backtesting.models import BacktestTrade, LookaheadCheck, ParameterSearch, TrialBatch
from backtesting.searches import trials
from exchanges import candles
from tests.backtesting.searched import make_results
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH
from tests.signals.series import make_series

pytestmark = pytest.mark.django_db
RULE = {"strategy": "sma-cross", "strategy_params": {"fast": 8, "slow": 40}, "capital": 10_000}


def executed(user=None, **more):
    facts = {"symbols": [BTC, ETH], "capital": 1_000, "risk_profile": "medium", "queue": False}
    run = runs.execute(runs.start(user, **facts | more).pk)
    assert run.status == "done", run.error
    return run


def answers(run):
    return {check["name"]: check for check in run.metrics["checks"]}


@pytest.fixture
def markets(db):
    return [scenes.make_market(symbol, frame=make_series(6_500, symbol=symbol, seed=seed)) for symbol, seed in ((BTC, 7), (ETH, 8))]


def told(run):
    """Whether all is there, in order, and what is said not to apply."""
    checks = run.metrics["checks"]
    assert [check["point"] for check in checks] == sorted(check["point"] for check in checks)
    assert {check["point"] for check in checks} == set(POINTS) == set(range(1, 25))
    for check in checks:
        assert set(check) == {"point", "name", "verdict", "number", "detail"}
        assert check["verdict"] in ("pass", "warn", "fail", "skip")
        assert check["detail"], check["name"]
    assert len({check["name"] for check in checks}) == len(checks)
    assert len(json.dumps(checks)) < 16_000
    return {check["point"] for check in checks if check["verdict"] == "skip"}


def test_a_model_s_run_answers_all_questions(champion):
    run = executed()
    assert told(run) == {20, 23, 24}
    found = answers(run)
    assert found["Decisions stay when later data is cut off"]["verdict"] == "warn"
    assert "manage.py check_lookahead" in found["Decisions stay when later data is cut off"]["detail"]
    assert "fail" not in {check["verdict"] for check in run.metrics["checks"]}


def test_a_rule_s_run_answers_all_questions(markets):
    run = executed(**RULE)
    assert told(run) == {15, 19, 20, 23, 24}
    found = answers(run)
    trades = BacktestTrade.objects.filter(run=run).count()
    for name in ("Decisions stay when later data is cut off", "Decisions stay when later data is noise"):
        assert (found[name]["verdict"], found[name]["number"]) == ("pass", "0"), found[name]
        assert f"at the bars that {trades:,} trades were decided at" in found[name]["detail"]
    warmed = found["Decisions stay with a longer warm-up"]
    assert warmed["verdict"] == "pass"
    kept, compared = warmed["number"].split(" of ")
    assert int(kept) == int(compared) > 10
    assert found["Stops and targets stay when later data is cut off"]["verdict"] == "pass"
    assert found["Stops and targets stay when later data is cut off"]["detail"].startswith("0 of ")
    assert not found["Stops and targets stay when later data is cut off"]["detail"].startswith("0 of 0")
    assert [check["name"] for check in run.metrics["checks"] if check["verdict"] == "fail"] == ["Orders against the volume"]


def test_a_stored_look_ahead_check_answers_for_the_model(champion):
    report = {"cuts": 40, "compared": 1_200_000, "settled_bars": 2_000, "findings": []}
    finding = {"analysis": "look-ahead", "name": "tomorrow"}
    facts = {"strategy": "ml-ensemble", "model": champion, "symbols": [BTC], "timeframe": "15m", "bars": 4000, "cuts": 40, "status": "done"}
    LookaheadCheck.objects.create(**facts, passed=True, findings={"markets": [report]})
    found = answers(executed())
    assert {found[POINTS[point]]["verdict"] for point in (1, 2, 3, 4)} == {"pass"}
    assert "1,200,000 values were compared at 40 cuts" in found[POINTS[1]]["detail"]
    LookaheadCheck.objects.create(**facts, passed=False, findings={"markets": [{**report, "findings": [finding], "settled_bars": None}]})
    found = answers(executed())
    assert [found[POINTS[point]]["verdict"] for point in (1, 2, 3, 4)] == ["fail", "fail", "fail", "pass"]
    assert "what moved: tomorrow" in found[POINTS[1]]["detail"]
    assert "not every value settles" in found[POINTS[4]]["detail"]


def test_the_costs_of_a_run_are_those_of_dearer_runs(markets):
    run = executed(**RULE)
    once, twice, thrice = run.metrics["costs_paid"]["at"]
    assert once["net"] == pytest.approx(run.metrics["costs_paid"]["net"], abs=1e-4)
    assert (once["times"], twice["times"], thrice["times"]) == (1, 2, 3)
    assert once["trades"] == BacktestTrade.objects.filter(run=run).count()
    assert answers(run)["Bears twice its costs"]["number"] == f"{twice['net']:+.2f}"


def test_its_paths_are_those_of_runs_along_them(markets):
    run = executed(**RULE)
    nets = {path: executed(**RULE, engine={"path": path}).metrics["costs_paid"]["net"] for path in ("adaptive", "optimistic")}
    detail = answers(run)["Profit on the pessimistic path"]["detail"]
    for path, net in nets.items():
        assert f"{path} {net:+.2f}" in detail


def by_chance(check):
    return float(re.search(r"best of so many shows ([\d.]+) without", check["detail"])[1])


def test_every_try_counts_against_the_run(markets, django_user_model):
    user = django_user_model.objects.create_user(email="alice@example.com")
    name = "Sharpe ratio above what so many tries show by chance"
    assert answers(executed(user, **RULE))[name]["detail"].count("1 try: this run, 0 combinations of 0 searches and 0 other sets") == 1
    executed(user, **RULE | {"strategy_params": {"fast": 9, "slow": 40}})
    executed(user, **RULE, engine={"sizing": "notional"})
    executed(user, **RULE, risk_profile="high")
    frame = candles.read(markets[0], "15m")
    found_space = space.parse("sma-cross", {"fast": {"low": 6, "high": 13, "step": 1}, "slow": {"low": 40, "high": 119, "step": 1}})
    search = ParameterSearch.objects.create(
        user=user, strategy="sma-cross", space=found_space.to_json(), objective="sharpe", least_trades=1, wanted=700, tried=640, venue_slug="binance", symbols=[BTC],
        timeframe="15m", capital=1000, risk_profile="medium", start_ms=int(frame.timestamp[0]), end_ms=int(frame.timestamp[-1]),
        provenance="simulated",
    )  # fmt: skip
    trials.batch(search, 0, found_space.combinations(), make_results(np.zeros(640))).save()
    found = answers(executed(user, **RULE))  # with both markets: none of the search's combinations of one
    assert (
        "644 tries: this run, 640 combinations of 1 search and 3 other sets of parameters, settings, profile and markets"
        in found[name]["detail"]
    )
    ParameterSearch.objects.update(symbols=[ETH, BTC])
    again = answers(executed(user, **RULE))  # the search has tried this run, and one of those by hand
    assert "642 tries: this run, 639 combinations of 1 search and 2 other sets" in again[name]["detail"]
    assert "1 of your searches looked at time of this span" in found["Out-of-sample time only"]["detail"]
    TrialBatch.objects.all().delete()
    trials.batch(search, 0, found_space.combinations(), make_results(np.tile([-50.0, 50.0], 320))).save()
    apart = answers(executed(user, **RULE))  # the same tries with results far from each other: their best shows more by chance
    assert by_chance(apart[name]) > 3.0 * by_chance(again[name])
