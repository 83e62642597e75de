"""A newcomer's whole way: sign up, confirm, enrol a second factor, sign in with a code, start auto-trade, watch a position's P&L move."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.db import connection
from django.urls import reverse
from playwright.sync_api import Page, expect

from exchanges import candles, streams
from exchanges.models import Order, Position
from signals import scan
from tests.signals import scenes
from tests.signals.series import make_series

pytestmark = pytest.mark.browser

EMAIL, PASSWORD = "newcomer@example.com", "three-blind-mice-77"


@pytest.fixture(scope="module")
def learners():
    return scenes.fit_learners(make_series(scenes.BARS + 400, symbol=scenes.ETH, seed=11))


@pytest.fixture
def market(transactional_db, learners):
    """A generated market and a champion that likes longs."""
    market = scenes.make_market(scenes.ETH)
    scenes.make_champion(scenes.make_ensemble(learners))
    return market


def elsewhere(work, *args):
    """Run it as a worker would: in a thread without Playwright's event loop."""

    def call():
        try:
            return work(*args)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def code_for(secret: str, ahead: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + ahead))


def sign_up(page: Page, site: str) -> None:
    page.goto(site + reverse("account_signup"))
    page.locator("input[name=email]").fill(EMAIL)
    page.locator("input[name=password1]").fill(PASSWORD)
    page.locator("input[name=password2]").fill(PASSWORD)
    page.get_by_role("button", name=re.compile("sign up|create", re.IGNORECASE)).last.click()
    page.locator("input[name=code]").wait_for()
    code = re.search(r"^\s*([A-Z0-9]{4}-[A-Z0-9]{4})\s*$", mail.outbox[-1].body, re.MULTILINE)
    assert code, mail.outbox[-1].body
    page.locator("input[name=code]").fill(code[1])
    page.locator("main form button").first.click()
    page.wait_for_url("**" + reverse("dashboard"))


def enrol(page: Page, site: str) -> str:
    """Returns the secret that the page shows beside its QR code."""
    page.goto(site + reverse("mfa_activate_totp"))
    secret = page.locator(".secret").first.inner_text().replace(" ", "").strip()
    assert re.fullmatch(r"[A-Z2-7]{32}", secret), secret
    page.locator("input[name=code]").fill(code_for(secret, ahead=-1))
    page.locator("main form button").last.click()
    expect(page.locator("main")).to_contain_text(re.compile("recovery", re.IGNORECASE))
    return secret


def sign_in(page: Page, site: str, secret: str) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.goto(site + reverse("account_login"))
    page.locator("input[name=login]").fill(EMAIL)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("main form button").first.click()
    page.locator("input[name=code]").fill(code_for(secret))
    page.locator("main form button").first.click()
    page.wait_for_url("**" + reverse("dashboard"))


def start_auto_trade(page: Page, site: str) -> None:
    page.goto(site + reverse("strategies:new", args=["ml-ensemble"]))
    page.locator("input[name=name]").fill("My ensemble")
    page.get_by_role("button", name=re.compile("save", re.IGNORECASE)).click()
    page.wait_for_url("**" + reverse("strategies:list"))
    page.get_by_role("link", name=re.compile("start", re.IGNORECASE)).first.click()
    page.get_by_role("button", name=re.compile("start", re.IGNORECASE)).click()
    page.wait_for_url("**" + reverse("strategies:list"))
    expect(page.locator("main")).to_contain_text(re.compile("running", re.IGNORECASE))


def tick(market, factor: float) -> float:
    newest = candles.read(market, "15m", last=1)
    price = round(float(newest.close[-1]) * factor, 2)
    at = int(newest.timestamp[-1]) + 900_000 + 60_000
    streams.publish_tick(streams.Tick(market.pk, market.symbol, price, at, "simulated"))
    return price


def test_a_newcomer_signs_up_trades_on_paper_and_watches_it_live(site, page, market, console):
    page.set_default_timeout(10_000)
    sign_up(page, site)
    expect(page.locator("body")).to_contain_text("SIMULATED MARKET")
    secret = enrol(page, site)
    sign_in(page, site, secret)
    start_auto_trade(page, site)

    report = elsewhere(scan.run)
    assert len(report.issued) == 1, report
    order = Order.objects.get()
    assert order.state == "filled", order.reason
    position = Position.objects.get()

    page.goto(site + reverse("positions:list"))
    row = page.locator(f'[data-position="{position.pk}"]')
    expect(row).to_contain_text("ETH/USDT:USDT")
    expect(page.locator("[data-live-status]")).to_have_text("live")
    page.evaluate("window.sameDocument = true")
    pnl = row.locator('[data-field="net_pnl"]')
    before = pnl.inner_text()
    page.wait_for_timeout(300)

    elsewhere(tick, market, 1.004)
    expect(pnl).not_to_have_text(before)
    up = pnl.inner_text()
    elsewhere(tick, market, 0.996)
    expect(pnl).to_have_class(re.compile("loss"))
    assert pnl.inner_text() != up
    assert page.evaluate("window.sameDocument") is True

    row.get_by_role("button", name="Close").click()
    page.locator("dialog").get_by_role("button", name="Close position").click()
    expect(page.locator("main")).to_contain_text("closed by manual")
    position.refresh_from_db()
    assert position.status == "closed"
