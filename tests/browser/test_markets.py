"""The list of markets and a market's page while their market moves: prices, bars, book and streams in place."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.urls import reverse
from playwright.sync_api import expect

from exchanges import candles, streams
from exchanges.live import Bar, Book, Feed, Tick
from exchanges.streams import publishing
from tests.exchanges.frames import START_MS, make_frame

pytestmark = pytest.mark.browser

BAR_MS, HOUR_MS = 900_000, 3_600_000
BARS = 1_302  # two quarters into an hour
END_MS = START_MS + BARS * BAR_MS


def elsewhere(work, *args):
    """Run it as a stream would: in a thread without Playwright's event loop."""

    def call():
        try:
            return work(*args)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def publish(*updates):
    elsewhere(publishing.publish, updates)


def store(symbol: str, bars: int = BARS):
    market = candles.find_market(symbol)
    candles.ingest(market, make_frame(bars, symbol=symbol), provenance="simulated")
    return market


def bar(market, at_ms: int, close: float, *, closed: bool = False) -> Bar:
    return Bar(market.pk, market.symbol, "15m", at_ms, 40_000.0, 50_000.0, 30_000.0, close, 7.0, closed, "simulated")


@pytest.fixture(scope="module", autouse=True)
def _indicators():
    """Where pandas is installed, too, TA-Lib loads it: seconds on a busy machine, which no page of these tests should wait for."""
    import talib  # noqa: F401


@pytest.fixture
def market(transactional_db):
    return store("BTC/USDT:USDT")


@pytest.fixture
def signed_in(site, page, client_for, alice):
    """A page with alice's session."""
    cookie = client_for(alice).cookies["session"].value
    page.context.add_cookies([{"name": "session", "value": cookie, "url": site}])
    return page


@pytest.fixture
def opened(site, signed_in, market):
    """The market's page with its candles drawn and its socket open."""
    signed_in.goto(f"{site}/markets/binance/{market.symbol}/")
    expect(signed_in.locator("[data-live-status]")).to_have_text("live")
    expect(signed_in.locator("[data-legend]")).to_contain_text("RSI")
    return signed_in


def legend(page):
    return page.locator("[data-legend]")


def test_the_list_follows_prices_changes_and_streams(site, signed_in, market, console):
    eth = store("ETH/USDT:USDT")
    signed_in.goto(site + reverse("markets:list"))
    expect(signed_in.locator("[data-live-status]")).to_have_text("live")
    row = signed_in.locator(f'tr[data-market="{market.pk}"]')
    expect(row.locator('[data-live="feed"]')).to_have_text("no stream")
    before = row.bounding_box()
    publish(Tick(market.pk, market.symbol, 44_444.4, END_MS, "simulated"), Feed(market.pk, market.symbol, "live", END_MS, "simulated"))
    expect(row.locator('[data-live="price"]')).to_have_text("44444.4")
    day_ago = make_frame(BARS).close[-97]
    expect(row.locator('[data-live="change"]')).to_have_text(f"{(44_444.4 / day_ago - 1) * 100:+.2f} %")
    expect(row.locator('[data-live="feed"]')).to_have_text("live")
    assert row.bounding_box() == before
    publish(Feed(market.pk, market.symbol, "stale", END_MS, "simulated"))
    expect(row.locator('[data-live="feed"]')).to_have_text(re.compile(r"stale since \d\d:\d\d"))
    expect(signed_in.locator(f'tr[data-market="{eth.pk}"] [data-live="feed"]')).to_have_text("no stream")


def test_the_list_is_ordered_and_searched_without_a_reload(site, signed_in, market, console):
    store("ETH/USDT:USDT")
    signed_in.goto(site + reverse("markets:list"))
    signed_in.evaluate("window.sameDocument = true")
    signed_in.get_by_role("link", name="Volume 24 h").press("Enter")
    signed_in.wait_for_url("**sort=-volume**")
    expect(signed_in.get_by_role("columnheader", name="Volume 24 h")).to_have_attribute("aria-sort", "descending")
    signed_in.get_by_label("Search").fill("eth")
    signed_in.get_by_role("button", name="Show").click()
    expect(signed_in.locator("tr[data-market]")).to_have_count(1)
    signed_in.get_by_role("link", name="ETH/USDT:USDT").click()
    signed_in.wait_for_url("**/markets/binance/ETH/USDT:USDT/")


def test_the_price_and_the_forming_bar_move(opened, market, console):
    publish(Tick(market.pk, market.symbol, 43_210.5, END_MS + 1000, "simulated"), bar(market, END_MS, 43_210.5))
    expect(opened.locator('[data-live="price"]')).to_have_text("43210.5")
    expect(legend(opened)).to_contain_text("C 43210.5")
    expect(legend(opened)).to_contain_text("forming")
    publish(bar(market, END_MS, 43_333.3))
    expect(legend(opened)).to_contain_text("C 43333.3")


