"""The list of signals follows the socket, one signal explains itself, and a strategy is set up and started."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.urls import reverse

from exchanges import candles
from signals import processing
from tests.signals import scenes
from tests.signals.scenes import ETH

pytestmark = pytest.mark.browser


@pytest.fixture
def signed_in(site, page, client_for, alice):
    """A page with alice's session."""
    cookie = client_for(alice).cookies["session"].value
    page.context.add_cookies([{"name": "session", "value": cookie, "url": site}])
    return page


@pytest.fixture
def market(transactional_db):
    return scenes.make_market(ETH, bars=200)


def at_market(market, **more):
    close = float(candles.read(market, "15m", last=1).close[-1])
    return scenes.make_signal(market, entry=close, step=close * 0.02, **more)


def admit(signal):
    try:
        return processing.admit(signal)
    finally:
        connection.close()


def test_a_new_signal_appears_without_a_reload(site, signed_in, market, console):
    signed_in.goto(site + reverse("signals:list"))
    signed_in.get_by_text("No signals here").wait_for()
    signed_in.evaluate("window.sameDocument = true")
    signed_in.wait_for_function("performance.getEntriesByType('resource').some((entry) => entry.name.includes('socket.js'))")
    signed_in.wait_for_timeout(500)
    with ThreadPoolExecutor(1) as worker:  # as in a worker: a thread without playwright's event loop
        signal = worker.submit(admit, at_market(market, save=False)).result()
    signed_in.locator(f'[data-signal="{signal.pk}"]').wait_for()
    assert signed_in.evaluate("window.sameDocument") is True


def test_a_filter_changes_the_table_and_the_address(site, signed_in, market, console):
    at_market(market)
    signed_in.goto(site + reverse("signals:list"))
    signed_in.get_by_label("Side").select_option("short")
    signed_in.get_by_text("No signals here").wait_for()
    signed_in.wait_for_url("**side=short**")


@pytest.mark.parametrize("width", [360, 1280])
def test_a_signal_explains_itself_on_a_phone_and_on_a_desk(site, signed_in, market, console, width):
    signal = at_market(market)
    signed_in.set_viewport_size({"width": width, "height": 800})
    signed_in.goto(site + reverse("signals:detail", args=[signal.pk]))
    signed_in.locator(".chart__canvas canvas").first.wait_for()
    assert signed_in.evaluate("document.documentElement.scrollWidth") <= width
    for path in ("signals:list", "signals:rejected", "strategies:list"):
        signed_in.goto(site + reverse(path))
        assert signed_in.evaluate("document.documentElement.scrollWidth") <= width


def test_a_strategy_is_set_up_started_and_stopped(site, signed_in, market, console):
    signed_in.goto(site + reverse("strategies:list"))
    signed_in.get_by_role("link", name="Set up").click()
    signed_in.get_by_label("Name").fill("Majors")
    signed_in.get_by_role("button", name="Save").click()
    signed_in.get_by_role("link", name="Start auto-trade").click()
    signed_in.get_by_role("button", name="Start auto-trade").click()
    signed_in.get_by_text("Running since").wait_for()
    signed_in.get_by_role("button", name="Stop auto-trade").click()
    signed_in.get_by_role("dialog").get_by_role("button", name="Stop").click()
    signed_in.get_by_text("opens nothing new").wait_for()
    signed_in.get_by_role("link", name="Start auto-trade").wait_for()
