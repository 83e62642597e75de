"""Training in processes of its own that are killed and cancelled."""

import os
import random
import signal
import time
from datetime import timedelta
from functools import partial

import pytest

from exchanges.models import JobStatus
from signals import registry, training
from signals.models import ModelVersion, TrainingRun
from tests.signals import nursery
from tests.signals.markets import make_pair
from tests.signals.nursery import wait_for
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)
BOTH = ["BTC/USDT:USDT", "ETH/USDT:USDT"]
KILLS = int(os.environ.get("TRAINING_KILLS", "4"))
SEED = int(os.environ.get("TRAINING_SEED", "7"))
"""TRAINING_KILLS=30 makes a long run of it."""
CANCELLED = 3
LAST = "registering"


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch):
    """Nobody is woken by a message: the test says who works."""
    monkeypatch.setattr("signals.receivers.nudge", lambda *_, **__: None)


@pytest.fixture(scope="module")
def children(django_db_setup):
    with nursery.opened() as opened:
        yield opened


@pytest.fixture
def trainer(children):
    """trainer(run): a process that works on it."""
    started = []

    def begin(run: TrainingRun) -> nursery.Worker:
        started.append(children.begin("training", run.pk))
        return started[-1]

    yield begin
    for worker in started:
        worker.kill()


def assert_whole(run: TrainingRun) -> None:
    """The run is done and its model intact, or there is no model."""
    run.refresh_from_db()
    models = list(ModelVersion.objects.all())
    assert [model.pk for model in models] == ([run.model_id] if run.status == JobStatus.DONE else [])
    for model in models:
        registry.verified(model)


def reached(run: TrainingRun, stage: str | None, lines: int) -> bool:
    """Whether its log names the stage, or has so many lines."""
    return run.lines.filter(text__endswith=stage).exists() if stage else run.lines.count() >= lines


def let_time_pass(run: TrainingRun) -> None:
    TrainingRun.objects.filter(pk=run.pk, status=JobStatus.RUNNING).update(
        heartbeat_at=clock.now() - training.STALE_AFTER - timedelta(seconds=1)
    )


def test_it_leaves_no_half_model_and_starts_again_however_often_it_is_killed(trainer):
    make_pair()
    rng = random.Random(SEED)
    run = training.queue(BOTH, params={"folds": 2, "rounds": 40, "stride": 4})
    for number in range(KILLS):
        worker = trainer(run)
        goal = LAST if number % 2 else None
        lines = run.lines.count() + rng.randint(2, 14)
        wait_for(partial(reached, run, goal, lines), worker)
        time.sleep(rng.uniform(0, 0.05))
        worker.kill()
        status = worker.wait()
        assert_whole(run)
        assert status == -signal.SIGKILL or (status, run.status) == (0, JobStatus.DONE)
        if run.status == JobStatus.DONE:  # it was faster than the kill
            assert registry.load(run.model) is not None
            ModelVersion.objects.all().delete()
            run = training.queue(BOTH, params={"folds": 2, "rounds": 40, "stride": 4})
            continue
        run.lines.all().delete()
        let_time_pass(run)
        training.sweep()
        run.refresh_from_db()
        if run.status == JobStatus.FAILED:
            assert training.restart(run.pk)
        else:
            assert run.status == JobStatus.QUEUED
    assert trainer(run).wait() == 0
    assert_whole(run)
    assert (run.status, run.model.status) == (JobStatus.DONE, "champion")


def test_it_stops_within_seconds_in_the_middle_of_a_fit(trainer):
    make_pair()
    run = training.queue(BOTH, params={"folds": 2, "rounds": 2_000, "patience": 200, "stride": 1})
    worker = trainer(run)
    assert wait_for(lambda: run.lines.filter(text__contains="features and labels of ETH").exists(), worker)
    time.sleep(1.0)
    assert training.cancel(run.pk)
    since = time.monotonic()
    assert worker.wait() == CANCELLED
    assert time.monotonic() - since < 6.0
    assert_whole(run)
    assert run.status == JobStatus.CANCELLED
