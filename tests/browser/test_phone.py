"""On a phone: money and the ways out are in sight, questions are answered by keyboard, and signing out elsewhere ends the page."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from exchanges.models import Order
from tests.exchanges.trading import make_position

pytestmark = pytest.mark.browser

WIDTH = 360


@pytest.fixture
def phone(site, page, client_for, alice) -> Page:
    """A narrow page with alice's session and one open position."""
    make_position(alice)
    page.set_viewport_size({"width": WIDTH, "height": 780})
    cookie = client_for(alice).cookies["session"].value
    page.context.add_cookies([{"name": "session", "value": cookie, "url": site}])
    return page


def test_no_page_is_wider_than_the_phone(site, phone, console):
    for name in ("dashboard", "signals:list", "signals:rejected", "positions:list", "positions:history", "strategies:list", "security"):
        phone.goto(site + reverse(name))
        assert phone.evaluate("document.documentElement.scrollWidth") == WIDTH, name


def test_a_position_shows_its_profit_and_its_way_out_without_scrolling_sideways(site, phone, console):
    phone.goto(site + reverse("positions:list"))
    row = phone.locator("tr[data-position]")
    for part in (row.locator('[data-field="net_pnl"]'), row.get_by_role("button", name="Close")):
        box = part.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= WIDTH
    expect(row.locator("td", has=phone.locator('[data-field="net_pnl"]'))).to_have_attribute("data-label", "Net P&L, USDT")
    # What looks like blocks is still a table to those who listen.
    expect(phone.get_by_role("cell").filter(has=phone.locator('[data-field="net_pnl"]'))).to_be_visible()
    expect(phone.get_by_role("rowheader").first).to_contain_text("BTC/USDT:USDT")


def test_closing_asks_first_and_is_done_by_keyboard(site, phone, console):
    phone.goto(site + reverse("positions:list"))
    close = phone.locator("tr[data-position]").get_by_role("button", name="Close")
    close.focus()
    phone.keyboard.press("Enter")
    expect(phone.get_by_role("dialog")).to_contain_text("Close long BTC/USDT:USDT at the market price?")
    expect(phone.get_by_role("button", name="Go back")).to_be_focused()
    phone.keyboard.press("Escape")
    expect(close).to_be_focused()
    assert not Order.objects.exists()
    phone.keyboard.press("Enter")
    phone.keyboard.press("Tab")
    phone.keyboard.press("Enter")
    expect(phone.locator("main")).to_contain_text(re.compile("being closed at the market price|closed by manual", re.IGNORECASE))
    assert Order.objects.get().reduce_only


def test_stopping_everything_says_when_positions_close_too(site, phone, console):
    phone.goto(site + reverse("positions:list"))
    phone.get_by_text("Stop all my trading").click()
    phone.get_by_role("button", name="Stop trading").click()
    expect(phone.locator("#confirm-question")).to_have_text("Stop all your trading now?")
    phone.get_by_role("button", name="Go back").click()
    phone.get_by_label("Close my open positions too").check()
    phone.get_by_role("button", name="Stop trading").click()
    expect(phone.locator("#confirm-question")).to_contain_text("All your open positions are closed")


def test_signing_out_elsewhere_brings_the_open_page_to_the_sign_in(site, phone):
    phone.goto(site + reverse("positions:list"))
    expect(phone.locator("[data-live-status]").first).to_have_text("live")
    phone.wait_for_timeout(2200)  # younger sockets are not taken for settled
    session = next(cookie["value"] for cookie in phone.context.cookies() if cookie["name"] == "session")

    def sign_out():
        try:
            elsewhere = Client()
            elsewhere.cookies["session"] = session
            elsewhere.post(reverse("account_logout"))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as worker:
        worker.submit(sign_out).result()
    phone.wait_for_url("**" + reverse("account_login") + "**")


def test_a_filter_of_a_signed_out_page_brings_the_sign_in_and_not_a_form_in_the_table(site, phone):
    phone.goto(site + reverse("positions:history"))
    phone.context.clear_cookies(name="session")
    phone.get_by_label("Side").select_option("long")
    phone.wait_for_url("**" + reverse("account_login") + "?next=%2Fpositions%2Fhistory%2F**")
    expect(phone.get_by_role("heading", level=1)).to_be_visible()
    assert phone.get_by_role("table").count() == 0


def test_every_figure_of_the_catalogue_says_what_it_is(site, phone, console):
    phone.goto(site + reverse("strategies:features") + "?q=rsi_14")
    row = phone.get_by_role("row").filter(has=phone.get_by_text("rsi_14", exact=True))
    expect(row.get_by_role("cell").last).to_have_attribute("data-label", "Warm-up, hours")
    phone.get_by_label("Search").fill("trix")
    phone.keyboard.press("Enter")
    row = phone.get_by_role("row").filter(has=phone.get_by_text("trix_15", exact=True))
    expect(row.get_by_role("cell").last).to_have_attribute("data-label", "Warm-up, hours")
