"""The parity report in a browser: from the positions to it, on a phone without sideways scroll, and a wrong window said where it was typed."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from exchanges.models import Candle
from tests.backtesting.lived import BAR_MS, STAIRS, START_MS, live_on, open_long
from tests.browser.test_axe import broken

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [390, 1280])
def test_a_difference_is_found_from_the_positions_and_read_without_sideways_scroll(site, page, console, client_for, alice, width):
    open_long(alice)
    position = live_on(STAIRS[2:])
    Candle.objects.filter(timestamp=START_MS + 5 * BAR_MS).update(high=2030.0, close=2025.0)
    cookie = client_for(alice).cookies["session"].value
    page.context.add_cookies([{"name": "session", "value": cookie, "url": site}])
    page.set_viewport_size({"width": width, "height": 900})

    page.goto(site + reverse("positions:detail", args=[position.pk]))
    page.get_by_role("link", name="Compare with the simulation").click()

    expect(page.get_by_text("It left by tp2 at 2040 in the bar of 2025-01-01 01:15, which today ranges from 2020 to 2030.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert broken(page, page.url) == []

    page.get_by_label("or from").fill("2025-01-03")
    page.get_by_label("to", exact=False).last.fill("2025-01-01")
    console.clear()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("The last day must not be before the first: swap them, or leave one out.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [line for line in console if "422" not in line] == []
    console.clear()
