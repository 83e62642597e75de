"""Regimes on charts: a strip in the theme's colours, and the same in words. A strategy's look-ahead check on its page."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from exchanges import candles
from signals import features
from signals.features.regime import NAMES
from tests.signals import scenes
from tests.signals.scenes import BAR_MS, ETH
from tests.signals.series import make_series

pytestmark = pytest.mark.browser

BARS = 2_800
NEWEST_STRIP = """(root) => {
    const hex = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--regime-${name}`).trim();
    const named = new Map(["bull", "bear", "sideways", "volatile", "crisis"].map((name) => [hex(name).toLowerCase(), name]));
    const canvas = [...root.querySelectorAll("canvas")].sort((a, b) => b.width * b.height - a.width * a.height);
    const seen = new Set();
    for (const each of canvas.slice(0, 2)) {
        const row = each.getContext("2d").getImageData(0, Math.round(3 * devicePixelRatio), each.width, 1).data;
        for (let at = 0; at < row.length; at += 4) {
            if (row[at + 3] < 255) continue;
            const colour = `#${[0, 1, 2].map((k) => row[at + k].toString(16).padStart(2, "0")).join("")}`;
            if (named.has(colour)) seen.add(named.get(colour));
        }
    }
    return [...seen].sort();
}"""


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    """What takes seconds on a busy machine is loaded before a page waits for it: TA-Lib (with pandas, where that is there) and compiled code."""
    import talib  # noqa: F401

    features.regimes(make_series(BARS))


@pytest.fixture
def market(transactional_db):
    return scenes.make_market(ETH, bars=BARS)


@pytest.fixture
def signed_in(site, page, client_for, alice):
    """A page with alice's session."""
    cookie = client_for(alice).cookies["session"].value
    page.context.add_cookies([{"name": "session", "value": cookie, "url": site}])
    return page


def known(market, bars: int) -> list[str]:
    """The regimes at the newest closes."""
    codes = features.regimes(candles.read(market, "15m"))[-bars:]
    return [NAMES[code] for code in codes.tolist()]


def strip(page, selector: str) -> list[str]:
    return page.locator(selector).evaluate(NEWEST_STRIP)


@pytest.mark.parametrize("width", [360, 1280])
def test_a_markets_chart_shows_its_regimes_as_a_strip_and_in_words(site, signed_in, market, console, width):
    signed_in.set_viewport_size({"width": width, "height": 800})
    signed_in.goto(f"{site}/markets/binance/{market.symbol}/")
    now = known(market, 500)
    expect(signed_in.locator("[data-regimes]")).to_have_text(
        re.compile(rf"Regime: {now[-1]} since .* UTC\. In the \d+ bars here: .*{now[-1]} \d+ %")
    )
    expect(signed_in.locator("[data-legend]")).to_contain_text(now[-1])
    expect(signed_in.get_by_role("list", name=re.compile("^Regimes")).get_by_role("listitem")).to_have_text(
        ["bull", "bear", "sideways", "volatile", "crisis"]
    )
    for scheme in ("light", "dark"):
        signed_in.emulate_media(color_scheme=scheme)
        signed_in.wait_for_timeout(300)
        drawn = strip(signed_in, "[data-canvas]")
        assert drawn
        assert set(drawn) <= set(now[-140:])
    signed_in.get_by_text("Show data").first.click()
    expect(signed_in.locator("[data-bars] tbody tr").first.locator("td").last).to_have_text(now[-1])
    assert signed_in.evaluate("document.documentElement.scrollWidth") == width


def test_a_longer_bar_shows_what_was_known_at_its_close(site, signed_in, market, console):
    signed_in.goto(f"{site}/markets/binance/{market.symbol}/?timeframe=4h")
    expect(signed_in.locator("[data-regimes]")).to_contain_text("Regime:")
    signed_in.get_by_text("Show data").first.click()
    closes = candles.read(market, "4h").timestamp[-3:] + 16 * BAR_MS
    base = candles.read(market, "15m")
    codes = features.regimes(base)
    expected = [NAMES[int(codes[(base.timestamp + BAR_MS).searchsorted(close)])] for close in closes[::-1]]
    cells = signed_in.locator("[data-bars] tbody tr td:last-child")
    expect(cells.first).to_have_text(expected[0])
    assert cells.all_inner_texts()[:3] == expected


def test_a_short_history_says_that_no_regime_is_known(site, signed_in, transactional_db, console):
    market = scenes.make_market(ETH, bars=300)
    signed_in.goto(f"{site}/markets/binance/{market.symbol}/")
    expect(signed_in.locator("[data-regimes]")).to_contain_text("not known yet")
    assert strip(signed_in, "[data-canvas]") == []


def test_regimes_that_cannot_be_loaded_leave_the_chart_alone(site, signed_in, market):
    signed_in.route("**/regimes/**", lambda route: route.fulfill(status=503, body="{}"))
    signed_in.goto(f"{site}/markets/binance/{market.symbol}/")
    expect(signed_in.locator("[data-legend]")).to_contain_text("RSI")
    expect(signed_in.locator("[data-regimes]")).to_contain_text("could not be loaded")


def test_a_signals_chart_shows_them_too(site, signed_in, market, console):
    close = float(candles.read(market, "15m", last=1).close[-1])
    signal = scenes.make_signal(market, entry=close, step=close * 0.02, regime=known(market, 1)[0])
    signed_in.goto(site + reverse("signals:detail", args=[signal.pk]))
    signed_in.locator(".chart__canvas canvas").first.wait_for()
    signed_in.wait_for_timeout(300)
    drawn = strip(signed_in, ".chart__canvas")
    assert drawn
    assert set(drawn) <= set(known(market, 161))
    expect(signed_in.locator("figcaption")).to_contain_text(f"{signal.regime} when the signal was decided")


def test_the_strategys_page_fetches_its_newest_look_ahead_check(site, signed_in, transactional_db, console):
    signed_in.goto(site + reverse("strategies:list"))
    expect(signed_in.locator("#lookahead-ml-ensemble")).to_contain_text("No look-ahead check yet")
    signed_in.get_by_role("link", name="What models look at").click()
    signed_in.get_by_label("Search").fill("Kaufman")
    signed_in.get_by_role("button", name="Show").click()
    expect(signed_in.locator("#features-table caption")).to_contain_text("5 of 144 features")
