"""The staff's page of searches: asked for, its trials seen coming, gone on with, and trained from."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from exchanges.models import JobStatus
from signals.models import Search, SearchTrial, TrainingRun
from signals.search import lane
from tests.browser.conftest import in_a_worker
from tests.signals.markets import HISTORY_BARS, make_market
from tests.signals.series import make_series
from traderai.lib import clock

pytestmark = pytest.mark.browser
BTC = "BTC/USDT:USDT"


@pytest.fixture
def staff(site, staff, models, monkeypatch) -> Page:
    """The page of searches, a market, and no worker: the test says who works."""
    monkeypatch.setattr("signals.receivers.nudge", lambda *_, **__: None)
    make_market(BTC, make_series(HISTORY_BARS, symbol=BTC))
    staff.goto(site + reverse("admin:signals_searches"))
    return staff


def test_a_search_is_started_its_trials_appear_and_it_goes_on(staff, console):
    staff.get_by_label(BTC).check()
    staff.get_by_label("xgboost: ").uncheck()
    for name, value in (("Folds", "2"), ("Rounds", "8"), ("Stride", "8"), ("Trials", "2")):
        staff.get_by_label(name).fill(value)
    staff.get_by_role("button", name="Start").click()
    expect(staff.get_by_role("heading", name="Queued")).to_be_visible()
    row = Search.objects.get()
    in_a_worker(lane.run, row.pk)
    expect(staff.get_by_role("heading", name="Done")).to_be_visible()
    expect(staff.locator("#search")).to_contain_text("2 done, 0 pruned and 0 running of 2 trials")
    expect(staff.get_by_role("img", name="Skill of 2 trials").locator("circle")).to_have_count(2)
    expect(staff.locator("#search[hx-get]")).to_have_count(0)
    staff.get_by_label("More trials").fill("1")
    staff.get_by_role("button", name="Go on").click()
    expect(staff.locator(".messagelist")).to_contain_text("goes on")
    in_a_worker(lane.run, row.pk)
    expect(staff.locator("#search")).to_contain_text("3 done, 0 pruned and 0 running of 3 trials")
    staff.get_by_role("button", name="Train with the best").click()
    expect(staff.locator(".messagelist")).to_contain_text("with the best parameters is on its way")
    expect(staff.locator("#trainings")).to_contain_text("Queued")
    assert TrainingRun.objects.get().params["trials"] == 3


@pytest.mark.parametrize("width", [390, 1280])
def test_what_was_opened_stays_open_while_the_page_refreshes_itself(site, staff, console, width, sam):
    row = Search.objects.create(symbols=[BTC], params={"folds": 2}, trials_wanted=4, requested_by=sam, status=JobStatus.RUNNING)
    now = clock.now()
    trial = SearchTrial.objects.create(
        search=row, number=0, tuning={"lightgbm": {"num_leaves": 31}}, folds=[0.01], value=0.01, started_at=now, heartbeat_at=now
    )
    staff.set_viewport_size({"width": width, "height": 850})
    staff.goto(site + reverse("admin:signals_search_detail", args=[row.pk]))
    staff.locator("summary", has_text="lightgbm").click()
    expect(staff.get_by_text("num_leaves 31")).to_be_visible()
    SearchTrial.objects.filter(pk=trial.pk).update(value=0.02)
    expect(staff.get_by_role("cell", name="0.02000")).to_be_visible()
    expect(staff.get_by_text("num_leaves 31")).to_be_visible()
    assert staff.evaluate("document.documentElement.scrollWidth") == width
    staff.get_by_role("button", name="Cancel", exact=True).click()
    staff.get_by_role("button", name="Cancel the search").click()
    expect(staff.get_by_role("heading", name="Cancelled")).to_be_visible()
    expect(staff.locator("#search")).to_contain_text("1 running")
    SearchTrial.objects.filter(pk=trial.pk).update(state="lost")
    expect(staff.locator("#search")).to_contain_text("0 running")
