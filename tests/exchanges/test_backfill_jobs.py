import threading
import time
from collections import Counter

import pytest
import structlog
from django.db import connection, transaction

from exchanges import backfill, candles
from exchanges.backfill import worker
from exchanges.models import BackfillJob, Candle, JobStatus, Market
from exchanges.tasks import sweep_backfills
from tests.exchanges.backfilling import (
    BTC,
    ETH,
    KLINES,
    PAGE,
    QUARTER_MS,
    UNTIL_MS,
    assert_complete,
    let_time_pass,
    make_state,
    run,
    running,
    start,
)
from tests.exchanges.frames import START_MS, make_frame
from traderai.lib.errors import UserError

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def venue(settings):
    with running(settings, make_state()) as found:
        yield found


@pytest.fixture
def one_by_one(monkeypatch):
    """A chunk is one question."""
    monkeypatch.setattr(worker, "CHUNK", 1)


@pytest.mark.parametrize(("stop", "status"), [(backfill.cancel, JobStatus.CANCELLED), (backfill.pause, JobStatus.PAUSED)])
def test_it_stops_after_its_chunk(venue, one_by_one, stop, status):
    job = start()
    done = run(job, progress=lambda _: stop(job) if Candle.objects.count() == PAGE else None)
    assert done.status == status
    asked = [query["startTime"] for query in venue.called(KLINES)]
    assert len(asked) == len(set(asked)) == Candle.objects.count() / PAGE < 3, "what was on its way is kept"
    assert stop(job) is False
    assert run(job).status == status, "it stays so"
    assert backfill.resume(job) is True
    assert run(job).status == JobStatus.DONE
    assert_complete(venue, BTC)
    assert len(venue.called(KLINES)) == 3, "nothing was asked twice"


def test_it_leaves_the_job_to_whoever_took_it_over(venue):
    job = start()

    def taken_over(seen) -> None:
        if seen.progress < 0.5:
            let_time_pass(job)
            assert run(job).status == JobStatus.DONE

    assert run(job, progress=taken_over).status == JobStatus.DONE
    assert_complete(venue, BTC)
    asked = Counter(query["startTime"] for query in venue.called(KLINES))
    assert sum(asked.values()) <= 3 + worker.CHUNK


def test_it_leaves_the_job_to_whoever_took_it_up_after_a_pause(venue):
    job = start()

    def paused_and_resumed(seen) -> None:
        if seen.progress < 0.5:
            assert backfill.pause(job)
            assert backfill.resume(job)
            assert run(job).status == JobStatus.DONE

    assert run(job, progress=paused_and_resumed).status == JobStatus.DONE
    assert_complete(venue, BTC)


def test_it_is_cancelled_while_it_is_paused(venue):
    job = start()
    assert backfill.pause(job)
    assert run(job).status == JobStatus.PAUSED
    assert backfill.waiting() == []
    assert backfill.cancel(job)
    assert (job.status, job.finished_at is None) == (JobStatus.CANCELLED, False)
    assert not backfill.pause(job)
    assert not backfill.cancel(job)
    assert venue.calls == []


def test_it_is_not_paused_when_it_is_over(venue):
    job = start()
    run(job)
    assert [change(job) for change in (backfill.pause, backfill.resume, backfill.cancel)] == [False] * 3
    assert BackfillJob.objects.get().status == JobStatus.DONE


def test_it_is_paused_by_starting_it_anew_no_longer(venue):
    job = start()
    backfill.pause(job)
    assert (start().pk, BackfillJob.objects.get().status) == (job.pk, JobStatus.QUEUED)


