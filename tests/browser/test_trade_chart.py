"""A trade is found on the chart from its row, and the chart leads from trade to trade."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from exchanges.models import Market
from tests.backtesting import rows
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH

pytestmark = pytest.mark.browser


@pytest.fixture
def report(site, page, client_for, alice):
    """A page with the report of three trades, one of them of a market without candles."""
    scenes.make_market(BTC, bars=2_000)
    run = rows.make_finished(
        alice, rows.make_model(), symbols=[BTC, ETH], start_ms=scenes.START_MS, end_ms=scenes.START_MS + 2_000 * scenes.BAR_MS
    )
    run.metrics["sample"]["trades"] = 3
    run.save()
    for number, symbol in enumerate((BTC, ETH, BTC), start=1):
        at_ms = scenes.START_MS + 300 * number * scenes.BAR_MS
        rows.make_trade(run, number, symbol=symbol, entry_ms=at_ms, exit_ms=at_ms + 8 * scenes.BAR_MS).save()
    page.context.add_cookies([{"name": "session", "value": client_for(alice).cookies["session"].value, "url": site}])
    page.goto(site + reverse("backtests:detail", args=[run.pk]))
    return page


def test_a_row_and_the_buttons_lead_from_trade_to_trade(report, console):
    chart = report.locator("#chart")
    state = chart.get_by_role("status")
    expect(state).to_contain_text(f"Trade 1: long {BTC}")
    expect(chart.locator("canvas").first).to_be_visible()
    report.get_by_role("link", name="3, show on the chart").click()
    expect(state).to_contain_text(f"Trade 3: long {BTC}")
    expect(chart.locator("[data-chart-canvas]")).to_be_focused()
    expect(chart.get_by_role("button", name="Later trade")).to_be_disabled()
    chart.get_by_role("button", name="Earlier trade").click()
    expect(state).to_contain_text("Trade 1:")
    chart.get_by_role("button", name="Whole span").click()
    expect(state).to_contain_text(f"{BTC}, the whole span: 2 trades are marked.")
    chart.get_by_text("Trades in sight").click()
    chart.get_by_role("button", name="3 long").click()
    expect(state).to_contain_text("Trade 3:")


def test_a_market_without_candles_says_so(report, console):
    chart = report.locator("#chart")
    expect(chart.get_by_role("status")).to_contain_text("Trade 1:")
    chart.get_by_label("Market of the chart").select_option(ETH)
    expect(chart.get_by_role("status")).to_contain_text(f"No candles of {ETH} are stored for this time any more.")
    Market.objects.filter(symbol=ETH).delete()
    chart.get_by_label("Market of the chart").select_option(BTC)
    expect(chart.locator("canvas").first).to_be_visible()


def test_a_lost_connection_is_said(report):
    expect(report.locator("#chart").get_by_role("status")).to_contain_text("Trade 1:")
    report.route("**/chart.json*", lambda route: route.abort())
    report.get_by_role("link", name="3, show on the chart").click()
    expect(report.locator("#chart").get_by_role("status")).to_have_text("The candles could not be loaded. Try again, or reload the page.")
