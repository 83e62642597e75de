"""Jobs as rows, tried with those of backtests."""

import sqlite3
from datetime import timedelta

import pytest
from django.db import OperationalError, transaction

from backtesting.models import BacktestRun
from traderai.lib import clock, jobs
from traderai.lib.errors import UserError
from traderai.lib.jobs import Claim, JobStatus, Withdrawn
from traderai.lib.room import OutOfRoom

pytestmark = pytest.mark.django_db
RUNS = BacktestRun.objects
MINUTE = timedelta(minutes=1)


def make_job(**more) -> BacktestRun:
    return RUNS.create(**{"venue_slug": "binance", "symbols": [], "timeframe": "15m", "capital": 100, "risk_profile": "low", **more})


@pytest.fixture
def held() -> Claim[BacktestRun]:
    return Claim.take(RUNS.all(), make_job(error="an earlier failure", progress=0.7).pk)


def cancelled(row):
    RUNS.filter(pk=row.pk).update(status=JobStatus.CANCELLED)


def removed(row):
    RUNS.filter(pk=row.pk).delete()


def taken_over(row):
    RUNS.filter(pk=row.pk).update(status=JobStatus.QUEUED)
    assert Claim.take(RUNS.all(), row.pk)


def state(row) -> dict | None:
    return RUNS.filter(pk=row.pk).values().first()


def test_one_worker_gets_it(held):
    assert Claim.take(RUNS.all(), held.row.pk) is None
    row = RUNS.get()
    assert (row.status, row.progress, row.error, row.heartbeat_at) == (JobStatus.RUNNING, 0.0, "", held.row.heartbeat_at)
    assert row.started_at == row.heartbeat_at


def test_it_tells_how_far_it_is_and_that_it_lives(held):
    before = held.row.heartbeat_at
    for share in (0.1, 0.2):
        held.beat(stage="Counting", progress=share)
    row = RUNS.get()
    assert (row.stage, row.progress, row.heartbeat_at) == ("Counting", 0.2, held.row.heartbeat_at)
    assert row.heartbeat_at > before


def test_it_says_for_how_long_a_worker_gave_no_news(held):
    assert held.row.silent_s == 0
    held.row.heartbeat_at -= 2 * MINUTE
    assert 120 <= held.row.silent_s < 180
    held.row.status = JobStatus.DONE
    assert held.row.silent_s == 0


@pytest.mark.parametrize("lose", [cancelled, removed, taken_over])
def test_whoever_has_lost_it_changes_nothing_any_more(held, lose):
    lose(held.row)
    left = state(held.row)
    for change in (lambda: held.beat(stage="Counting"), lambda: held.finish(metrics={"trades": 3})):
        with pytest.raises(Withdrawn, match="was cancelled or removed, or another process has taken it over"):
            change()
    assert not held.end(JobStatus.FAILED, "too late")
    with pytest.raises(ValueError, match="bad luck"), held.ending():
        raise ValueError("bad luck")
    assert state(held.row) == left


def test_it_is_done_with_what_it_has_found(held):
    held.finish(metrics={"trades": 3})
    row = RUNS.get()
    assert (row.status, row.progress, row.metrics, row.finished_at) == (JobStatus.DONE, 1.0, {"trades": 3}, held.row.finished_at)
    assert not row.is_unfinished
    assert held.row.metrics == {"trades": 3}


def test_it_can_still_fail_when_its_end_could_not_be_stored(held):
    with pytest.raises(ValueError, match="a bad row"), held.ending(), transaction.atomic():
        held.finish(metrics={"trades": 3})
        raise ValueError("a bad row")
    row = RUNS.get()
    assert (row.status, row.metrics) == (JobStatus.FAILED, {})


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (UserError("symbols: name one"), JobStatus.FAILED, "symbols: name one"),
        (ValueError("secret"), JobStatus.FAILED, "It failed unexpectedly (ValueError); the log has the details."),
        (OperationalError("locked"), JobStatus.FAILED, "It failed unexpectedly (OperationalError); the log has the details."),
        (KeyboardInterrupt(), JobStatus.CANCELLED, "Stopped while it ran."),
        (SystemExit(1), JobStatus.CANCELLED, "Stopped while it ran."),
    ],
)
def test_whatever_ends_it_is_kept_and_raised(held, error, status, words):
    with pytest.raises(type(error)) as raised, held.ending():
        raise error
    assert raised.value is error
    row = RUNS.get()
    assert (row.status, row.error, row.finished_at is None) == (status, words, False)


def test_a_full_disk_is_told_as_such(held):
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    with pytest.raises(OutOfRoom), held.ending():
        raise OperationalError from full
    assert (RUNS.get().status, RUNS.get().error) == (JobStatus.FAILED, OutOfRoom().message)


def test_what_is_silent_is_queued_again_and_what_waits_too_long_is_told():
    now = clock.now()
    dead = make_job(status=JobStatus.RUNNING, heartbeat_at=now - 6 * MINUTE)
    forgotten, fresh = make_job(), make_job()
    alive = make_job(status=JobStatus.RUNNING, heartbeat_at=now - 4 * MINUTE)
    over = make_job(status=JobStatus.FAILED, heartbeat_at=now - 6 * MINUTE)
    RUNS.filter(pk__in=[forgotten.pk, alive.pk, over.pk]).update(created_at=now - 6 * MINUTE)
    assert jobs.wake(RUNS.all(), silent_for=5 * MINUTE) == [dead.pk, forgotten.pk]
    waiting = set(RUNS.filter(status=JobStatus.QUEUED).values_list("pk", flat=True))
    assert waiting == {dead.pk, forgotten.pk, fresh.pk}
    assert set(RUNS.filter(status=JobStatus.RUNNING)) == {alive}