def test_it_notices_a_pause_while_the_venue_hangs(venue, monkeypatch):
    monkeypatch.setattr(worker, "BEAT_S", 0.05)
    venue.script(KLINES, "timeout", seconds=1.0, times=100)
    job = start()
    hearts = []

    def look(*_):
        hearts.append(BackfillJob.objects.get(pk=job.pk).heartbeat_at)

    pauser = threading.Timer(0.3, lambda: (look(), backfill.pause(job), connection.close()))
    pauser.start()
    assert run(job).status == JobStatus.PAUSED
    pauser.join()
    assert hearts[0] > job.created_at, "it gives signs of life while it waits"
    assert len(venue.called(KLINES)) <= 2, "one page, asked for once more because it came empty"


def test_it_finds_jobs_that_a_lost_message_left_behind(venue):
    job = start()
    sweep_backfills()
    job.refresh_from_db()
    assert job.status == JobStatus.DONE
    assert backfill.waiting() == []


def test_it_is_woken_by_a_request(venue):
    job = backfill.request(symbols=[BTC], since_ms=START_MS, until_ms=UNTIL_MS)
    job.refresh_from_db()
    assert job.status == JobStatus.DONE


def test_it_takes_up_an_unfinished_job_instead_of_starting_another(venue):
    first = start()
    assert start().pk == first.pk
    run(first)
    again = start(until_ms=UNTIL_MS)
    assert again.pk != first.pk
    asked = len(venue.called(KLINES))
    assert run(again).status == JobStatus.DONE
    assert len(venue.called(KLINES)) == asked, "what a finished job fetched is not fetched twice"


def test_it_fetches_only_what_is_new_since_the_last_job(venue):
    run(start(until_ms=UNTIL_MS - 500 * QUARTER_MS))
    venue.calls.clear()
    assert run(start()).rows_written == 500
    assert [int(query["startTime"]) for query in venue.called(KLINES)] == [UNTIL_MS - 500 * QUARTER_MS]
    assert_complete(venue, BTC)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbols": ["NOPE/USDT:USDT"]}, "symbols: 'NOPE/USDT:USDT' is not listed"),
        ({"symbols": []}, "symbols: none given"),
        ({"timeframe": "13m"}, "timeframe: '13m' is not known"),
        ({"venue": "mtgox"}, "venue: 'mtgox' is not known"),
        ({"since_ms": 4_102_444_800_000}, "since: lies in the future"),
        ({"since_ms": -62_135_596_800_000}, "since: lies before 2009"),
        ({"since_ms": UNTIL_MS}, "since: leaves no whole 15m bar"),
    ],
)
def test_it_refuses_a_job_that_cannot_work(options, message):
    with pytest.raises(UserError, match=message):
        start(**options)
    assert not BackfillJob.objects.exists()


def test_it_does_not_mix_the_venues_history_with_a_files():
    candles.ingest(candles.find_market(BTC), make_frame(5), provenance="file")
    with pytest.raises(candles.MixedSources):
        start()


def test_it_begins_anew_after_a_deadlock(venue):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time: two cannot wait for each other")
    run(start([BTC, ETH], until_ms=START_MS + 4 * QUARTER_MS))
    first, second = (candles.find_market(symbol) for symbol in (BTC, ETH))
    locked, over = threading.Event(), threading.Event()

    def lock_the_other_way_round() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            Market.objects.select_for_update().get(pk=second.pk)
            locked.set()
            for _ in range(500):
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
                if cursor.fetchone()[0]:
                    break
                time.sleep(0.01)
            Market.objects.select_for_update().get(pk=first.pk)
        over.set()
        connection.close()

    def gather_both_markets(job) -> None:
        if not locked.is_set():
            time.sleep(0.3)  # the other pages of both come meanwhile, and are stored together
            other.start()
            assert locked.wait(5)

    other = threading.Thread(target=lock_the_other_way_round)
    with structlog.testing.capture_logs() as logs:
        assert run(start([BTC, ETH]), progress=gather_both_markets).status == JobStatus.DONE
    other.join(10)
    assert over.is_set()
    assert "backfill begins anew after a deadlock" in [entry["event"] for entry in logs]
    assert_complete(venue, BTC, ETH)
