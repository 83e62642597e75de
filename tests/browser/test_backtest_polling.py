"""A waiting backtest is left, removed elsewhere or outlives its owner's session: the page never shows half of itself."""

import pytest
from django.urls import reverse

from tests.backtesting import rows

pytestmark = pytest.mark.browser


@pytest.fixture
def run(db, alice):
    return rows.make_run(alice, rows.make_model())


@pytest.fixture
def waiting(site, page, client_for, alice, run):
    """A page with alice's session that has polled at least once."""
    page.context.add_cookies([{"name": "session", "value": client_for(alice).cookies["session"].value, "url": site}])
    url = site + reverse("backtests:detail", args=[run.pk])
    page.goto(url)
    with page.expect_response(lambda reply: reply.url == url):
        page.get_by_text("Waiting for a worker").wait_for()
    return page


def test_back_shows_the_whole_page_again(waiting, run):
    waiting.locator(".crumb a").click()
    waiting.get_by_role("link", name="New backtest").wait_for()
    waiting.go_back()
    waiting.get_by_role("heading", name=f"Backtest {run.pk}").wait_for()
    waiting.get_by_text("Waiting for a worker").wait_for()


def test_a_run_removed_elsewhere_ends_the_polling(waiting, run):
    run.delete()
    waiting.get_by_role("heading", name="Nothing here").wait_for()


def test_an_ended_session_leads_to_the_sign_in_page(waiting):
    waiting.context.clear_cookies()
    waiting.wait_for_url("**/accounts/login/?next=**")
    assert waiting.locator("main").count() == 1
