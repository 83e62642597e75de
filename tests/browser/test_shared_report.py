"""A link is made, opened by somebody without an account, and revoked."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.backtesting import rows
from tests.signals import scenes
from tests.signals.scenes import BTC

pytestmark = pytest.mark.browser


def test_a_link_opens_for_a_stranger_until_it_is_revoked(site, page, browser, client_for, alice, console):
    scenes.make_market(BTC, bars=200)
    run = rows.make_finished(alice, rows.make_model(), trades=30, start_ms=scenes.START_MS, end_ms=scenes.START_MS + 200 * scenes.BAR_MS)
    run.metrics["sample"]["trades"] = 30
    run.save()
    run.trades.update(entry_ms=scenes.START_MS + 100 * scenes.BAR_MS, exit_ms=scenes.START_MS + 110 * scenes.BAR_MS)
    page.context.add_cookies([{"name": "session", "value": client_for(alice).cookies["session"].value, "url": site}])
    page.goto(site + reverse("backtests:detail", args=[run.pk]))
    share = page.get_by_role("region", name="Share this report")
    share.get_by_label("It works").select_option("7")
    share.get_by_role("button", name="Make a link").click()
    address = share.locator("code.secret").inner_text()
    stranger = browser.new_page(viewport={"width": 390, "height": 800})
    stranger.goto(address)
    expect(stranger.get_by_role("heading", level=1)).to_contain_text("Backtest report")
    expect(stranger.locator("#chart").get_by_role("status")).to_contain_text(f"Trade 1: long {BTC}")
    expect(stranger.locator("#chart canvas").first).to_be_visible()
    stranger.get_by_role("link", name="More").click()
    expect(stranger.locator("#trades")).to_contain_text("Page 2 of 2")
    assert stranger.evaluate("document.documentElement.scrollWidth") == 390
    share.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("The link is revoked")).to_be_visible()
    assert stranger.goto(address).status == 404
    stranger.close()
