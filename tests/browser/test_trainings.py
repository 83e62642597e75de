"""The staff's page of trainings: asked for, watched until its model is there, and cancelled however long the answer takes."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from exchanges.models import JobStatus
from signals import learners, training
from signals.models import TrainingRun
from tests.browser.conftest import in_a_worker
from tests.signals.markets import QUICK, make_pair

pytestmark = pytest.mark.browser
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


@pytest.fixture
def staff(site, staff, models, monkeypatch) -> Page:
    """The page of trainings, two markets, and no worker: the test says who works."""
    monkeypatch.setattr("signals.receivers.nudge", lambda *_, **__: None)
    make_pair()
    staff.goto(site + reverse("admin:signals_training"))
    return staff


def test_a_training_is_started_followed_and_leads_to_its_model(staff, console):
    staff.get_by_label(BTC).check()
    staff.get_by_label(ETH).check()
    staff.get_by_label("xgboost: ").uncheck()
    for name, value in (("Folds", "2"), ("Rounds", "12"), ("Stride", "8")):
        staff.get_by_label(name).fill(value)
    staff.get_by_role("button", name="Start").click()
    expect(staff.locator(".messagelist")).to_contain_text("is on its way")
    expect(staff.locator("#trainings")).to_contain_text("Queued")
    run = TrainingRun.objects.get()
    assert run.params["learners"] == ["lightgbm"]
    TrainingRun.objects.update(progress=0.25, stage="fold 1 of 2")
    expect(staff.get_by_role("progressbar", name=f"Training {run.pk}")).to_have_attribute("value", "25")
    expect(staff.locator("#trainings")).to_contain_text("fold 1 of 2")
    in_a_worker(training.run, run.pk)
    expect(staff.locator("#trainings[hx-get]")).to_have_count(0)
    staff.get_by_role("link", name=f"Log of training {run.pk}").click()
    expect(staff.locator("#training-log")).to_contain_text("Registered as default v1")
    staff.locator("#training-log").get_by_role("link", name="default v1").click()
    expect(staff.get_by_role("heading", name="Model default v1")).to_be_visible()


def test_what_is_wrong_is_said_at_the_field_and_what_was_typed_stays(staff):
    staff.get_by_label(BTC).check()
    staff.get_by_label("Folds").fill("99")
    staff.get_by_role("button", name="Start").click()
    expect(staff.get_by_role("alert")).to_contain_text("It was not started")
    folds = staff.get_by_label("Folds")
    expect(folds).to_have_attribute("aria-invalid", "true")
    expect(folds).to_have_value("99")
    expect(folds).to_have_accessible_description(re.compile("from 2 to 10, not 99"))
    expect(staff.get_by_label(BTC)).to_be_checked()
    expect(staff.get_by_label("tft: ")).to_be_enabled(enabled=learners.is_installed("tft"))


def test_a_cancel_counts_however_long_the_answer_takes(staff, console):
    run = training.queue([BTC], params=QUICK)
    staff.reload()
    staff.get_by_role("button", name="Cancel", exact=True).click()
    expect(staff.get_by_role("dialog")).to_contain_text("Nothing of it is kept")
    TrainingRun.objects.update(stage="refreshed behind the question")
    expect(staff.locator("#trainings")).to_contain_text("refreshed behind the question")
    staff.get_by_role("button", name="Cancel the training").click()
    expect(staff.locator(".messagelist")).to_contain_text(f"Training {run.pk} is cancelled")
    run.refresh_from_db()
    assert run.status == JobStatus.CANCELLED
    staff.get_by_role("button", name="Restart").click()
    expect(staff.locator("#trainings")).to_contain_text("Queued")


@pytest.mark.parametrize("width", [390, 1280])
def test_every_column_and_action_is_in_sight(staff, console, width):
    run = training.queue([BTC, ETH], params=QUICK)
    staff.set_viewport_size({"width": width, "height": 850})
    staff.reload()
    assert staff.evaluate("document.documentElement.scrollWidth") == width
    for part in (staff.get_by_role("progressbar", name=f"Training {run.pk}"), staff.get_by_role("button", name="Cancel", exact=True)):
        box = part.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
