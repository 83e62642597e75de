import time
from collections import Counter

import pytest

from exchanges import backfill, candles
from exchanges.backfill import crew, worker
from exchanges.models import BackfillJob, Candle, CandleGap, JobStatus, Market, Provenance
from exchanges.tasks import run_backfill
from tests.exchanges.backfilling import (
    BARS,
    BTC,
    ETH,
    FUNDING,
    INFO,
    KLINES,
    PAGE,
    PAUSES,
    QUARTER_MS,
    TIME,
    UNTIL_MS,
    assert_complete,
    let_time_pass,
    make_state,
    run,
    running,
    start,
)
from tests.exchanges.frames import START_MS
from traderai.lib import clock

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """The process dies: nothing on the way may react to it."""


def die_after(commits: int):
    """A progress callback that kills the process after so many commits."""
    seen = []

    def progress(job) -> None:
        seen.append(job)
        if len(seen) >= commits:
            raise Killed

    return progress


@pytest.fixture
def venue(settings):
    with running(settings, make_state()) as found:
        yield found


def test_it_fetches_exactly_the_venues_closed_candles_and_funding(venue):
    shares: list[float] = []
    job = run(start([BTC, ETH]), progress=lambda job: shares.append(job.progress))
    assert (job.status, job.error, job.errors, job.rows_written, job.progress) == (JobStatus.DONE, "", {}, 2 * BARS, 1.0)
    assert_complete(venue, BTC, ETH)
    assert Market.objects.get(symbol=BTC, venue__slug="binance").provenance == Provenance.VENUE
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert PAUSES == []
    assert not CandleGap.objects.exists()


def test_it_asks_page_by_page_within_the_venues_cap(venue):
    job = run(start())
    asked = venue.called(KLINES)
    assert sorted(int(query["startTime"]) for query in asked) == [START_MS + page * PAGE * QUARTER_MS for page in range(3)]
    assert sorted(query["limit"] for query in asked) == ["1000", "1000", "500"], "no more is paid for than has closed"
    assert len(venue.called(INFO)) == 1
    assert job.requests == 6, "the time, three pages, funding rates, and whether there are more"


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_it_loses_nothing_and_repeats_at_most_a_chunk_when_killed(venue, commits):
    job = start([BTC, ETH])
    with pytest.raises(Killed):
        run(job, progress=die_after(commits))
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING
    assert run(job).status == JobStatus.RUNNING, "a job with a beating heart is left alone"
    let_time_pass(job)
    assert backfill.waiting() == [job.pk]
    assert run(job).status == JobStatus.DONE
    assert_complete(venue, BTC, ETH)
    asked = Counter((query["symbol"], query["startTime"]) for query in venue.called(KLINES))
    assert len(asked) == 6
    assert sum(asked.values()) <= 6 + worker.CHUNK
    assert set(asked.values()) <= {1, 2}


def test_it_keeps_checkpoint_and_candles_together_when_killed_inside_a_chunk(venue, monkeypatch):
    job = start()

    def dying_save(self, *args, **kwargs):
        if self.rows_written > PAGE:
            raise Killed
        return original(self, *args, **kwargs)

    original = BackfillJob.save
    with monkeypatch.context() as patch:
        patch.setattr(BackfillJob, "save", dying_save)
        with pytest.raises(Killed):
            run(job)
    job.refresh_from_db()
    assert job.checkpoints[BTC] == START_MS + PAGE * QUARTER_MS
    assert Candle.objects.count() == job.rows_written == PAGE
    let_time_pass(job)
    assert run(job).status == JobStatus.DONE
    assert_complete(venue, BTC)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("status", {"status": 429, "retry_after": 0.2}),
        ("status", {"status": 418, "retry_after": 0.4}),
        ("status", {"status": 500}),
        ("status", {"status": 503}),
        ("html", {}),
        ("truncated", {}),
        ("empty", {}),
        ("reset", {}),
    ],
)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_it_ends_complete_however_the_venue_stumbles(venue, kind, how, nth):
    venue.script(KLINES, kind, nth=nth, **how)
    job = run(start())
    assert (job.status, job.error) == (JobStatus.DONE, "")
    assert_complete(venue, BTC)
    assert len(PAUSES) == (0 if kind == "empty" else 1)
    if "retry_after" in how:
        assert PAUSES[0] >= how["retry_after"]


@pytest.mark.parametrize("route", [TIME, INFO, FUNDING])
@pytest.mark.parametrize("kind", ["status", "html", "truncated", "reset"])
def test_it_survives_trouble_on_every_route(venue, route, kind):
    venue.script(route, kind)
    assert run(start()).status == JobStatus.DONE
    assert_complete(venue, BTC)


def test_it_gives_up_after_some_tries_and_continues_when_asked_to(venue):
    venue.script(KLINES, "status", status=503, nth=2, times=1000)
    job = run(start())
    assert job.status == JobStatus.FAILED
    assert (
        job.error
        == f"binance is not available when asked for {BTC} 15m candles, {crew.ATTEMPTS} times; resume the job to continue where it stopped"
    )
    assert "http" not in job.error
    assert job.checkpoints[BTC] == START_MS + PAGE * QUARTER_MS
    assert max(PAUSES) <= crew.LONGEST_PAUSE_S
    venue.faults.clear()
    assert backfill.resume(job) is True
    job = run(job)
    assert (job.status, job.error, job.rows_written) == (JobStatus.DONE, "", BARS)
    assert_complete(venue, BTC)


