"""A search for parameters is asked for, counted while it is typed, followed, and read on a phone."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from backtesting import runs
from backtesting.models import BacktestRun
from tests.backtesting import searched
from tests.backtesting.test_search_pages import NEW
from tests.browser.conftest import in_a_worker
from tests.browser.test_backtests import signed_in  # noqa: F401  (fixture)
from tests.signals import scenes
from tests.signals.scenes import BTC

pytestmark = pytest.mark.browser


def test_the_count_follows_the_ranges(site, signed_in, console, db):  # noqa: F811
    scenes.make_market(BTC, bars=500)
    signed_in.goto(site + NEW)
    expect(signed_in.get_by_text("90 combinations")).to_be_visible()
    signed_in.get_by_label("Fast average, to").fill("10")
    expect(signed_in.get_by_text("20 combinations")).to_be_visible()
    assert signed_in.get_by_text("90 combinations").count() == 0
    signed_in.get_by_label("Fast average, from").fill("30")
    expect(signed_in.get_by_text("the range from 30 to 10 is empty")).to_be_visible()
    assert signed_in.get_by_text("20 combinations").count() == 0


def test_the_findings_fit_a_phone(site, signed_in, console, alice):  # noqa: F811
    search = searched.make_finished(alice)
    signed_in.goto(site + reverse("backtests:search", args=[search.pk]))
    signed_in.locator('[data-chart="equity"] canvas').first.wait_for()
    signed_in.set_viewport_size({"width": 390, "height": 900})
    assert signed_in.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_rule_is_backtested_from_its_form(site, signed_in, monkeypatch, db):  # noqa: F811
    monkeypatch.setattr("backtesting.receivers.nudge", lambda *_, **__: None)  # the test says when it runs: eager tasks hold up the answer
    scenes.make_market(BTC, bars=3_000)
    signed_in.goto(site + reverse("backtests:rule_new", args=["sma-cross"]))
    signed_in.get_by_label(BTC).check()
    signed_in.get_by_label("Fast average").fill("60")
    signed_in.get_by_role("button", name="Run backtest").click()
    signed_in.get_by_text("must look at fewer bars than the slow one").wait_for()
    signed_in.get_by_label("Fast average").fill("10")
    signed_in.get_by_label("Capital").fill("1000")
    signed_in.get_by_role("button", name="Run backtest").click()
    signed_in.get_by_text("Waiting for a worker").wait_for()
    in_a_worker(runs.execute, BacktestRun.objects.get().pk)
    signed_in.get_by_role("heading", name="Equity and drawdown").wait_for()
    assert signed_in.get_by_text("Moving average cross (fast average 10, slow average 50)").first.is_visible()
