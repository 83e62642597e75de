"""The staff's page of market data: coverage, gaps, and backfills that are started, watched and changed."""

from datetime import UTC, datetime

import numpy as np
import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from exchanges import candles
from exchanges.candles import coverage
from exchanges.models import BackfillJob, Candle, CandleGap, GapState, JobStatus, Market, MarketKind, Provenance, Venue
from exchanges.ports import CandleFrame
from exchanges.venues import registry
from tests.exchanges.frames import make_frame
from tests.venue import Instrument, TestVenue, VenueState
from traderai.lib import clock

pytestmark = pytest.mark.django_db
PAGE, JOBS, START = (reverse(f"admin:exchanges_market_data{part}") for part in ("", "_jobs", "_start"))
BTC = "BTC/USDT:USDT"


def ms(*date: int) -> int:
    return round(datetime(*date, tzinfo=UTC).timestamp() * 1000)


def store(market: Market, start_ms: int, bars: int, *, leave_out: slice = slice(0, 0)) -> None:
    keep = np.ones(bars, bool)
    keep[leave_out] = False
    frame = make_frame(bars, symbol=market.symbol, start_ms=start_ms)
    candles.ingest(market, CandleFrame(market.symbol, "15m", *(column[keep] for column in frame[2:])), provenance=Provenance.VENUE)


@pytest.fixture
def btc() -> Market:
    return candles.find_market(BTC)


@pytest.fixture
def job(btc) -> BackfillJob:
    return BackfillJob.objects.create(
        venue=btc.venue,
        symbols=[BTC],
        timeframe="15m",
        since_ms=ms(2024, 1, 1),
        until_ms=ms(2024, 3, 1),
        checkpoints={BTC: ms(2024, 1, 31)},
    )


def cells(market: Market, now_ms: int) -> list[tuple[int, int | None, int | None, int]]:
    found = coverage.heat_map([market], "15m", now_ms=now_ms)
    return [(cell.bars, cell.expected, cell.percent, cell.level) for cell in found.rows[0].cells]


def test_coverage_counts_what_each_month_has_room_for(btc):
    store(btc, ms(2024, 1, 31, 12), 48 + 29 * 96 + 10, leave_out=slice(100, 130))
    assert cells(btc, ms(2024, 3, 1, 2, 30) + 1) == [
        (48, 48, 100, 4),  # January from its first bar on
        (29 * 96 - 30, 29 * 96, 98, 3),
        (10, 10, 100, 4),  # March up to now
    ]


def test_a_month_that_lacks_one_bar_is_not_called_whole(btc):
    store(btc, ms(2024, 1, 1), 31 * 96, leave_out=slice(7, 8))
    assert cells(btc, ms(2024, 2, 1)) == [(2975, 2976, 99, 3), (0, None, None, 0)]


def test_a_month_without_a_bar_between_others_is_told(btc):
    store(btc, ms(2024, 1, 1), 96)
    store(btc, ms(2024, 3, 1), 96)
    assert [cell[0] for cell in cells(btc, ms(2024, 3, 2))] == [96, 0, 96]


def test_coverage_follows_rows_that_are_removed_by_hand(btc):
    store(btc, ms(2024, 1, 1), 96)
    Candle.objects.filter(market=btc, timestamp__lt=ms(2024, 1, 1, 12)).delete()
    assert cells(btc, ms(2024, 1, 2))[0][0] == 48


def test_nobody_expects_a_bar_at_night_of_a_market_that_closes(btc):
    Market.objects.filter(pk=btc.pk).update(kind=MarketKind.EQUITY)
    btc.refresh_from_db()
    store(btc, ms(2024, 1, 2, 14, 30), 26)
    assert cells(btc, ms(2024, 2, 1))[0] == (26, None, None, 4)


def test_the_page_asks_as_much_for_many_markets_as_for_one(btc, sam, client_for, django_assert_max_num_queries):
    for market in Market.objects.filter(venue=btc.venue, kind=MarketKind.PERPETUAL)[:12]:
        store(market, ms(2024, 1, 1), 96)
    client = client_for(sam)
    client.get(PAGE)
    with django_assert_max_num_queries(25):
        page = client.get(PAGE).content.decode()
    assert page.count('<th scope="row">ETH/USDT:USDT') == 1
    assert 'title="96 of 2,976 bars">3<' in page


def test_an_empty_page_says_what_to_do(sam, client_for):
    page = client_for(sam).get(PAGE).content.decode()
    assert "No candles are stored yet" in page
    assert "None yet." in page
    assert "None is known" in page


@pytest.mark.parametrize("who", [None, "alice"])
def test_it_is_for_staff_only(client, client_for, alice, who):
    visitor = client_for(alice) if who else client
    for address in (PAGE, JOBS):
        answer = visitor.get(address)
        assert answer.status_code in (302, 403)
    assert visitor.post(START, {}).status_code in (302, 403)
    assert not BackfillJob.objects.exists()


def test_staff_without_the_permission_may_not_look_or_act(sam, client_for, job):
    sam.is_superuser = False
    sam.save(update_fields=["is_superuser"])
    client = client_for(sam)
    assert client.get(PAGE).status_code == 403
    assert client.post(reverse("admin:exchanges_market_data_change", args=[job.pk, "cancel"])).status_code == 403
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED


def test_jobs_ask_for_themselves_while_one_is_at_work(sam, client_for, job):
    client = client_for(sam)
    assert "every 2s" in client.get(JOBS).content.decode()
    BackfillJob.objects.update(status=JobStatus.DONE)
    assert "hx-trigger" not in client.get(JOBS).content.decode()


