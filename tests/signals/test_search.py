"""Hyper-parameter searches on real learners: whatever happens to a worker, every combination counts once and the sampler forgets nothing."""

import json
import threading
from datetime import timedelta
from io import StringIO

import numpy as np
import optuna
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from exchanges.models import JobStatus
from signals import search, training
from signals.learners.tunables import TUNABLES, fault
from signals.models import Search, SearchLog, SearchTrial, TrialState
from signals.search import lane, objective, space
from signals.training.params import parse
from tests.signals.markets import QUICK, make_pair
from traderai.lib import clock
from traderai.lib.errors import UserError

pytestmark = pytest.mark.django_db
BTC = ["BTC/USDT:USDT"]
SMALL = {**QUICK, "stride": 4, "rounds": 8}


@pytest.fixture
def pair():
    return make_pair()


def begin(trials: int = 3, **how) -> Search:
    return search.start(BTC, trials=trials, params=SMALL, **how)


def states(row: Search) -> list[str]:
    return list(row.trials.order_by("number").values_list("state", flat=True))


def test_it_tries_what_was_asked_for_and_keeps_the_best(pair):
    row = begin(3)
    assert lane.run(row.pk) is False
    row.refresh_from_db()
    assert (row.status, states(row)) == (JobStatus.DONE, ["done"] * 3)
    found = {trial.number: trial for trial in row.trials.all()}
    for trial in found.values():
        assert fault(trial.tuning) == ""
        assert len(trial.folds) == SMALL["folds"]
        assert trial.value == pytest.approx(sum(trial.folds) / len(trial.folds))
    assert len({json.dumps(trial.tuning) for trial in found.values()}) == 3
    assert search.best(row) == max(found.values(), key=lambda trial: trial.value)


def test_the_skill_is_that_of_the_learners_with_these_parameters(pair):
    params = parse(SMALL)
    work = objective.prepare(BTC, params)
    plain = list(objective.steps(work, params, {}))
    assert list(objective.steps(work, params, {})) == plain
    other = list(objective.steps(work, params, {"lightgbm": {"min_data_in_leaf": 50, "learning_rate": 0.2}}))
    assert other != plain
    assert all(step.skill < 0.5 for step in (*plain, *other))
    assert [step.sharpe for step in plain[:-1]] == [None] * (len(plain) - 1)


def test_a_search_that_was_cut_and_taken_up_again_asks_what_it_would_have_asked(pair, monkeypatch):
    whole = begin(4)
    lane.run(whole.pk)
    cut = begin(4)
    asked, steps = iter(range(100)), objective.steps

    def cancel_in_the_third(work, params, tuning):
        for step in steps(work, params, tuning):
            if next(asked) == 4:
                search.cancel(cut)
            yield step

    monkeypatch.setattr(objective, "steps", cancel_in_the_third)
    lane.run(cut.pk)
    cut.refresh_from_db()
    assert (cut.status, states(cut)) == (JobStatus.CANCELLED, ["done", "done", "lost"])
    assert search.resume(cut)
    lane.run(cut.pk)
    cut.refresh_from_db()
    assert (cut.status, states(cut)) == (JobStatus.DONE, ["done", "done", "lost", "done", "done"])
    tried = [list(row.trials.filter(state="done").order_by("number").values_list("tuning", "value")) for row in (whole, cut)]
    assert tried[1][:3] == tried[0][:3]


def test_a_trial_of_a_dead_process_is_tried_again_once(pair):
    row = begin(2)
    Search.objects.filter(pk=row.pk).update(status=JobStatus.RUNNING)
    row.refresh_from_db()
    work = objective.prepare(BTC, parse(SMALL))
    dead = lane._ask(row, work)
    assert lane.run(row.pk) is False, "it may be alive: nobody takes its place"
    assert states(row) == ["running"]
    SearchTrial.objects.update(heartbeat_at=clock.now() - search.STALE_AFTER - timedelta(seconds=1))
    lane.run(row.pk)
    row.refresh_from_db()
    assert (row.status, states(row)) == (JobStatus.DONE, ["lost", "done", "done"])
    lost, again = row.trials.order_by("number")[:2]
    assert again.tuning == lost.tuning
    assert lane._tell(lost, dead, [0.1]) is False, "the process was only slow: it has nothing to say any more"
    lane._settle(lost, dead, TrialState.DONE, [0.1, 0.1])
    assert states(row) == ["lost", "done", "done"]


