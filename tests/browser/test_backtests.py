"""A backtest is asked for, followed without touching the page, read on a phone, and removed."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.urls import reverse

from backtesting import runs
from backtesting.models import BacktestRun
from tests.backtesting import rows
from tests.backtesting.conftest import champion, learners  # noqa: F401  (fixtures)
from tests.signals.scenes import BTC, ETH
from traderai.lib.errors import UserError

pytestmark = pytest.mark.browser


@pytest.fixture
def signed_in(site, page, client_for, alice):
    """A page with alice's session."""
    cookie = client_for(alice).cookies["session"].value
    page.context.add_cookies([{"name": "session", "value": cookie, "url": site}])
    return page


def execute(run_id):
    """As in a worker: a thread without playwright's event loop."""

    def work():
        try:
            runs.execute(run_id)
        except UserError:
            return  # the row holds the message
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as worker:
        worker.submit(work).result()


def test_a_run_is_asked_for_and_reported(site, signed_in, champion, monkeypatch, console):  # noqa: F811
    monkeypatch.setattr("backtesting.receivers.nudge", lambda *_, **__: None)  # the test says when it runs: eager tasks hold up the answer
    signed_in.goto(site + reverse("backtests:list"))
    signed_in.get_by_role("link", name="New backtest").click()
    signed_in.get_by_label(BTC).check()
    signed_in.get_by_label("Capital").fill("1000")
    signed_in.get_by_role("button", name="Run backtest").click()
    signed_in.get_by_text("Waiting for a worker").wait_for()
    execute(BacktestRun.objects.get().pk)
    signed_in.get_by_role("heading", name="Equity and drawdown").wait_for()
    signed_in.locator('[data-backtest-chart="equity-benchmark"] canvas').first.wait_for()
    signed_in.locator('[data-chart="drawdown"] canvas').first.wait_for()
    assert signed_in.get_by_text("SIMULATED MARKET").first.is_visible()


def test_a_double_click_asks_for_one_run_and_a_later_one_for_another(site, signed_in, champion, monkeypatch, console):  # noqa: F811
    monkeypatch.setattr("backtesting.receivers.nudge", lambda *_, **__: None)
    twice = "button => { button.click(); setTimeout(() => button.click(), 50); }"
    for made in (1, 2):
        signed_in.goto(site + reverse("backtests:new"))
        signed_in.get_by_label(BTC).check()
        signed_in.get_by_label("Capital").fill("1000")
        signed_in.get_by_role("button", name="Run backtest").evaluate(twice)
        signed_in.get_by_text("Waiting for a worker").wait_for()
        signed_in.wait_for_timeout(500)
        assert BacktestRun.objects.count() == made
        signed_in.go_back()


def test_a_waiting_page_turns_into_the_report_by_itself(site, signed_in, champion, alice, console):  # noqa: F811
    run = runs.start(alice, symbols=[BTC, ETH], capital=1000, risk_profile="medium", queue=False)
    signed_in.goto(site + reverse("backtests:detail", args=[run.pk]))
    signed_in.get_by_text("Waiting for a worker").wait_for()
    signed_in.reload()
    signed_in.get_by_text("Waiting for a worker").wait_for()
    execute(run.pk)
    signed_in.get_by_role("heading", name="Equity and drawdown").wait_for()
    polls = "performance.getEntriesByType('resource').filter((entry) => entry.initiatorType === 'xmlhttprequest').length"
    before = signed_in.evaluate(polls)
    signed_in.wait_for_timeout(2_500)
    assert signed_in.evaluate(polls) == before


@pytest.mark.parametrize("width", [360, 1280])
def test_a_report_fits_a_phone_and_a_desk_and_is_removed(site, signed_in, champion, alice, console, width):  # noqa: F811
    run = runs.start(alice, symbols=[BTC, ETH], capital=1000, risk_profile="high", queue=False)
    execute(run.pk)
    signed_in.set_viewport_size({"width": width, "height": 800})
    for path in (reverse("backtests:list"), reverse("backtests:new"), reverse("backtests:detail", args=[run.pk])):
        signed_in.goto(site + path)
        assert signed_in.evaluate("document.documentElement.scrollWidth") <= width
    signed_in.locator('[data-backtest-chart="equity-benchmark"] canvas').first.wait_for()
    signed_in.get_by_role("button", name="Remove").click()
    signed_in.get_by_role("dialog").get_by_role("button", name="Remove").click()
    signed_in.get_by_text(f"Backtest {run.pk} is removed.").wait_for()


@pytest.mark.parametrize("width", [390, 1280])
def test_ticked_runs_stand_side_by_side(site, signed_in, alice, console, width):
    model = rows.make_model()
    first, second = (rows.make_finished(alice, model, capital=capital) for capital in (1000, 500))
    signed_in.set_viewport_size({"width": width, "height": 800})
    signed_in.goto(site + reverse("backtests:list"))
    for run in (first, second):
        signed_in.get_by_label(f"Compare run {run.pk}").check()
    signed_in.get_by_role("button", name="Compare those ticked").click()
    signed_in.get_by_role("heading", name="2 backtests side by side").wait_for()
    signed_in.locator('[data-backtest-chart="compare"] canvas').first.wait_for()
    assert signed_in.evaluate("document.documentElement.scrollWidth") == width
    assert signed_in.url.endswith(f"?run={second.pk}&run={first.pk}")