def test_a_job_shows_progress_pace_and_what_is_wrong_with_each_market(sam, client_for, job):
    BackfillJob.objects.filter(pk=job.pk).update(
        status=JobStatus.RUNNING, heartbeat_at=clock.now(), rows_per_s=8123.4, eta_s=75.2, errors={f"{BTC} funding": "no rates today"}
    )
    page = client_for(sam).get(JOBS).content.decode()
    assert 'value="50" aria-label="Backfill' in page
    assert "8,123 a second" in page
    assert "75 s left" in page
    assert "no rates today" in page


@pytest.mark.parametrize(
    ("before", "what", "after"),
    [
        (JobStatus.QUEUED, "pause", JobStatus.PAUSED),
        (JobStatus.PAUSED, "cancel", JobStatus.CANCELLED),
        (JobStatus.DONE, "cancel", JobStatus.DONE),
        (JobStatus.DONE, "pause", JobStatus.DONE),
    ],
)
def test_jobs_are_changed_and_the_audit_trail_knows(sam, client_for, job, before, what, after):
    BackfillJob.objects.filter(pk=job.pk).update(status=before)
    answer = client_for(sam).post(reverse("admin:exchanges_market_data_change", args=[job.pk, what]), follow=True)
    job.refresh_from_db()
    assert job.status == after
    assert AuditEvent.objects.filter(action__startswith="backfill_").exists() is (before != after)
    assert (f"Backfill {job.pk} is {after.label.lower()}." if before != after else "cannot be") in answer.content.decode()


def test_an_unknown_change_is_not_found(sam, client_for, job):
    assert client_for(sam).post(reverse("admin:exchanges_market_data_change", args=[job.pk, "destroy"])).status_code == 404


def test_changes_are_not_made_by_a_link(sam, client_for, job):
    assert client_for(sam).get(reverse("admin:exchanges_market_data_change", args=[job.pk, "cancel"])).status_code == 405


def test_a_backfill_is_started_and_fetches(sam, client_for, settings, btc, django_capture_on_commit_callbacks):
    state = VenueState(now_ms=ms(2024, 1, 3))
    state.enlist(Instrument("BTC"), make_frame(192, symbol=BTC, start_ms=ms(2024, 1, 1)))
    with TestVenue(state) as venue, django_capture_on_commit_callbacks(execute=True):
        settings.VENUE_BASE_URLS = {"binance": venue.url}
        registry.market_data.cache_clear()
        answer = client_for(sam).post(
            START, {"venue": "binance", "symbols": [BTC], "timeframe": "15m", "since": "2024-01-01", "until": "2024-01-03"}
        )
    registry.market_data.cache_clear()
    assert answer.status_code == 302
    assert BackfillJob.objects.get().status == JobStatus.DONE
    assert len(candles.read(btc, "15m")) == 192


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"symbols": []}, "Choose at least one market"),
        ({"symbols": ["NOPE/USDT:USDT"]}, "is not one of the available choices"),
        ({"since": "2999-01-01"}, "lies in the future"),
        ({"since": "1999-01-01"}, "before 2009"),
        ({"since": ""}, "This field is required"),
        ({"since": "2024-01-02", "until": "2024-01-01"}, "leaves no whole 15m bar"),
        ({"timeframe": "7m"}, "Select a valid choice"),
        ({"venue": "mtgox"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_asked_for_is_said_beside_the_field(sam, client_for, wrong, said):
    asked = {"venue": "binance", "symbols": [BTC], "timeframe": "15m", "since": "2024-01-01", "until": "2024-02-01"} | wrong
    answer = client_for(sam).post(START, asked)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not BackfillJob.objects.exists()


def test_history_of_another_source_is_not_mixed(sam, client_for, btc):
    Market.objects.filter(pk=btc.pk).update(provenance=Provenance.FILE)
    answer = client_for(sam).post(START, {"venue": "binance", "symbols": [BTC], "timeframe": "15m", "since": "2024-01-01"})
    assert answer.status_code == 422
    assert "never mixes two" in answer.content.decode()


def test_a_venue_shows_its_own_markets(sam, client_for):
    page = client_for(sam).get(PAGE, {"venue": "okx"}).content.decode()
    shown = Market.objects.active().filter(venue=Venue.objects.get(slug="okx")).count()
    assert page.count('name="symbols"') == shown
    assert '<input type="hidden" name="venue" value="okx">' in page


def test_gaps_are_listed_and_asked_for_again(sam, client_for, btc):
    store(btc, ms(2024, 1, 1), 96)
    gap = CandleGap.objects.create(
        market=btc,
        timeframe="15m",
        first_ms=ms(2024, 1, 1, 3),
        last_ms=ms(2024, 1, 1, 4),
        state=GapState.OPEN,
        reason="binance is away",
        checked_at=clock.now(),
    )
    client = client_for(sam)
    page = client.get(PAGE).content.decode()
    assert "binance is away" in page
    assert "<td>5</td>" in page
    assert client.post(reverse("admin:exchanges_market_data_repair", args=[btc.pk, "15m"])).status_code == 302
    assert not CandleGap.objects.filter(pk=gap.pk).exists()  # its bars are there: whoever looks finds no gap
    assert client.post(reverse("admin:exchanges_market_data_repair", args=[btc.pk, "1h"])).status_code == 404