def test_hopeless_trials_are_cut_short(pair, monkeypatch):
    monkeypatch.setattr(lane, "STARTUP_TRIALS", 2)
    values = iter([0.5, 0.5, 0.4, 0.4, -1.0, -1.0, -1.0, -1.0])
    monkeypatch.setattr(objective, "steps", lambda *_: (objective.Step(next(values)) for _ in range(2)))
    row = search.start(BTC, trials=3, params={**SMALL, "folds": 2})
    lane.run(row.pk)
    assert states(row) == ["done", "done", "pruned"]
    assert row.trials.get(number=2).value == -1.0
    assert search.best(row).number == 0


def test_a_trial_that_fails_costs_itself_and_many_end_the_search(pair, monkeypatch):
    steps, fail = objective.steps, iter([True, False, False])

    def sometimes(*how):
        if next(fail, True):
            raise ValueError("bad luck")
        return steps(*how)

    monkeypatch.setattr(objective, "steps", sometimes)
    row = begin(2)
    lane.run(row.pk)
    row.refresh_from_db()
    assert (row.status, states(row)) == (JobStatus.DONE, ["failed", "done", "done"])
    assert row.trials.get(number=0).error == "ValueError: bad luck"
    other = begin(2)
    lane.run(other.pk)
    other.refresh_from_db()
    assert (other.status, len(states(other))) == (JobStatus.FAILED, lane.MOST_FAILURES)
    assert "trials failed" in other.error


def test_the_samplers_memory_and_the_rows_are_written_together(pair, monkeypatch):
    row = begin(2)

    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(SearchTrial.objects, "create", die)
    with pytest.raises(KeyboardInterrupt):
        lane.run(row.pk)
    assert not SearchTrial.objects.exists()
    row.refresh_from_db()
    assert lane._study(row).get_trials() == [], "a trial nobody has heard of is not remembered"


