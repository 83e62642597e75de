"""The list of a backtest's trades is ordered and narrowed in place, by keyboard and on a phone."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.backtesting import rows
from tests.signals.scenes import BTC, ETH

pytestmark = pytest.mark.browser


@pytest.fixture
def report(site, page, client_for, alice):
    """A page with the report of 30 trades, the even ones shorts of another market that lost."""
    run = rows.make_finished(alice, rows.make_model(), symbols=[BTC, ETH], trades=30)
    run.metrics["sample"]["trades"] = 30
    run.save()
    for trade in run.trades.filter(number__in=range(2, 31, 2)):
        trade.symbol, trade.side, trade.pnl = ETH, "short", -float(trade.number)
        trade.save()
    page.context.add_cookies([{"name": "session", "value": client_for(alice).cookies["session"].value, "url": site}])
    page.goto(site + reverse("backtests:detail", args=[run.pk]))
    return page


def test_a_heading_orders_in_place_and_back_undoes_it(report, console):
    first = report.locator("#trades tbody tr").first
    expect(first).to_contain_text(BTC)
    report.get_by_role("link", name="P&L", exact=True).focus()
    report.keyboard.press("Enter")
    expect(report.locator("#trades th[aria-sort]")).to_have_text("P&L USDT")
    report.get_by_role("link", name="P&L", exact=True).click()
    expect(first.locator("td").first).to_have_text("30")
    expect(report.get_by_label("Order")).to_have_value("pnl")
    assert "sort=pnl" in report.url
    report.go_back()
    expect(report.locator("#trades th[aria-sort=descending]")).to_have_text("P&L USDT")


def test_filters_work_on_a_phone_and_stay_with_the_files(report, console):
    report.set_viewport_size({"width": 390, "height": 800})
    report.get_by_label("Side").select_option("short")
    expect(report.locator("#trades").get_by_role("status")).to_contain_text("15 trades fit the filters, 0 won, together -240.00 USDT net")
    report.get_by_label("Order").select_option("pnl")
    expect(report.get_by_role("link", name="CSV", exact=True)).to_have_attribute("href", re.compile(r"trades\.csv\?side=short&sort=pnl$"))
    expect(report.locator("#trades tbody tr").first).to_contain_text("-30.00")
    assert report.evaluate("document.documentElement.scrollWidth") == 390
    report.get_by_role("link", name="Clear").click()
    expect(report.locator("#trades").get_by_role("status")).to_contain_text("30 trades, 15 won")