def test_a_bar_counts_as_closed_when_the_server_has_it(opened, market, console):
    publish(bar(market, END_MS, 43_333.3, closed=True))
    expect(legend(opened)).to_contain_text("C 43333.3")
    expect(legend(opened)).to_contain_text("forming")
    frame = make_frame(BARS + 1).slice(BARS, BARS + 1)
    elsewhere(streams.close_bar, market, frame)
    publish(bar(market, END_MS, 43_333.3, closed=True))
    expect(legend(opened)).to_contain_text(f"C {frame.close[0]:.1f}", timeout=10_000)
    expect(legend(opened)).to_contain_text("RSI")


def test_a_higher_frame_forms_from_the_bars_it_is_made_of(opened, market, console):
    opened.get_by_role("link", name="1h", exact=True).press("Enter")
    opened.wait_for_url("**timeframe=1h")
    frame = make_frame(BARS)
    expect(legend(opened)).to_contain_text("forming")
    expect(legend(opened)).to_contain_text(f"O {frame.open[-2]:.1f}")
    expect(legend(opened)).to_contain_text(f"C {frame.close[-1]:.1f}")
    publish(bar(market, END_MS, 43_333.3))
    expect(legend(opened)).to_contain_text(f"O {frame.open[-2]:.1f}")
    expect(legend(opened)).to_contain_text("H 50000.0")
    expect(legend(opened)).to_contain_text("C 43333.3")
    expect(legend(opened)).to_contain_text(f"V {frame.volume[-2:].sum() + 7:.2f}")


def test_frames_are_switched_in_place_and_with_back(opened, console):
    opened.evaluate("window.sameDocument = true")
    newest = legend(opened).inner_text()
    opened.get_by_role("link", name="4h", exact=True).click()
    opened.wait_for_url("**timeframe=4h")
    expect(legend(opened)).not_to_have_text(newest)
    expect(opened.get_by_role("link", name="4h", exact=True)).to_have_attribute("aria-current", "true")
    expect(opened.get_by_role("link", name="CSV")).to_have_attribute("href", re.compile("timeframe=4h$"))
    opened.go_back()
    expect(legend(opened)).to_have_text(newest)
    assert opened.evaluate("window.sameDocument") is True


def test_older_bars_come_as_one_moves_left_by_keyboard(opened, console):
    canvas = opened.locator("[data-canvas]")
    canvas.focus()
    with opened.expect_response(lambda reply: "/candles?" in reply.url and "end=" in reply.url) as waiting:
        for _ in range(60):
            opened.keyboard.press("ArrowLeft", delay=20)  # a frame each
    told = waiting.value.json()
    assert told["candles"][-1][0] == END_MS - 501 * BAR_MS
    opened.get_by_text("Show data").first.click()
    expect(opened.locator("[data-bars] tbody tr")).to_have_count(100)
    assert opened.locator("[data-bars] tbody tr").first.locator("td").nth(5).inner_text() != ""


def test_the_book_fills_its_rows_and_moves_nothing(opened, market, console):
    table = opened.locator("[data-book]")
    expect(table).to_be_hidden()  # a generated market has none
    publish(Book(market.pk, market.symbol, END_MS, (), (), "simulated"))
    expect(table).to_be_visible()
    before = table.bounding_box()
    publish(Book(market.pk, market.symbol, END_MS, ((40_000.0, 1.5), (39_999.0, 2.0)), ((40_001.6, 0.5), (40_002.0, 0.25)), "simulated"))
    bids, asks = table.locator('[data-side="bids"] tr'), table.locator('[data-side="asks"] tr')
    expect(bids.first.locator("td")).to_have_text(["40000.0", "1.500", "1.500"])
    expect(bids.nth(1).locator("td")).to_have_text(["39999.0", "2.000", "3.500"])
    expect(asks.last.locator("td")).to_have_text(["40001.6", "0.500", "0.500"])
    expect(asks.nth(-2).locator("td")).to_have_text(["40002.0", "0.250", "0.750"])
    expect(table.locator("[data-spread]")).to_have_text("Spread 1.6 (0.40 bp)")
    assert bids.nth(1).evaluate("row => row.style.getPropertyValue('--depth')") == "100.0%"
    assert table.bounding_box() == before


def test_a_lost_connection_is_said_and_what_was_missed_is_fetched(site, signed_in, market, console):
    sockets = []

    def route(socket):
        socket.connect_to_server()
        sockets.append(socket)

    signed_in.route_web_socket(re.compile("/ws/market/"), route)
    signed_in.goto(f"{site}/markets/binance/{market.symbol}/")
    expect(signed_in.locator("[data-live-status]")).to_have_text("live")
    expect(legend(signed_in)).to_contain_text("RSI")
    elsewhere(streams.close_bar, market, make_frame(BARS + 1).slice(BARS, BARS + 1))
    signed_in.evaluate("""() => { window.said = []; new MutationObserver(() => window.said.push(document.querySelector('[data-live-status]').textContent))
        .observe(document.querySelector('[data-live-status]'), {childList: true, characterData: true, subtree: true}); }""")
    sockets[0].close(code=1012)
    expect(legend(signed_in)).to_contain_text(f"C {make_frame(BARS + 1).close[-1]:.1f}")
    assert signed_in.evaluate("window.said") == ["reconnecting", "live"]


