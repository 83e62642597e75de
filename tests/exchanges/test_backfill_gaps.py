from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges import backfill, candles
from exchanges.backfill import crew, gaps
from exchanges.models import Candle, CandleGap, GapState, JobStatus
from exchanges.tasks import sweep_gaps
from exchanges.timeframes import Gap
from tests.exchanges.backfilling import (
    BARS,
    BTC,
    KLINES,
    QUARTER_MS,
    UNTIL_MS,
    assert_complete,
    keep,
    make_state,
    run,
    running,
    start,
    without,
)
from tests.exchanges.frames import START_MS, make_frame
from traderai.lib import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def venue(settings):
    with running(settings, make_state()) as found:
        yield found


@pytest.fixture
def market():
    return candles.find_market(BTC)


@pytest.fixture
def quick(monkeypatch):
    """Pauses between tries, which nobody hands in here, are short."""
    monkeypatch.setattr(crew, "FIRST_PAUSE_S", 0.001)


def at(bar: int) -> int:
    return START_MS + bar * QUARTER_MS


def noted() -> list[tuple[int, int, str]]:
    """(first bar, last bar, state) of every gap known, bars counted from START_MS."""
    rows = CandleGap.objects.order_by("first_ms").values_list("first_ms", "last_ms", "state")
    return [((first - START_MS) // QUARTER_MS, (last - START_MS) // QUARTER_MS, state) for first, last, state in rows]


def bars(*spans: tuple[int, int]) -> list[Gap]:
    return [Gap(at(first), at(last), last - first + 1) for first, last in spans]


def asked(venue) -> list[tuple[int, int]]:
    """(first bar, limit) of every question for candles since the log was cleared."""
    return sorted(((int(query["startTime"]) - START_MS) // QUARTER_MS, int(query["limit"])) for query in venue.called(KLINES))


def test_it_finds_what_is_missing_within_and_at_the_edges(market):
    frame = make_frame(100)
    for first, stop in ((10, 20), (21, 50), (60, 90)):
        candles.ingest(market, frame.slice(first, stop), provenance="venue")
    assert gaps.detect(market, "15m", at(0), at(100)) == bars((0, 9), (20, 20), (50, 59), (90, 99))
    assert gaps.detect(market, "15m", at(12), at(90)) == bars((20, 20), (50, 59))
    assert gaps.detect(market, "15m", at(92), at(95)) == bars((92, 94))
    assert gaps.detect(market, "15m", at(95), at(95)) == []


def test_it_notes_as_empty_what_the_venue_has_not(venue, market):
    without(venue, "BTCUSDT", 100, 1600)
    job = run(start())
    assert (job.status, job.error, job.progress) == (JobStatus.DONE, "", 1.0)
    assert_complete(venue, BTC)
    assert noted() == [(100, 1599, GapState.EMPTY)]
    assert asked(venue) == [(0, 1000), (100, 1000), (1000, 1000), (1100, 500), (2000, 500)]
    assert backfill.missing(market, "15m") == {"open": 0, "empty": 1500}


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_it_asks_again_for_a_page_that_came_without_bars(venue, nth):
    venue.script(KLINES, "empty", nth=nth)
    assert run(start()).status == JobStatus.DONE
    assert_complete(venue, BTC)
    assert noted() == []


def test_it_fills_a_gap_that_the_venue_has_repaired(venue, market):
    whole = venue.state.candles["BTCUSDT", "15m"]
    without(venue, "BTCUSDT", 100, 1600)
    run(start())
    venue.state.candles["BTCUSDT", "15m"] = whole
    assert backfill.gappy() == []
    assert backfill.repair(market).filled == 0, "it was asked a moment ago"
    CandleGap.objects.update(checked_at=clock.now() - gaps.ASK_AGAIN_AFTER - timedelta(hours=1))
    assert backfill.gappy() == [(market.pk, "15m")]
    sweep_gaps()
    assert_complete(venue, BTC)
    assert noted() == []
    assert backfill.gappy() == []


def test_it_keeps_what_is_still_missing_of_a_gap(venue, market):
    whole = venue.state.candles["BTCUSDT", "15m"]
    without(venue, "BTCUSDT", 100, 1600)
    run(start())
    venue.state.candles["BTCUSDT", "15m"] = whole
    without(venue, "BTCUSDT", 300, 302)
    told = backfill.repair(market, all_empty=True)
    assert (told.filled, told.empty, told.open, told.reason) == (1498, 2, 0, "")
    assert_complete(venue, BTC)
    assert noted() == [(300, 301, GapState.EMPTY)]


def test_it_leaves_a_gap_open_when_asking_fails(venue, market, quick):
    whole = venue.state.candles["BTCUSDT", "15m"]
    without(venue, "BTCUSDT", 100, 1600)
    venue.script(KLINES, "status", status=503, nth=4, times=10_000)
    job = run(start())
    assert (job.status, job.errors) == (JobStatus.DONE, {}), "candles that the venue has are there"
    assert noted() == [(100, 1599, GapState.OPEN)]
    assert "binance is not available" in CandleGap.objects.first().reason
    sweep_gaps()
    assert noted() == [(100, 1599, GapState.OPEN)], "still away"
    venue.faults.clear()
    venue.state.candles["BTCUSDT", "15m"] = whole
    without(venue, "BTCUSDT", 1500, 1501)
    sweep_gaps()
    assert noted() == [(1500, 1500, GapState.EMPTY)]
    assert_complete(venue, BTC)


def test_it_retries_open_gaps_with_the_next_job(venue, market):
    whole = venue.state.candles["BTCUSDT", "15m"]
    without(venue, "BTCUSDT", 100, 1600)
    venue.script(KLINES, "status", status=503, nth=3, times=10_000)
    run(start(until_ms=at(2000)))
    assert noted() == [(100, 1599, GapState.OPEN)]
    venue.faults.clear()
    venue.state.candles["BTCUSDT", "15m"] = whole
    assert run(start()).status == JobStatus.DONE
    assert noted() == []
    assert_complete(venue, BTC)


def test_it_does_not_ask_for_known_gaps_with_every_job(venue):
    without(venue, "BTCUSDT", 100, 110)
    run(start(until_ms=at(2000)))
    venue.calls.clear()
    run(start())
    assert asked(venue) == [(2000, 500)]
    assert_complete(venue, BTC)


def test_it_ends_for_a_market_whose_history_ended_long_ago(venue):
    keep(venue, "BTCUSDT", np.arange(BARS + 1) < 700)
    assert run(start()).status == JobStatus.DONE
    assert Candle.objects.count() == 700
    assert noted() == [(700, BARS - 1, GapState.EMPTY)]


def test_it_does_not_call_empty_what_has_only_just_closed(settings):
    now_ms = clock.now_ms()
    newest_ms = now_ms // QUARTER_MS * QUARTER_MS - QUARTER_MS
    state = make_state(100)
    state.now_ms = now_ms
    frame = make_frame(60, start_ms=newest_ms - 62 * QUARTER_MS)
    state.candles["BTCUSDT", "15m"] = frame
    with running(settings, state):
        job = run(start(since_ms=int(frame.timestamp[0]), until_ms=None))
    assert job.status == JobStatus.DONE
    assert gaps.detect(candles.find_market(BTC), "15m", job.since_ms, job.until_ms)
    assert not CandleGap.objects.exists()
    state.candles["BTCUSDT", "15m"] = make_frame(63, start_ms=newest_ms - 62 * QUARTER_MS)
    with running(settings, state):
        assert run(start(since_ms=int(frame.timestamp[0]), until_ms=None)).status == JobStatus.DONE
        assert_complete_frame(state.closed("BTCUSDT", "15m"))


def assert_complete_frame(frame) -> None:
    stored = candles.read(candles.find_market(BTC), "15m")
    assert stored.timestamp.tolist() == frame.timestamp.tolist()


def test_it_begins_where_the_venues_history_does(venue):
    keep(venue, "BTCUSDT", np.arange(BARS + 1) >= 1234)
    job = run(start(since_ms=START_MS - 5_000 * QUARTER_MS))
    assert (job.status, job.starts, job.progress) == (JobStatus.DONE, {BTC: at(1234)}, 1.0)
    assert_complete_frame(venue.state.closed("BTCUSDT", "15m"))
    assert noted() == []
    assert len(venue.called(KLINES)) <= 5, "nobody walks through years without bars"
    venue.calls.clear()
    assert run(start(since_ms=START_MS - 5_000 * QUARTER_MS, until_ms=UNTIL_MS)).status == JobStatus.DONE
    assert venue.called(KLINES) == []


def test_it_says_that_the_venue_has_nothing_in_that_time(venue):
    job = run(start(since_ms=START_MS - 5_000 * QUARTER_MS, until_ms=START_MS))
    assert (job.status, job.starts, job.progress) == (JobStatus.DONE, {BTC: None}, 1.0)
    assert not Candle.objects.exists()
    assert noted() == []


def test_it_repairs_only_what_is_the_venues(market):
    candles.ingest(market, make_frame(50).slice(0, 20), provenance="file")
    candles.ingest(market, make_frame(50).slice(30, 50), provenance="file")
    with pytest.raises(candles.MixedSources):
        backfill.repair(market)
    assert backfill.gappy() == []


def test_it_knows_no_gaps_where_trading_pauses_at_night(market):
    market.kind = "equity"
    for first in (0, 50):
        candles.ingest(market, make_frame(100).slice(first, first + 20), provenance="venue")
    assert gaps.detect(market, "15m", at(0), at(100)) == []


def test_it_forgets_gaps_with_the_history(market):
    candles.ingest(market, make_frame(10), provenance="venue")
    gaps.note(market, "15m", Gap(at(3), at(4), 2), GapState.EMPTY)
    candles.forget(market)
    assert noted() == []


def test_it_forgets_gaps_that_were_filled_by_others(market):
    candles.ingest(market, make_frame(30), provenance="venue")
    gaps.note(market, "15m", Gap(at(3), at(8), 6), GapState.OPEN)
    told = backfill.repair(market)
    assert (told.filled, told.open) == (0, 0)
    assert noted() == []


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8), st.sampled_from([GapState.OPEN, GapState.EMPTY, None])), max_size=12)


@given(spans=SPANS)
def test_it_remembers_the_last_word_about_every_bar(spans):
    market = candles.find_market(BTC)
    CandleGap.objects.all().delete()
    told: dict[int, str | None] = {}
    for first, length, state in spans:
        gaps.note(market, "15m", bars((first, first + length))[0], state)
        told |= dict.fromkeys(range(first, first + length + 1), state)
    known = [(bar, state) for first, last, state in noted() for bar in range(first, last + 1)]
    assert known == sorted((bar, state) for bar, state in told.items() if state is not None)
    rows = noted()
    assert all(one[1] + 1 < other[0] or one[2] != other[2] for one, other in pairwise(rows)), "neighbours are one row"
