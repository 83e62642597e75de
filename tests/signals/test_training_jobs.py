"""Training runs as rows: who may start, stop and restart them, and what they say."""

import threading
import time
from datetime import timedelta

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from exchanges import candles
from exchanges.models import JobStatus
from signals import registry, training
from signals.learners import learner
from signals.models import ModelVersion, TrainingLine, TrainingRun
from signals.ports import CHECKPOINT
from signals.training import walkforward
from signals.training.jobs import UNCLAIMED_S
from tests.signals.markets import HISTORY_BARS, QUICK, make_market, make_pair
from tests.signals.series import make_series
from traderai.lib import clock
from traderai.lib.jobs import Withdrawn

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_dir")]
BOTH = ["BTC/USDT:USDT", "ETH/USDT:USDT"]


class Enough(Exception):
    pass


@pytest.fixture
def btc():
    return make_market(BOTH[0], make_series(HISTORY_BARS, symbol=BOTH[0]))


def texts(run: TrainingRun) -> list[str]:
    return list(run.lines.order_by("pk").values_list("text", flat=True))


def test_it_logs_its_stages_once_each_and_how_it_ended():
    make_pair()
    run = training.queue(BOTH, params=QUICK)
    model = training.run(run.pk)
    said = texts(run)
    assert said[0] == "Asked for."
    assert said[1].startswith("Process ")
    assert said[2] == "0% reading candles"
    assert said[-2] == "99% registering"
    assert said[-1].startswith(f"Registered as {model}. Long: out-of-fold AUC")
    assert len([line for line in said if line.endswith("fold 2 of 2")]) == 1


def test_it_keeps_the_newest_lines_only(btc):
    run = training.queue([BOTH[0]], params=QUICK)
    for number in range(training.KEPT_LINES + 30):
        training.note(run.pk, f"line {number}")
    said = texts(run)
    assert len(said) == training.KEPT_LINES
    assert (said[0], said[-1]) == ("line 30", f"line {training.KEPT_LINES + 29}")


def test_it_cuts_a_line_that_is_too_long_and_joins_one_that_is_broken(btc):
    run = training.queue([BOTH[0]], params=QUICK)
    training.note(run.pk, "a\n b" + "x" * 1_000)
    line = TrainingLine.objects.order_by("-pk").first()
    assert line.text.startswith("a bxx")
    assert len(line.text) == 500


def test_it_trains_one_subject_at_a_time_unless_asked(btc):
    first = training.queue([BOTH[0]], params=QUICK)
    with pytest.raises(training.AlreadyTraining, match=f"training {first.pk} of this scope") as caught:
        training.queue([BOTH[0], BOTH[0]], params=QUICK | {"stride": 8})
    assert caught.value.field == "symbols"
    other = training.queue([BOTH[0]], params=QUICK | {"scope": "btc-only"})
    beside = training.queue([BOTH[0]], params=QUICK, alongside=True)
    assert TrainingRun.objects.count() == 3
    training.cancel(first.pk)
    assert training.queue([BOTH[0]], params=QUICK).pk not in {first.pk, other.pk, beside.pk}


def test_the_database_itself_refuses_a_second_run_of_a_subject(btc):
    first = training.queue([BOTH[0]], params=QUICK)
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.create(symbols=[BOTH[0]], subject=first.subject)


def test_a_run_whose_worker_died_keeps_nobody_waiting(btc):
    dead = training.queue([BOTH[0]], params=QUICK)
    long_ago = clock.now() - training.STALE_AFTER - timedelta(seconds=1)
    TrainingRun.objects.filter(pk=dead.pk).update(status=JobStatus.RUNNING, heartbeat_at=long_ago)
    assert training.queue([BOTH[0]], params=QUICK).status == JobStatus.QUEUED
    dead.refresh_from_db()
    assert (dead.status, dead.error) == (JobStatus.FAILED, "its worker died, and another training was asked for")


def test_it_refuses_a_history_that_is_too_short_before_anything_is_queued():
    make_market(BOTH[0], make_series(3_000, symbol=BOTH[0]))
    with pytest.raises(training.jobs.UnusableHistory, match=r"has 3000 candles of 15m, training with 2 folds needs") as caught:
        training.queue([BOTH[0]], params=QUICK)
    assert caught.value.field == "symbols"
    with pytest.raises(training.jobs.UnusableHistory, match=r"has 750 candles of 1h"):
        training.queue([BOTH[0]], params=QUICK | {"timeframe": "1h"})
    assert not TrainingRun.objects.exists()


def test_what_it_counts_is_what_it_reads(btc):
    for timeframe in ("15m", "30m", "1h"):
        assert candles.most_bars(btc, timeframe) == len(candles.read(btc, timeframe))