def test_it_does_not_try_a_venue_that_is_away_for_every_market(settings):
    bases = ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "LINK", "AVAX", "DOT")
    with running(settings, make_state(10, bases)) as venue:
        for route in (KLINES, FUNDING):
            venue.script(route, "status", status=503, times=10_000)
        job = run(start([f"{base}/USDT:USDT" for base in bases]))
        assert (job.status, job.errors) == (JobStatus.FAILED, {})
        assert "binance is not available" in job.error
        assert len(venue.called(KLINES)) + len(venue.called(FUNDING)) <= 2 * worker.CHUNK * crew.ATTEMPTS


def test_it_does_not_sit_out_a_ban_of_an_hour(venue):
    venue.script(KLINES, "status", status=418, retry_after=3600)
    job = run(start())
    assert job.status == JobStatus.FAILED
    assert "asks to wait 3600 s" in job.error
    assert PAUSES == []


def test_it_says_which_market_stopped_and_why_and_finishes_the_others(venue):
    job = run(start([BTC, "SOL/USDT:USDT", ETH]))
    assert job.status == JobStatus.FAILED
    assert job.errors.keys() == {"SOL/USDT:USDT", "SOL/USDT:USDT funding"}
    assert "binance does not list SOL/USDT:USDT" in job.errors["SOL/USDT:USDT"]
    assert "binance does not list SOL/USDT:USDT" in job.error
    assert job.error.endswith("(and 1 more, each told in errors); resume the job to continue where it stopped")
    assert_complete(venue, BTC, ETH)


def test_it_finishes_the_others_when_the_venue_fails_for_one_market(venue):
    venue.script(KLINES, "status", status=500, times=10_000, symbol="ETHUSDT")
    venue.state.now_ms += 2_000 * QUARTER_MS
    # A real pause: without any, the six attempts could be over before the other market's first answer has come, and the venue be taken for away.
    job = run(start([ETH, BTC], until_ms=UNTIL_MS), pause=lambda _: time.sleep(0.1))
    assert (job.status, list(job.errors)) == (JobStatus.FAILED, [ETH])
    assert f"{crew.ATTEMPTS} times" in job.errors[ETH]
    assert job.progress_of(BTC) == 1.0
    assert job.progress_of(ETH) == 0.0
    venue.faults.clear()
    backfill.resume(job)
    assert run(job).status == JobStatus.DONE
    venue.state.now_ms -= 2_000 * QUARTER_MS
    assert_complete(venue, BTC, ETH)


def test_it_finishes_the_others_when_a_market_sends_what_cannot_be_stored(venue):
    frame = venue.state.candles["BTCUSDT", "15m"]
    frame.high[1_500] = frame.low[1_500] / 2
    job = run(start([BTC, ETH]))
    assert (job.status, list(job.errors)) == (JobStatus.FAILED, [BTC])
    assert "row 501, high:" in job.errors[BTC]
    assert job.checkpoints[BTC] == START_MS + PAGE * QUARTER_MS
    assert_complete(venue, ETH)


def test_it_does_not_ask_again_for_a_market_that_stopped_before_its_worker_died(venue):
    job = start(["SOL/USDT:USDT", BTC])
    with pytest.raises(Killed):
        run(job, progress=lambda job: die_after(1)(0) if job.errors else None)
    let_time_pass(job)
    asked = len([query for query in venue.called(KLINES) if query.get("symbol") == "SOLUSDT"])
    assert run(job).status == JobStatus.FAILED
    assert len([query for query in venue.called(KLINES) if query.get("symbol") == "SOLUSDT"]) == asked
    assert_complete(venue, BTC)


def test_it_stores_nothing_of_a_bar_that_is_open_by_the_venues_clock(venue):
    run(start(until_ms=UNTIL_MS + 10 * QUARTER_MS))
    assert candles.last_open_ms(candles.find_market(BTC), "15m") == UNTIL_MS - QUARTER_MS


def test_it_works_in_chunks_of_time(venue):
    job = start()
    assert run(job, budget_s=0).status == JobStatus.QUEUED
    assert Candle.objects.count() == 0
    run_backfill(job_id=job.pk)
    job.refresh_from_db()
    assert job.status == JobStatus.DONE


def test_it_tells_every_process_rate_and_time_left(venue):
    told = []
    job = start([BTC, ETH])
    run(job, progress=lambda job: told.append(BackfillJob.objects.get(pk=job.pk)))
    assert [job.requests for job in told] == sorted(job.requests for job in told)
    begun = next(job for job in told if job.rows_written)
    assert backfill.pace(begun).rows_per_s > 0
    assert backfill.pace(begun).eta_s > 0
    assert 0 < begun.progress_of(BTC) + begun.progress_of(ETH) < 2
    job.refresh_from_db()
    assert backfill.pace(job).rows_per_s > 0
    assert backfill.pace(job).eta_s is None


def test_it_believes_only_a_second_empty_page_of_funding_rates(venue):
    venue.script(FUNDING, "empty")
    assert run(start()).status == JobStatus.DONE
    assert_complete(venue, BTC)


def test_it_says_that_this_computers_clock_is_behind(venue, settings):
    settings.VENUE_CLOCK_TOLERANCE_S = 60.0
    venue.state.now_ms = clock.now_ms() + 3_600_000
    job = run(start())
    assert job.status == JobStatus.FAILED
    assert job.error.startswith("clock: this computer's clock is 3600 s behind binance's; set it")
    assert job.error.endswith("resume the job to continue where it stopped")
    venue.state.now_ms = clock.now_ms()
    assert backfill.resume(job)
    assert run(job).status == JobStatus.DONE


def test_it_says_that_the_venue_does_not_offer_the_timeframe(venue, monkeypatch):
    job = run(start(timeframe="3m", until_ms=START_MS + 9_000_000))
    assert (job.status, job.checkpoints.get(BTC)) == (JobStatus.DONE, START_MS + 9_000_000), (
        "the test venue tells nothing of this timeframe"
    )
    assert job.starts == {BTC: None}
