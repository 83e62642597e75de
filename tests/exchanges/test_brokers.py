"""What both brokers' drivers have in common: how they meet trouble, the shared budget, threads, the registry, and a backfill by either."""

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from exchanges import backfill, candles
from exchanges.models import JobStatus
from exchanges.ports import NotConfigured, Quote, VenueUnavailable
from exchanges.streams import repair
from exchanges.venues import budget, registry
from tests.exchanges.frames import rows
from tests.exchanges.shares import make_sessions, utc
from tests.venue import Instrument, TestVenue, VenueState, alpaca, kite
from traderai.lib import clock

US_DAYS = [(utc(f"2024-03-{day:02d} 14:30"), utc(f"2024-03-{day:02d} 21:00")) for day in (5, 6, 7)]
US_DAYS.append((utc("2024-03-11 13:30"), utc("2024-03-11 20:00")))  # Friday is missing, as if nobody had traded
INDIAN_DAYS = [(utc(f"2024-03-{day:02d} 03:45"), utc(f"2024-03-{day:02d} 10:00")) for day in (5, 6, 7, 11)]
SHARES = {
    "alpaca": ("AAPL/USD", "/v2/stocks/bars", {"tick_size": "0.01", "step_size": "0.000000001"}, US_DAYS),
    "zerodha": ("RELIANCE/INR", "/instruments/historical/{token}/{interval}", {"tick_size": "0.05", "step_size": "1"}, INDIAN_DAYS),
}
NOW_MS = utc("2024-03-12 01:00")


class Scene:
    """A broker that answers on loopback, with one share."""

    def __init__(self, slug: str, venue: TestVenue) -> None:
        self.slug, self.venue = slug, venue
        self.symbol, self.route, steps, days = SHARES[slug]
        self.frame = make_sessions(days, symbol=self.symbol)
        base, _, quote = self.symbol.partition("/")
        venue.state.enlist(Instrument(base, quote=quote, **steps), self.frame)
        self.since_ms = days[0][0]

    def ask(self, timeout_ms: int = 2_000):
        return registry._market_data(self.slug, timeout_ms=timeout_ms).candles(self.symbol, "15m", self.since_ms, 1000)


@pytest.fixture(params=list(SHARES))
def scene(request, settings):
    settings.ALPACA_KEY_ID, settings.ALPACA_SECRET_KEY = alpaca.KEY, alpaca.SECRET
    settings.KITE_API_KEY, settings.KITE_ACCESS_TOKEN = kite.KEY, kite.TOKEN
    with TestVenue(VenueState(now_ms=NOW_MS)) as venue:
        settings.VENUE_BASE_URLS = {"alpaca": venue.url, "zerodha": venue.url}
        registry.market_data.cache_clear()
        yield Scene(request.param, venue)
        registry.market_data.cache_clear()


@pytest.mark.parametrize(
    ("kind", "how", "told"),
    [
        ("status", {"status": 500}, "is not available"),
        ("status", {"status": 503, "body": "<html>busy</html>"}, "is not available"),
        ("status", {"status": 504}, "is not available"),
        ("html", {}, "sent something unreadable"),
        ("truncated", {}, "sent something unreadable"),
        ("reset", {}, "cannot be reached"),
        ("timeout", {"seconds": 5.0}, "did not answer in time"),
        ("wrong", {"field_name": "o", "value": "high"}, "sent something unreadable"),
    ],
)
def test_it_is_unavailable_when_the_venue_stumbles_and_well_again_afterwards(scene, kind, how, told):
    if kind == "wrong" and scene.slug == "zerodha":
        how = {"field_name": 1, "value": "high"}
    scene.venue.script(scene.route, kind, **how)
    with pytest.raises(VenueUnavailable, match=f"{scene.slug} {told} when asked for {scene.symbol} 15m candles"):
        scene.ask(timeout_ms=300)
    assert rows(scene.ask()) == rows(scene.frame)


def test_it_asks_nothing_while_the_venue_wants_to_be_left_alone(scene):
    scene.venue.script(scene.route, "status", status=429, retry_after=0.3)
    with pytest.raises(VenueUnavailable, match="limits our requests") as caught:
        scene.ask()
    assert caught.value.retry_after_s == 0.3
    asked = len(scene.venue.calls)
    with pytest.raises(VenueUnavailable, match=r"may be asked again"):
        budget.take(scene.slug, "other", patience_s=0.0)
    assert rows(scene.ask()) == rows(scene.frame)  # after the pause
    assert len(scene.venue.calls) > asked


def test_it_believes_an_empty_page_only_twice(scene):
    scene.venue.script(scene.route, "empty")
    assert rows(scene.ask()) == rows(scene.frame)
    scene.venue.script(scene.route, "empty", times=2)
    assert len(scene.ask()) == 0


@pytest.mark.parametrize("scene", ["zerodha"], indirect=True)
def test_it_waits_a_moment_when_it_is_limited_without_being_told_how_long(scene, monkeypatch):
    paused = []
    monkeypatch.setattr(budget, "block", lambda venue, seconds: paused.append((venue, seconds)))
    scene.venue.script(scene.route, "status", status=429)
    with pytest.raises(VenueUnavailable) as caught:
        scene.ask()
    assert caught.value.retry_after_s is None
    assert paused == [(scene.slug, 1.0)]


@pytest.mark.parametrize("scene", ["zerodha"], indirect=True)
def test_it_stays_within_what_kite_allows_by_the_second(scene, settings):
    """The venue turns away who asks too much, and nobody is turned away."""
    settings.VENUE_RATE_SHARE = 0.9
    scene.venue.enforce_limits = True
    driver = registry.market_data("zerodha")

    def ask(number: int) -> int:
        return len(driver.tickers([scene.symbol])) if number == 5 else len(driver.candles(scene.symbol, "15m", scene.since_ms, 20))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(6))) == [20] * 5 + [1]
    peaks = scene.venue.peaks("kite")
    assert 1 < peaks["historical"] <= 3 and peaks["quote"] == 1


