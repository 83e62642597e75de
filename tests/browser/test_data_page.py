"""The staff's page of market data: progress by itself, a question before a cancel, and no scrolling sideways on a phone."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from exchanges import candles
from exchanges.models import BackfillJob, CandleGap, GapState, JobStatus, Provenance
from tests.exchanges.frames import START_MS, make_frame
from traderai.lib import clock

pytestmark = pytest.mark.browser
BTC = "BTC/USDT:USDT"
DAY_MS = 86_400_000


@pytest.fixture
def staff(site, staff) -> Page:
    """The page, with two months of candles, a gap and a backfill that is half done."""
    market = candles.find_market(BTC)
    candles.ingest(market, make_frame(60 * 96), provenance=Provenance.VENUE)
    CandleGap.objects.create(
        market=market, timeframe="15m", first_ms=START_MS, last_ms=START_MS, state=GapState.EMPTY, checked_at=clock.now()
    )
    BackfillJob.objects.create(
        venue=market.venue,
        symbols=[BTC],
        timeframe="15m",
        since_ms=START_MS,
        until_ms=START_MS + 60 * DAY_MS,
        checkpoints={BTC: START_MS + 30 * DAY_MS},
        status=JobStatus.RUNNING,
        heartbeat_at=clock.now(),
        rows_per_s=8000.0,
        eta_s=3.0,
    )
    staff.goto(site + reverse("admin:exchanges_market_data"))
    return staff


def test_progress_moves_by_itself_and_the_asking_ends_with_the_job(staff, console):
    bar = staff.get_by_role("progressbar", name="Backfill")
    expect(bar).to_have_attribute("value", "50")
    BackfillJob.objects.update(checkpoints={BTC: START_MS + 45 * DAY_MS})
    expect(bar).to_have_attribute("value", "75")
    BackfillJob.objects.update(status=JobStatus.DONE)
    expect(staff.locator("#jobs")).to_contain_text("Done")
    expect(staff.locator("#jobs[hx-get]")).to_have_count(0)


def test_a_cancel_is_asked_about_first(staff, console):
    staff.get_by_role("button", name="Cancel", exact=True).first.click()
    expect(staff.get_by_role("dialog")).to_contain_text("What it has fetched stays")
    staff.keyboard.press("Escape")
    assert BackfillJob.objects.get().status == JobStatus.RUNNING
    staff.get_by_role("button", name="Cancel", exact=True).first.click()
    staff.get_by_role("button", name="Cancel the backfill").click()
    expect(staff.locator("#jobs")).to_contain_text("Cancelled")
    expect(staff.get_by_role("button", name="Resume")).to_be_visible()


def test_what_is_stored_is_read_without_seeing_colours(staff, console):
    row = staff.get_by_role("row", name=BTC).filter(has=staff.locator(".heat__4"))
    expect(row.get_by_title("2,976 of 2,976 bars")).to_have_text("100")


@pytest.mark.parametrize("width", [360, 1280])
def test_wide_tables_scroll_inside_themselves(staff, console, width):
    staff.set_viewport_size({"width": width, "height": 800})
    assert staff.evaluate("document.documentElement.scrollWidth") == width
