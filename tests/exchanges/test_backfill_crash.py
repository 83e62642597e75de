"""Backfill in processes of its own that are killed, and in a database that is full."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, transaction

from exchanges import backfill, candles
from exchanges.backfill import worker
from exchanges.models import BackfillJob, Candle, JobStatus
from tests.databases import database_url
from tests.exchanges.backfilling import (
    BTC,
    FUNDING,
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
from tests.processes import heed_ctrl_c
from traderai.lib import clock
from traderai.lib.room import is_out_of_room

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parent.parent.parent
KILLS = int(os.environ.get("BACKFILL_KILLS", "2"))
SEED = int(os.environ.get("BACKFILL_SEED", "7"))
"""BACKFILL_KILLS=50 makes a long run of it."""
BASES = ("BTC", "ETH") if KILLS < 10 else ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "LINK", "AVAX", "DOT")
LONG = 24_000 if KILLS < 10 else 90_000
"""Bars of each market."""


SYMBOLS = [f"{base}/USDT:USDT" for base in BASES]


@pytest.fixture
def venue(settings):
    with running(settings, make_state()) as found:
        yield found


@pytest.fixture
def command():
    """command(venue, bars): `manage.py backfill` in a process of its own."""
    started = []

    def begin(venue, bars: int = LONG) -> subprocess.Popen[str]:
        env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": database_url(),
            "VENUE_BASE_URLS": json.dumps({"binance": venue.url}),
        }
        until = clock.from_ms(START_MS + bars * QUARTER_MS).isoformat()
        arguments = ["--symbols", ",".join(SYMBOLS), "--since", "2024-01-01", "--until", until, "--json"]
        process = subprocess.Popen(
            [sys.executable, "manage.py", "backfill", *arguments],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_ctrl_c,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def wait_for(what, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_it_ends_with_exactly_the_venues_candles_however_often_it_is_killed(settings, command):
    rng = random.Random(SEED)
    with running(settings, make_state(LONG, BASES)) as venue:
        for _ in range(KILLS):
            process = command(venue)
            enough = len(venue.calls) + rng.randint(1, 15)
            wait_for(lambda enough=enough: len(venue.calls) >= enough, process)
            time.sleep(rng.uniform(0, 0.02))
            process.kill()
            assert process.wait() == -signal.SIGKILL
            for job in BackfillJob.objects.filter(status=JobStatus.RUNNING):
                let_time_pass(job)
        out, err = command(venue).communicate(timeout=300)
        told = json.loads(out)
        assert (told["status"], told["errors"], told["rows"]) == ("done", {}, len(SYMBOLS) * LONG), err
        assert_complete(venue, *SYMBOLS, until_ms=START_MS + LONG * QUARTER_MS)
        asked = Counter((route, *sorted(query.items())) for route, query in venue.calls if route in (KLINES, FUNDING))
        repeated = sum(asked.values()) - len(asked)
        ends = len(SYMBOLS)  # that funding rates have ended is asked twice
        assert repeated <= KILLS * worker.CHUNK + ends, "at most a chunk for each kill"


def test_it_is_paused_by_ctrl_c_and_continues(settings, command):
    with running(settings, make_state(LONG, BASES)) as venue:
        process = command(venue)
        wait_for(lambda: Candle.objects.exists(), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130
        assert "paused at" in err
        assert err.strip().endswith("run the same command again to continue")
        assert BackfillJob.objects.get().status == JobStatus.PAUSED
        assert run(start(SYMBOLS, until_ms=START_MS + LONG * QUARTER_MS)).status == JobStatus.DONE
        assert_complete(venue, *SYMBOLS, until_ms=START_MS + LONG * QUARTER_MS)


def test_two_processes_work_on_a_job_once(settings, command):
    with running(settings, make_state(LONG, BASES)) as venue:
        processes = [command(venue), command(venue)]
        ended = [(process.communicate(timeout=300), process.returncode) for process in processes]
        assert sorted(code for _, code in ended) in ([0, 0], [0, 1]), ended
        assert all("another process is working on it" in err for (_, err), code in ended if code), ended
        assert_complete(venue, *SYMBOLS, until_ms=START_MS + LONG * QUARTER_MS)
        asked = Counter(tuple(sorted(query.items())) for query in venue.called(KLINES))
        assert set(asked.values()) == {1}


@pytest.fixture
def small_disk():
    """small_disk(pages): the database may grow by so many pages."""
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite can be given a small disk from within")

    def limit(pages: int | None) -> None:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")  # no free pages inside the file
            cursor.execute("PRAGMA page_count")
            count = cursor.fetchone()[0]
            cursor.execute(f"PRAGMA max_page_count = {1_073_741_823 if pages is None else count + pages}")

    yield limit
    limit(None)


def test_it_says_that_the_disk_is_full_and_continues_when_there_is_room(venue, small_disk):
    job = start()
    small_disk(20)
    job = run(job)
    assert (job.status, job.error) == (
        JobStatus.FAILED,
        "The database has no room left: free space on its disk, then try again and resume the job",
    )
    assert job.checkpoints.get(BTC, START_MS) == START_MS + Candle.objects.count() * QUARTER_MS < UNTIL_MS
    small_disk(None)
    assert backfill.resume(job)
    assert run(job).status == JobStatus.DONE
    assert_complete(venue, BTC)


def test_it_knows_a_full_disk_from_other_trouble(small_disk):
    market = candles.find_market(BTC)
    small_disk(0)
    with pytest.raises(DatabaseError) as full:
        candles.ingest(market, make_frame(PAGE), provenance="venue")
    assert is_out_of_room(full.value)
    with pytest.raises(DatabaseError) as other, transaction.atomic():
        Candle.objects.raw("SELECT nothing FROM nowhere")[0]
    assert not is_out_of_room(other.value)


def test_it_says_over_http_that_the_disk_is_full(sam, client_for, small_disk, monkeypatch):
    monkeypatch.setattr("exchanges.receivers.nudge", lambda *_, **__: None)
    client = client_for(sam)
    small_disk(0)
    replies = []
    while len(replies) < 500 and (not replies or replies[-1].status_code == 202):
        body = {"symbols": [BTC], "since": clock.from_ms(START_MS + len(replies) * QUARTER_MS).isoformat(), "until": "2025-01-01"}
        replies.append(client.post("/api/v1/backfill/start", body, content_type="application/json"))
    assert replies[-1].status_code == 503
    assert replies[-1].json()["detail"] == "The database has no room left: free space on its disk, then try again"