@pytest.mark.parametrize("scene", ["alpaca"], indirect=True)
def test_it_hears_when_alpacas_minute_is_over(scene, monkeypatch):
    paused = []
    monkeypatch.setattr(budget, "block", lambda venue, seconds: paused.append((venue, seconds)))
    scene.venue.enforce_limits = True
    scene.venue.limits["alpaca"].counters.spend("data", alpaca.A_MINUTE, 200)
    with pytest.raises(VenueUnavailable, match="alpaca limits our requests") as caught:
        scene.ask()
    assert caught.value.retry_after_s is not None and 0.0 <= caught.value.retry_after_s <= 61.0
    assert paused == [("alpaca", caught.value.retry_after_s)]


def test_it_is_unavailable_where_nobody_answers(scene, settings):
    settings.VENUE_BASE_URLS = dict.fromkeys(settings.VENUE_BASE_URLS, "http://127.0.0.1:9")
    with pytest.raises(VenueUnavailable, match=f"{scene.slug} cannot be reached") as caught:
        scene.ask()
    assert "127.0.0.1" not in str(caught.value)
    assert registry.reachable(scene.slug, timeout_s=1.0) is False


def test_it_answers_many_threads_at_once(scene):
    driver = registry.market_data(scene.slug)
    found = []

    def ask() -> None:
        found.append(rows(driver.candles(scene.symbol, "15m", scene.since_ms, 1000)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [rows(scene.frame)] * 8


def test_it_tells_the_venues_time(scene):
    assert 0 <= scene.venue.state.now_ms - registry.market_data(scene.slug).time_ms() < 1_000


def test_it_is_reachable(scene):
    assert registry.reachable(scene.slug) is True


def test_it_shows_no_key_in_the_log(scene, caplog):
    caplog.set_level(0)
    scene.venue.script(scene.route, "html")
    with pytest.raises(VenueUnavailable):
        scene.ask()
    scene.ask()
    secrets = (alpaca.KEY, alpaca.SECRET, kite.KEY, kite.TOKEN)
    assert not [record for record in caplog.records if any(secret in str(record.__dict__) for secret in secrets)]


@pytest.mark.parametrize(("slug", "client"), [("alpaca", "alpaca"), ("zerodha", "kiteconnect")])
def test_it_says_which_client_to_install(monkeypatch, slug, client):
    for name in [name for name in sys.modules if name.partition(".")[0] == client or name in registry.BROKERS[slug]]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, client, None)  # as if it were not there
    with pytest.raises(NotConfigured, match=rf"{slug} is not configured: install its client \(uv pip install .* --extra {slug}\)"):
        registry._market_data(slug)
    assert registry.reachable(slug) is False


@pytest.mark.django_db
def test_it_backfills_over_nights_and_a_weekend(scene):
    job = backfill.start(symbols=[scene.symbol], venue=scene.slug, since_ms=utc("2024-03-01 00:00"), until_ms=NOW_MS)
    job = backfill.run(job.pk, pause=lambda seconds: None)
    assert (job.status, job.error) == (JobStatus.DONE, "")
    market = candles.find_market(scene.symbol, venue=scene.slug)
    assert rows(candles.read(market, "15m")) == rows(scene.frame)
    assert market.provenance == "venue"


@pytest.mark.django_db
def test_it_adopts_a_share_that_the_catalogue_lacks(scene):
    base = {"alpaca": "KO", "zerodha": "M&M"}[scene.slug]
    quote = scene.symbol.partition("/")[2]
    scene.venue.state.enlist(Instrument(base, quote=quote, tick_size="0.05", step_size="1"))
    assert backfill.adopt([f"{base}/{quote}", f"NOBODY/{quote}"], venue=scene.slug) == [f"{base}/{quote}"]
    market = candles.find_market(f"{base}/{quote}", venue=scene.slug)
    assert (market.kind, market.base, market.max_leverage) == ("equity", base, 1)


def test_it_polls_a_share_and_tells_the_time_of_its_last_trade(scene, monkeypatch):
    monkeypatch.setattr(clock, "now_ms", lambda: scene.venue.state.now_ms)
    told: list[Quote] = []

    async def poll_once() -> None:
        heard = asyncio.Event()

        def hear(quote: Quote) -> None:
            told.append(quote)
            heard.set()

        polling = asyncio.ensure_future(registry.live(scene.slug).watch("quotes", [scene.symbol], hear))
        await heard.wait()
        polling.cancel()

    asyncio.run(poll_once())
    assert told[0].symbol == scene.symbol
    assert told[0].ts_ms // 1000 == int(scene.frame.timestamp[-1]) // 1000 + 899


@pytest.mark.django_db
def test_it_asks_for_no_bars_at_night(scene, monkeypatch):
    market = candles.find_market(scene.symbol, venue=scene.slug)
    candles.ingest(market, scene.frame, provenance="venue")
    monkeypatch.setattr(clock, "now_ms", lambda: scene.venue.state.now_ms)
    asked = len(scene.venue.called(scene.route))
    since_ms, until_ms = int(scene.frame.timestamp[-1]) + 900_000, NOW_MS // 900_000 * 900_000 - 900_000
    found = repair.bars(market, registry.market_data(scene.slug), "15m", since_ms, until_ms)
    assert found == (None, until_ms)
    assert len(scene.venue.called(scene.route)) == asked
