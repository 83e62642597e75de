"""Searches as jobs: what may be asked, what is stored, what a killed or cancelled one leaves, and how often luck had its chance."""

import json
from datetime import timedelta
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from backtesting import asked, runs, searches
from backtesting.models import ParameterSearch, TrialBatch
from backtesting.searches import asking, running, trials
from exchanges import candles
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH
from tests.signals.series import make_series
from traderai.lib import clock
from traderai.lib.jobs import JobStatus

pytestmark = pytest.mark.django_db
SPACE = {"fast": {"low": 4, "high": 12, "step": 4}, "slow": {"low": 20, "high": 40, "step": 10}}
BARS = 6_000
CAPITAL = 10_000


@pytest.fixture
def markets(db):
    for symbol, seed in ((BTC, 7), (ETH, 8)):
        scenes.make_market(symbol, frame=make_series(BARS, symbol=symbol, seed=seed))


def start(user=None, **more):
    facts = {
        "strategy": "sma-cross",
        "space": SPACE,
        "symbols": [BTC, ETH],
        "capital": CAPITAL,
        "risk_profile": "medium",
        "least_trades": 5,
        "queue": False,
    }
    return searches.start(user, **facts | more)


def test_it_tries_every_combination_and_keeps_it(markets, alice):
    search = running.execute(start(alice).pk)
    assert (search.status, search.tried, search.wanted) == (JobStatus.DONE, 9, 9)
    tried = trials.load(search)
    assert tried.table[:, :2].tolist() == [[fast, slow] for fast in (4, 8, 12) for slow in (20, 30, 40)]
    assert (tried.results.trades > 5).all()
    facts = search.result
    assert facts["eligible"] == 9
    best = facts["top"][0]
    assert best["sharpe"] == pytest.approx(np.nanmax(tried.results.objective("sharpe")))
    assert facts["verdict"]["word"] == "unjudged"
    assert facts["deflated"]["trials"] == 9


def test_it_finds_for_each_combination_what_a_run_of_it_finds(markets, alice):
    search = running.execute(start(alice, engine={"opposite": "reverse", "slippage_range_pct": 5}).pk)
    tried = trials.load(search)
    space = asked.parse_space("sma-cross", search.space)
    for number in (0, 4, 8):
        values = space.values(tried.table[number])
        asked_for = {
            "symbols": [BTC, ETH],
            "capital": CAPITAL,
            "risk_profile": "medium",
            "strategy": "sma-cross",
            "strategy_params": values,
            "engine": search.engine,
        }
        found = runs.execute(runs.start(alice, **asked_for, start_ms=search.start_ms, end_ms=search.end_ms, queue=False).pk).metrics
        assert tried.results.trades[number] == found["metrics"]["trades"]["value"] + found["metrics"]["open_at_end"]["value"] > 5
        assert tried.results.net_pct[number] == pytest.approx(found["metrics"]["total_return_pct"]["value"])


