"""Searches in processes of their own that are killed at any instant: another goes on, and every trial counts once."""

import json
import os
import random
import signal
import time
from datetime import timedelta

import optuna
import pytest

from exchanges.models import JobStatus
from signals import search
from signals.models import Search, SearchLog, SearchTrial, TrialState
from signals.search import lane
from tests.signals import nursery
from tests.signals.markets import HISTORY_BARS, QUICK, make_market
from tests.signals.nursery import wait_for
from tests.signals.series import make_series
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)
BTC = "BTC/USDT:USDT"
KILLS = int(os.environ.get("SEARCH_KILLS", "3"))
SEED = int(os.environ.get("SEARCH_SEED", "7"))
"""SEARCH_KILLS=30 makes a long run of it."""
TRIALS = 5
REMEMBERED = {
    TrialState.RUNNING: optuna.trial.TrialState.RUNNING,
    TrialState.DONE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.LOST: optuna.trial.TrialState.FAIL,
}


@pytest.fixture
def searchers(django_db_setup, monkeypatch):
    """searchers(search): a process that works on it. Nobody is woken by a message: the test says who works."""
    monkeypatch.setattr("signals.receivers.nudge", lambda *_, **__: None)
    with nursery.opened() as children:
        yield lambda row: children.begin("search", row.pk)


def assert_agreed(row: Search) -> None:
    """What the rows say of each trial is what the sampler remembers, and the journal has no hole."""
    rows = {trial.number: trial for trial in row.trials.all()}
    remembered = {trial.number: trial for trial in lane._study(row).get_trials() if trial.state != optuna.trial.TrialState.WAITING}
    assert {number: REMEMBERED[trial.state] for number, trial in rows.items()} == {n: trial.state for n, trial in remembered.items()}
    assert all(trial.value == remembered[n].value for n, trial in rows.items() if trial.state == TrialState.DONE)
    numbers = list(SearchLog.objects.filter(search=row).order_by("number").values_list("number", flat=True))
    assert numbers == list(range(len(numbers)))


def let_time_pass(row: Search) -> None:
    long_ago = clock.now() - search.STALE_AFTER - timedelta(seconds=1)
    SearchTrial.objects.filter(search=row, state=TrialState.RUNNING).update(heartbeat_at=long_ago)


def states(row: Search) -> list[str]:
    return list(row.trials.order_by("number").values_list("state", flat=True))


def test_it_ends_with_the_trials_asked_for_however_often_its_workers_are_killed(searchers):
    make_market(BTC, make_series(HISTORY_BARS, symbol=BTC))
    row = search.start([BTC], trials=TRIALS, workers=2, params={**QUICK, "rounds": 30, "stride": 4, "learners": ["lightgbm"]})
    rng = random.Random(SEED)
    killed = 0
    for _ in range(KILLS):
        known = len(states(row))
        worker = searchers(row)
        wait_for(lambda known=known: len(states(row)) > known, worker)
        time.sleep(rng.uniform(0, 0.4))
        worker.kill()
        killed += worker.wait() == -signal.SIGKILL
        assert_agreed(row)
        assert states(row).count(TrialState.RUNNING) <= 1
        let_time_pass(row)
    assert killed >= 1, "every worker was faster than its kill"
    pair = [searchers(row), searchers(row)]
    wait_for(lambda: TrialState.RUNNING in states(row), pair[1])
    pair[0].kill()
    pair[0].wait()
    assert pair[1].wait() == 0
    let_time_pass(row)
    assert searchers(row).wait() == 0
    row.refresh_from_db()
    assert_agreed(row)
    assert (row.status, states(row).count(TrialState.DONE) + states(row).count(TrialState.PRUNED)) == (JobStatus.DONE, TRIALS)
    assert set(states(row)) <= {TrialState.DONE, TrialState.PRUNED, TrialState.LOST}
    counted = [json.dumps(trial.tuning) for trial in row.trials.filter(state__in=search.COUNTED)]
    assert len(set(counted)) == TRIALS, "no combination is counted twice"
    assert {json.dumps(trial.tuning) for trial in row.trials.filter(state=TrialState.LOST)} <= set(counted), "what was lost was tried again"
