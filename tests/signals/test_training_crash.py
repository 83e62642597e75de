"""Training in processes of its own that are killed and cancelled."""

import os
import random
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from exchanges.models import JobStatus
from signals import registry, training
from signals.models import ModelVersion, TrainingRun
from tests.databases import database_url
from tests.signals.markets import make_pair
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
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


class Worker:
    """A worker process of tests.signals.trainer."""

    def __init__(self, nursery: subprocess.Popen[bytes], run: TrainingRun) -> None:
        self.nursery = nursery
        nursery.stdin.write(f"{run.pk}\n".encode())
        self.pid = int(nursery.stdout.readline())

    @property
    def is_over(self) -> bool:
        return bool(select.select([self.nursery.stdout], [], [], 0)[0])

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status: negative when a signal ended it."""
        assert select.select([self.nursery.stdout], [], [], 120)[0]
        return int(self.nursery.stdout.readline())


@pytest.fixture(scope="module")
def nursery(django_db_setup):
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database_url()}
    command = [sys.executable, "-m", "tests.signals.trainer"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    yield process
    process.stdin.close()
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def trainer(nursery):
    """trainer(run): a process that works on it."""
    started = []

    def begin(run: TrainingRun) -> Worker:
        started.append(Worker(nursery, run))
        return started[-1]

    yield begin
    for worker in started:
        worker.kill()


def wait_for(what, worker: Worker) -> bool:
    """False when the worker was over before."""
    deadline = time.monotonic() + 120
    while not what():
        if worker.is_over:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return True


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