def test_it_refuses_a_model_folder_without_room(btc, settings):
    settings.MODEL_DIR = "/proc/models"  # a file system that never has a free byte
    with pytest.raises(registry.NotStored, match="/proc/models has 0 MB left and needs 64") as caught:
        training.queue([BOTH[0]], params=QUICK)
    assert caught.value.field == "model_folder"
    assert not TrainingRun.objects.exists()


def test_a_restarted_run_begins_anew_and_its_log_goes_on(btc):
    run = training.queue([BOTH[0]], params=QUICK)
    assert training.cancel(run.pk, by="sam")
    assert training.restart(run.pk, by="sam")
    run.refresh_from_db()
    assert (run.status, run.progress, run.stage, run.error, run.finished_at) == (JobStatus.QUEUED, 0.0, "", "", None)
    assert texts(run) == ["Asked for.", "Cancelled by sam.", "Restarted by sam."]
    assert not training.restart(run.pk), "it waits already"
    model = training.run(run.pk)
    assert model.symbols == [BOTH[0]]
    assert not training.restart(run.pk), "it is done"


def test_a_run_is_not_restarted_beside_another_of_its_subject(btc):
    run = training.queue([BOTH[0]], params=QUICK)
    training.cancel(run.pk)
    training.queue([BOTH[0]], params=QUICK)
    with pytest.raises(training.AlreadyTraining):
        training.restart(run.pk)
    run.refresh_from_db()
    assert run.status == JobStatus.CANCELLED


def test_a_worker_that_was_taken_for_dead_registers_nothing():
    make_pair()
    run = training.queue(BOTH, params=QUICK)

    def taken_over(stage: str, share: float) -> None:
        if share > 0.5:
            TrainingRun.objects.filter(pk=run.pk).update(heartbeat_at=clock.now())

    with pytest.raises(Withdrawn, match="taken it over"):
        training.run(run.pk, progress=taken_over)
    run.refresh_from_db()
    assert run.status == JobStatus.RUNNING, "it is the other worker's to end"
    assert not ModelVersion.objects.exists()


def test_ctrl_c_cancels_the_run():
    make_pair()
    run = training.queue(BOTH, params=QUICK)

    def stop(stage: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(run.pk, progress=stop)
    run.refresh_from_db()
    assert (run.status, run.error) == (JobStatus.CANCELLED, "Stopped while it ran.")


def test_it_tells_the_time_left_once_it_can(btc):
    run = training.queue([BOTH[0]], params=QUICK)
    assert training.pace(run) == training.Pace(None, None)
    run.status, run.started_at, run.heartbeat_at, run.progress = JobStatus.RUNNING, clock.now() - timedelta(seconds=30), clock.now(), 0.01
    assert training.pace(run).eta_s is None
    run.progress = 0.25
    assert training.pace(run).worked_s == pytest.approx(30.0, abs=1.0)
    assert training.pace(run).eta_s == pytest.approx(90.0, abs=3.0)


def test_the_sweep_tells_only_of_runs_that_wait_too_long(btc):
    run = training.queue([BOTH[0]], params=QUICK)
    assert training.sweep() == []
    TrainingRun.objects.filter(pk=run.pk).update(created_at=clock.now() - timedelta(seconds=UNCLAIMED_S + 1))
    with transaction.atomic():
        assert training.sweep() == [run.pk]
        transaction.set_rollback(True)


# --- stopping in the middle


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost"])
def test_a_fit_looks_up_between_its_rounds(kind: str):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(800, 6)).astype(np.float32), rng.integers(0, 2, 800).astype(np.int8)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            raise Enough

    token = CHECKPOINT.set(look)
    try:
        for valid in (None, (x[:100], y[:100])):
            looks = 0
            with pytest.raises(Enough):
                learner(kind)(rounds=50, patience=50, seed=1).fit(x, y, np.ones(800), valid)
            assert looks == 5
    finally:
        CHECKPOINT.reset(token)


def test_work_in_threads_ends_soon_after_the_caller_is_no_longer_wanted():
    wanted = threading.Event()
    wanted.set()

    def look() -> None:
        if not wanted.is_set():
            raise Enough

    def endless() -> None:
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline:
            CHECKPOINT.get()()
            time.sleep(0.01)

    token = CHECKPOINT.set(look)
    threading.Timer(0.2, wanted.clear).start()
    began = time.monotonic()
    try:
        with pytest.raises(Enough):
            walkforward._in_two_threads([(number, endless) for number in range(5)], lambda _: None)
    finally:
        CHECKPOINT.reset(token)
    assert time.monotonic() - began < 5.0