def test_history_that_cannot_be_used_fails_the_search_with_the_reason(pair):
    row = begin(2)
    Search.objects.filter(pk=row.pk).update(params={**row.params, "folds": 10})
    assert lane.run(row.pk) is False
    row.refresh_from_db()
    assert row.status == JobStatus.FAILED
    assert "ask for fewer folds" in row.error
    assert search.resume(row)


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"trials": 0}, "trials"),
        ({"trials": 1_001}, "trials"),
        ({"trials": 3, "workers": 0}, "workers"),
        ({"trials": 3, "params": {"tuning": {"lightgbm": {"num_leaves": 9}}}}, "params"),
        ({"trials": 3, "params": {"trial_variance": 0.1}}, "params"),
        ({"trials": 3, "params": {"folds": 99}}, "folds"),
        ({"trials": 3, "params": {"learners": ["oracle"]}}, "learners"),
        ({"trials": 3, "params": {"nonsense": 1}}, "nonsense"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_queued(pair, how, field):
    with pytest.raises(UserError) as refused:
        search.start(BTC, **how)
    assert refused.value.field == field
    assert not Search.objects.exists()


@pytest.mark.parametrize(
    ("tuning", "said"),
    [
        ([], "must be an object"),
        ({"oracle": {}}, "'oracle' has no parameters"),
        ({"lightgbm": {"objective": "poisson"}}, "no parameter 'objective'"),
        ({"lightgbm": {"num_leaves": 7.5}}, "whole number from 4 to 63"),
        ({"lightgbm": {"num_leaves": True}}, "whole number"),
        ({"xgboost": {"eta": float("nan")}}, "number from 0.01 to 0.2"),
        ({"xgboost": {"eta": 0.5}}, "not 0.5"),
    ],
)
def test_a_training_refuses_parameters_outside_their_bounds(tuning, said):
    with pytest.raises(UserError, match=said) as refused:
        parse({"tuning": tuning})
    assert refused.value.field == "tuning"


def test_learners_that_are_not_the_default_are_searched_too(pair):
    row = search.start(BTC, trials=1, params={**SMALL, "learners": ["mlp", "histgb"]})
    lane.run(row.pk)
    trial = row.trials.get()
    assert trial.state == "done"
    assert {kind: set(chosen) for kind, chosen in trial.tuning.items()} == {kind: set(TUNABLES[kind]) for kind in ("histgb", "mlp")}


def test_every_tunable_is_sampled_within_its_bounds():
    study = optuna.create_study(sampler=lane._sampler(3))
    for _ in range(20):
        trial = study.ask(space.distributions(list(TUNABLES)))
        assert fault(space.tuning(trial.params)) == ""


def test_the_training_with_the_best_parameters_knows_how_many_were_tried(pair, settings, tmp_path):
    settings.MODEL_DIR = tmp_path
    row = begin(2)
    with pytest.raises(search.SearchRefused, match="none is done yet"):
        search.train_best(row)
    lane.run(row.pk)
    run = search.train_best(row)
    assert run.params["tuning"] == search.best(row).tuning
    assert run.params["trials"] == 2
    model = training.run(run.pk)
    assert model.params["tuning"] == search.best(row).tuning


def test_searches_for_the_same_scope_that_share_a_market_count_as_one(pair):
    now = clock.now()
    rows = {}
    for name, symbols, params in (
        ("first", BTC, SMALL),
        ("again", ["BTC/USDT:USDT", "ETH/USDT:USDT"], SMALL),
        ("other market", ["ETH/USDT:USDT"], SMALL),
        ("other scope", BTC, {**SMALL, "scope": "trend"}),
    ):
        rows[name] = search.start(symbols, trials=2, params=params)
        for number, (state, sharpe) in enumerate((("done", 0.1 * len(rows)), ("pruned", None), ("lost", 0.9))):
            SearchTrial.objects.create(
                search=rows[name], number=number, tuning={}, state=state, sharpe=sharpe, value=0.0, started_at=now, heartbeat_at=now
            )
    told = {name: (search.train_best(row).params["trials"], search.trial_variance(row)) for name, row in rows.items()}
    assert told["first"] == (4, pytest.approx(0.005))
    assert told["again"] == (6, pytest.approx(0.01)), "it shares a market with either"
    assert told["other market"] == (4, pytest.approx(0.005))
    assert told["other scope"] == (2, None)


def test_a_trial_knows_the_sharpe_ratio_that_its_training_reports_and_the_training_how_far_the_trials_lie_apart(settings, tmp_path):
    settings.MODEL_DIR = tmp_path
    make_pair(9_000, pull=0.9)  # an edge to trade on
    row = search.start(["BTC/USDT:USDT", "ETH/USDT:USDT"], trials=3, params={**SMALL, "folds": 3, "rounds": 40, "learners": ["lightgbm"]})
    assert search.trial_variance(row) is None
    lane.run(row.pk)
    ratios = list(row.trials.values_list("sharpe", flat=True))
    assert None not in ratios
    run = search.train_best(row)
    assert run.params["trial_variance"] == pytest.approx(np.var(ratios, ddof=1))
    overall = training.run(run.pk).metrics["trading"]["overall"]
    assert overall["sharpe_daily"] == pytest.approx(search.best(row).sharpe)
    assert (overall["trials"], overall["trial_variance"]) == (3, run.params["trial_variance"])
    SearchTrial.objects.filter(search=row, number=0).update(sharpe=None)
    assert search.trial_variance(row) == pytest.approx(np.var([trial.sharpe for trial in row.trials.exclude(number=0)], ddof=1))
    SearchTrial.objects.filter(search=row, number=1).update(sharpe=None)
    assert search.trial_variance(row) is None, "one ratio has no variance"


def test_the_sweeper_calls_for_the_workers_that_are_missing(pair, monkeypatch):
    row = begin(5, workers=3)
    called = []
    monkeypatch.setattr("signals.receivers.nudge", lambda task, **how: called.append(how["search_id"]))
    now = clock.now()
    for number, age in enumerate((timedelta(0), search.STALE_AFTER * 2)):
        SearchTrial.objects.create(search=row, number=number, tuning={}, started_at=now, heartbeat_at=now - age)
    assert search.sweep() == [row.pk]
    assert search.cancel(row)
    assert search.sweep() == []
    assert not search.cancel(row)


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_the_trials(pair):
    row = begin(6, workers=2)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            lane.run(row.pk)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    row.refresh_from_db()
    assert states(row).count("done") == 6
    assert row.status == JobStatus.DONE
    numbers = list(SearchLog.objects.filter(search=row).order_by("number").values_list("number", flat=True))
    assert numbers == list(range(len(numbers)))


def test_the_command_searches_and_goes_on(pair):
    out = StringIO()
    flags = {"folds": 2, "rounds": 8, "stride": 4}
    call_command("search", symbols=BTC[0], trials=1, json=True, stdout=out, **flags)
    told = json.loads(out.getvalue())
    assert (told["status"], len(told["trials"]), told["best"]["number"]) == ("done", 1, 0)
    out = StringIO()
    call_command("search", resume=told["search"], trials=1, stdout=out)
    assert "2 trials on BTC/USDT:USDT" in out.getvalue()
    with pytest.raises(CommandError, match="there is no search 999"):
        call_command("search", resume=999)
    with pytest.raises(CommandError, match="symbols: name at least one"):
        call_command("search", trials=1)