def test_a_stream_that_fell_silent_is_not_called_live(site, signed_in, market, console):
    publish(Feed(market.pk, market.symbol, "live", END_MS, "simulated"))
    signed_in.clock.install()
    signed_in.goto(site + reverse("markets:list"))
    badge = signed_in.locator(f'tr[data-market="{market.pk}"] [data-live="feed"]')
    expect(badge).to_have_text("live")
    expect(signed_in.locator("[data-live-status]")).to_have_text("live")
    for _ in range(3):  # what the socket told first may be painted in the first
        signed_in.clock.fast_forward(35_000)
    expect(badge).to_have_text("no stream")


def test_history_that_is_played_ends_at_its_own_time(site, opened, market, console):
    """What comes later is stored, and is not seen before its time: neither by a page that is open nor by one that is opened."""
    frame, row = make_frame(BARS), 1_000
    at_ms = START_MS + row * BAR_MS + 60_000

    def play(at_ms: int) -> None:
        publish(Feed(market.pk, market.symbol, "live", at_ms, "simulated"), Tick(market.pk, market.symbol, 43_210.5, at_ms, "simulated"))

    play(at_ms)
    play(at_ms + 1)
    expect(legend(opened)).to_contain_text(f"C {frame.close[row - 1]:.1f}")
    publish(bar(market, START_MS + row * BAR_MS, 43_333.3))
    expect(legend(opened)).to_contain_text("C 43333.3")
    for timeframe in ("15m", "1h"):
        opened.goto(f"{site}/markets/binance/{market.symbol}/?timeframe={timeframe}")
        expect(legend(opened)).to_contain_text("11 Jan 10:00 UTC")
        expect(legend(opened)).to_contain_text("C 43333.3")
    play(at_ms + BAR_MS)
    opened.get_by_role("link", name="15m", exact=True).click()
    expect(legend(opened)).to_contain_text(f"C {frame.close[row]:.1f}")


def test_a_bar_told_before_the_candles_are_loaded_is_drawn_with_them(site, signed_in, market, console):
    """A quiet market's next bar may be a minute away."""
    publish(bar(market, END_MS, 43_333.3))
    held = []
    signed_in.route("**/candles?**", lambda route: held.append(route), times=1)
    signed_in.goto(f"{site}/markets/binance/{market.symbol}/?timeframe=1h")
    expect(signed_in.locator("[data-live-status]")).to_have_text("live")
    signed_in.wait_for_timeout(500)  # the socket's first frames
    held.pop().continue_()
    expect(legend(signed_in)).to_contain_text("C 43333.3")
    expect(legend(signed_in)).to_contain_text("forming")


def test_candles_that_cannot_be_loaded_can_be_asked_for_again(site, signed_in, market):
    signed_in.route("**/candles?**", lambda route: route.fulfill(status=503, body="{}"))
    signed_in.goto(f"{site}/markets/binance/{market.symbol}/")
    expect(signed_in.get_by_role("status").filter(has_text="The candles could not be loaded.")).to_be_visible()
    signed_in.unroute("**/candles?**")
    signed_in.get_by_role("button", name="Try again").click()
    expect(legend(signed_in)).to_contain_text("RSI")
    expect(signed_in.get_by_text("The candles could not be loaded.")).to_have_count(0)


@pytest.mark.parametrize("width", [360, 1024])
def test_no_page_is_wider_than_its_screen(site, signed_in, market, console, width):
    book = Book(market.pk, market.symbol, END_MS, ((40_000.0, 1.5),), ((40_001.6, 0.5),), "simulated")
    publish(Feed(market.pk, market.symbol, "stale", END_MS, "simulated"), book)
    signed_in.set_viewport_size({"width": width, "height": 780})
    signed_in.goto(site + reverse("markets:list"))
    assert signed_in.evaluate("document.documentElement.scrollWidth") == width
    signed_in.goto(f"{site}/markets/binance/{market.symbol}/")
    expect(legend(signed_in)).to_contain_text("RSI")
    assert signed_in.evaluate("document.documentElement.scrollWidth") == width
    for box in (signed_in.locator("[data-canvas]").bounding_box(), signed_in.locator("[data-book]").bounding_box()):
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_without_script_the_page_has_its_figures(site, browser, market, client_for, alice):
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies([{"name": "session", "value": client_for(alice).cookies["session"].value, "url": site}])
    page = context.new_page()
    page.goto(site + reverse("markets:list"))
    page.get_by_role("link", name=market.symbol).click()
    expect(page.locator('[data-live="price"]')).to_have_text(f"{make_frame(BARS).close[-1]:.1f}")
    expect(page.locator("[data-chart-state]")).to_contain_text("The chart needs JavaScript")
    page.get_by_role("link", name="4h", exact=True).click()
    page.get_by_text("Show data").first.click()
    expect(page.locator("[data-bars] tbody tr")).to_have_count(30)
    context.close()