def test_it_is_taken_up_by_a_worker(markets, alice, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        search = start(alice, symbols=[BTC], queue=True)
    search.refresh_from_db()
    assert (search.status, search.tried) == (JobStatus.DONE, 9)


def test_it_walks_forward(markets, alice):
    search = running.execute(start(alice, walk="rolling", train_days=15, test_days=10).pk)
    walk = search.result["walk"]
    day = 86_400_000
    assert [(w["train_end_ms"] - w["train_start_ms"]) // day for w in walk["windows"]] == [15] * len(walk["windows"])
    assert all(w["test_start_ms"] - w["train_end_ms"] == 2 * day for w in walk["windows"])  # the plan holds for 48 hours
    assert [w["test_start_ms"] for w in walk["windows"]][1:] == [w["test_end_ms"] for w in walk["windows"]][:-1]
    assert walk["trades"] == sum(w["trades"] for w in walk["windows"])
    assert walk["net_pct"] == pytest.approx((np.prod([1 + w["outside_pct"] / 100 for w in walk["windows"]]) - 1) * 100)
    assert walk["trades"] > 10
    assert walk["deflated"]["trials"] == 1
    assert len(walk["equity"]) == sum((w["test_end_ms"] - w["test_start_ms"] + day - 1) // day for w in walk["windows"])


def test_it_learns(markets, alice):
    search = running.execute(
        start(
            alice,
            method="tpe",
            trials=70,
            symbols=[BTC],
            space={"fast": {"low": 2, "high": 40, "step": 1}, "slow": {"low": 10, "high": 100}},
        ).pk
    )
    table = trials.load(search).table
    assert (search.status, search.tried, table.shape[0]) == (JobStatus.DONE, 70, 70)
    assert TrialBatch.objects.filter(search=search).count() == 3


def test_it_goes_on_after_a_killed_worker_with_what_is_stored(markets, alice, monkeypatch):
    monkeypatch.setattr(asking, "GRID_BATCH", 4)
    whole = running.execute(start(alice).pk)
    search = start(alice)
    kept = TrialBatch.objects.filter(search=whole).order_by("number")[:2]
    TrialBatch.objects.bulk_create(TrialBatch(search=search, number=each.number, params=each.params, figures=each.figures) for each in kept)
    ParameterSearch.objects.filter(pk=search.pk).update(status="running", tried=8, heartbeat_at=clock.now() - timedelta(hours=1))
    first = TrialBatch.objects.get(search=search, number=0)
    assert searches.sweep() == 1
    search = running.execute(search.pk)
    assert (search.status, search.tried) == (JobStatus.DONE, 9)
    assert TrialBatch.objects.get(search=search, number=0).pk == first.pk
    assert TrialBatch.objects.filter(search=search).count() == 3
    assert search.result["top"] == whole.result["top"]


def test_it_stops_between_batches_and_goes_on_later(markets, alice, monkeypatch):
    monkeypatch.setattr(asking, "GRID_BATCH", 3)
    search = start(alice)

    def cancel(stage, share):
        if stage.startswith("Tried 6"):
            searches.cancel(search)

    stopped = running.execute(search.pk, progress=cancel)
    assert (stopped.status, stopped.tried, stopped.result) == (JobStatus.CANCELLED, 6, {})
    assert TrialBatch.objects.filter(search=search).count() == 2
    assert searches.resume(search)
    assert not searches.resume(search)
    done = running.execute(search.pk)
    assert (done.status, done.tried) == (JobStatus.DONE, 9)
    assert not searches.cancel(search)


def test_it_counts_what_was_tried_in_other_searches_of_the_same_time(markets, alice, bob):
    running.execute(start(alice).pk)
    running.execute(start(bob).pk)
    running.execute(start(alice, strategy="rsi-reversion", space={"period": {"low": 5, "high": 9, "step": 4}}).pk)
    third = running.execute(start(alice, symbols=[ETH]).pk)
    assert (third.result["tried_in_all"], third.result["made_of"]) == (18, "9 here, 9 in 1 other search")
    assert third.result["deflated"]["trials"] == 18
    last = candles.last_open_ms(candles.find_market(BTC), "15m")
    later = start(alice, start_ms=last - 20 * 96 * 900_000)
    earlier = start(alice, end_ms=last - 40 * 96 * 900_000)
    everything = ParameterSearch.objects.all()
    assert earlier not in everything.same_chance(later)
    assert third in everything.same_chance(later)


def run_by_hand(user, fast, **more):
    facts = {"strategy": "sma-cross", "strategy_params": {"fast": fast, "slow": 20}, "symbols": [BTC], "capital": CAPITAL}
    run = runs.execute(runs.start(user, **facts | {"risk_profile": "medium", "queue": False} | more).pk)
    assert run.status == JobStatus.DONE
    return run


def test_it_counts_what_was_run_by_hand_once(markets, alice, bob):
    for fast in (5, 5, 6):  # a rerun is no other try
        run_by_hand(alice, fast)
    run_by_hand(alice, 4)  # tried by the search itself, too
    run_by_hand(alice, 4, risk_profile="high")
    run_by_hand(alice, 4, engine={"opposite": "reverse"})
    run_by_hand(bob, 7)
    run_by_hand(alice, 5, strategy="donchian-breakout", strategy_params={"period": 20})
    found = running.execute(start(alice, symbols=[BTC]).pk).result
    assert (found["made_of"], found["tried_in_all"]) == ("9 here, 4 runs by hand", 13)
    assert found["deflated"]["trials"] == 13
    assert any("Deflated by 13 different tries (9 here, 4 runs by hand)" in said for said in found["warnings"])


def test_it_counts_what_was_searched_before_once(markets, alice):
    run_by_hand(alice, 5)
    wider = running.execute(start(alice, symbols=[BTC], space={**SPACE, "fast": {"low": 4, "high": 16, "step": 4}}).pk)
    assert wider.result["made_of"] == "12 here, 1 run by hand"
    run_by_hand(alice, 16)  # searched already
    again = running.execute(start(alice, symbols=[BTC]).pk)
    assert (again.result["made_of"], again.result["tried_in_all"]) == ("9 here, 1 run by hand, 3 in 1 other search", 13)
    both = running.execute(start(alice, symbols=[ETH, BTC]).pk)
    assert both.result["made_of"] == "9 here, 1 run by hand, 12 in 2 other searches"


def test_it_deflates_a_walk_forward_test_by_different_ones(markets, alice):
    walk = {"walk": "rolling", "train_days": 15, "test_days": 10}
    first, again, other = (start(alice, **walk), start(alice, **walk), start(alice, **walk | {"train_days": 16}))
    assert ParameterSearch.objects.all().same_chance(first).walks() == 2
    assert {first.pk, again.pk, other.pk} == set(ParameterSearch.objects.all().same_chance(other).values_list("pk", flat=True))


LEARNING = {
    "method": "tpe",
    "trials": 80,  # the first 64 are drawn, the others learn
    "symbols": [BTC],
    "space": {"fast": {"low": 2, "high": 40, "step": 1}, "slow": {"low": 10, "high": 100}},
    "walk": "rolling",
    "train_days": 15,
    "test_days": 12,
    "start_ms": scenes.START_MS + 20 * 86_400_000,  # the plan's unit is known by then
}


def test_it_learns_anew_in_every_window(markets, alice):
    """Each window's best comes from a study that saw its training alone: the same study on that stretch gives the same."""
    search = running.execute(start(alice, **LEARNING).pk)
    walk = search.result["walk"]
    assert len(walk["windows"]) == 2
    assert walk["learned"] == 80
    assert (search.tried, search.result["tried_in_all"] <= 80) == (80, True)
    assert not np.array_equal(trials.load(search, window=1).table, trials.load(search, window=2).table)
    for number, window in enumerate(walk["windows"], 1):
        tried = trials.load(search, window=number)
        assert tried.table.shape[0] == 80
        best = tried.table[np.nanargmax(tried.results.objective("sharpe"))]
        assert (window["values"]["fast"], window["values"]["slow"]) == (best[0], best[1])
        alone = start(alice, **LEARNING | {"walk": "none", "start_ms": window["train_start_ms"], "end_ms": window["train_end_ms"]})
        ParameterSearch.objects.filter(pk=alone.pk).update(seed=search.seed + number * asking.SEEDS_APART)
        same = trials.load(running.execute(alone.pk))
        assert np.array_equal(same.table, tried.table)
        assert np.array_equal(same.results.net_pct, tried.results.net_pct)


def test_it_goes_on_within_a_window(markets, alice):
    whole = running.execute(start(alice, **LEARNING).pk)
    search, told = start(alice, **LEARNING), []

    def cancel(stage, share):
        told.append((stage, share))
        if stage == "Walk-forward, window 2 of 2, tried 64 of 80":
            searches.cancel(search)

    stopped = running.execute(search.pk, progress=cancel)
    assert (stopped.status, stopped.result) == (JobStatus.CANCELLED, {})
    assert trials.load(search, window=1).table.shape[0] == 80
    assert trials.load(search, window=2).table.shape[0] == 64
    kept = TrialBatch.objects.filter(search=search).count()
    assert searches.resume(search)
    done = running.execute(search.pk)
    assert done.result["walk"] == whole.result["walk"]
    sizes, wanted = (
        [len(batch.params) for batch in TrialBatch.objects.filter(search=each).order_by("window", "number")] for each in (search, whole)
    )
    assert sizes == wanted
    assert kept == len(wanted) - 1
    assert [share for _, share in told] == sorted(share for _, share in told)


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ({"strategy": "moon"}, "strategy", "unknown"),
        ({"space": {"fast": {"low": 9, "high": 4}}}, "fast", "is empty"),
        ({"space": {"fast": {"low": 2, "high": 200, "step": 1}, "slow": {"low": 3, "high": 1000, "step": 1}}}, "space", "more than 20,000"),
        ({"symbols": []}, "symbols", "name at least one"),
        ({"symbols": ["MOON/USDT:USDT"]}, "symbols", "not listed"),
        ({"symbols": ["SOL/USDT:USDT"]}, "symbols", "has no candles"),
        ({"capital": -1}, "capital", "more than 0"),
        ({"capital": 1}, "capital", "cannot buy the venue's smallest order"),
        ({"capital": 1, "engine": {"sizing": "notional"}}, "capital", "at 10 % of equity a position"),
        ({"risk_profile": "wild"}, "risk_profile", "unknown"),
        ({"method": "luck"}, "method", "use one of grid, tpe"),
        ({"objective": "fame"}, "objective", "use one of sharpe"),
        ({"walk": "moon"}, "walk", "use one of none, rolling, anchored"),
        ({"least_trades": 0}, "least_trades", "whole number from 1"),
        ({"trials": 50}, "trials", "a grid tries every combination"),
        ({"method": "tpe", "trials": 5}, "trials", "from 10 to 2,000"),
        ({"method": "tpe", "trials": 20, "space": {}}, "space", "nothing is varied"),
        ({"space": {"fast": 9}}, "space", "nothing is varied"),
        (
            {"method": "tpe", "trials": 2_000, "walk": "rolling", "train_days": 1, "test_days": 1},
            "trials",
            "2,000 on each of [0-9]+ trainings",
        ),
        ({"walk": "rolling"}, "train_days", "62 days hold fewer than 2 windows of 180 days"),
        ({"engine": {"path": "lucky"}}, "path", "not known"),
        ({"start_ms": 5, "end_ms": 5}, "end", "after the start"),
        ({"start_ms": 4_000_000_000_000}, "symbols", "no 15m candles in this span"),
    ],
)
def test_it_refuses_what_cannot_be_searched_and_stores_nothing(markets, alice, more, field, words):
    with pytest.raises(searches.UserError, match=words) as caught:
        start(alice, **more)
    assert caught.value.field == field
    assert not ParameterSearch.objects.exists()


def test_it_lets_nobody_wait_for_more_than_three(markets, alice, bob):
    mine = [start(alice) for _ in range(3)]
    with pytest.raises(searches.NotSearchable, match="3 of your searches"):
        start(alice)
    assert start(bob).pk
    searches.cancel(mine[0])
    start(alice)
    with pytest.raises(searches.NotSearchable, match="3 of your searches"):
        searches.resume(mine[0])


def test_it_says_on_the_row_why_it_failed(markets, alice):
    search = start(alice)
    ParameterSearch.objects.filter(pk=search.pk).update(symbols=["GONE/USDT:USDT"])
    with pytest.raises(searches.UserError):
        running.execute(search.pk)
    search.refresh_from_db()
    assert search.status == JobStatus.FAILED
    assert "GONE/USDT:USDT" in search.error


# --- the command


def test_it_is_run_from_the_command_line(markets):
    out = StringIO()
    asked_for = [
        "--vary=fast=4:12:4",
        "--vary=slow=20:40:10",
        "--vary=stop_atr=2",
        "--walk=none",
        "--least-trades=5",
        "--capital=10000",
        "--engine=opposite=reverse",
    ]
    call_command("optimise", "sma-cross", f"--symbols={BTC}", *asked_for, "--json", stdout=out)
    found = json.loads(out.getvalue())
    assert (found["tried"], found["top"][0]["values"]["stop_atr"]) == (9, 2.0)
    table = StringIO()
    call_command("optimise", "sma-cross", f"--symbols={BTC}", *asked_for, stdout=table)
    assert "9 different tries over this time: 9 here" in table.getvalue()  # the first search tried the same


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--vary=fast"], "write it like fast=5:50:5"),
        (["--vary=fast=9:4"], "is empty"),
        (["--engine=reverse"], "write settings like opposite=reverse"),
        (["--start=1.1.2025"], "is not a day"),
        (["--capital=x"], "not a number"),
    ],
)
def test_it_refuses_on_the_command_line(markets, more, words):
    with pytest.raises(CommandError, match=words):
        call_command("optimise", "sma-cross", f"--symbols={BTC}", *more)


def test_it_names_the_capital_as_runs_do():
    with pytest.raises(runs.NotRunnable, match="more than 0"):
        runs.capital_of("0")
