import os
import signal
from threading import Event

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from exchanges import candles, events, streams
from exchanges.ports import FundingFrame, VenueRefused, VenueUnavailable
from exchanges.streams import follow
from exchanges.streams.follow import LONGEST_PAUSE_S, POLL_S, PUBLISHED_AFTER_MS, Beat
from exchanges.venues import registry
from tests.exchanges.frames import START_MS, make_frame, replaced, rows
from tests.listening import heard
from tests.venue import Instrument, TestVenue, VenueState, binance
from traderai.lib import clock, groups

pytestmark = pytest.mark.django_db
QUARTER_MS = 900_000
BTC, ETH, SOL = "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"
FUNDING = "/fapi/v1/fundingRate"
HOUR_MS = 3_600_000
KLINES, INFO, TIME, TICKER = "/fapi/v1/klines", "/fapi/v1/exchangeInfo", "/fapi/v1/time", "/fapi/v1/ticker/24hr"
STORED = 20
STORED_UNTIL_MS = START_MS + STORED * QUARTER_MS
FRAMES = {symbol: make_frame(60, symbol=symbol, seed=seed) for seed, symbol in enumerate((BTC, ETH), start=1)}


@pytest.fixture
def venue(settings, monkeypatch):
    """Binance with two perpetuals, in the middle of the first bar that is not stored here. Its clock is ours."""
    state = VenueState(now_ms=STORED_UNTIL_MS + QUARTER_MS // 2)
    for base in ("BTC", "ETH"):
        state.enlist(Instrument(base), FRAMES[f"{base}/USDT:USDT"])
    monkeypatch.setattr(clock, "now_ms", lambda: state.now_ms)
    with TestVenue(state) as running:
        settings.VENUE_BASE_URLS = {"binance": running.url}
        registry.market_data.cache_clear()
        # ccxt would pause between requests as the real venue's weights ask for.
        registry.market_data("binance")._client("perpetual").enableRateLimit = False
        yield running
        registry.market_data.cache_clear()


@pytest.fixture
def markets(db):
    return [store(symbol) for symbol in (BTC, ETH)]


def store(symbol, *, provenance="venue"):
    market = candles.find_market(symbol)
    candles.ingest(market, FRAMES.get(symbol, make_frame(60, symbol=symbol)).slice(0, STORED), provenance=provenance)
    return market


@pytest.fixture
def closed():
    """(symbol, bar number) of every candle_closed."""
    heard: list[tuple[str, int]] = []

    def hear(**payload):
        assert payload["timeframe"] == "15m"
        heard.append((payload["symbol"], (payload["timestamp"] - START_MS) // QUARTER_MS))

    events.candle_closed.connect(hear)
    yield heard
    events.candle_closed.disconnect(hear)


@pytest.fixture
def beat(venue, markets, django_capture_on_commit_callbacks):
    """beat(at_ms): one poll at this moment of the venue, and what its commits set off."""

    def poll(at_ms: int | None = None, of=None) -> Beat:
        venue.state.now_ms = at_ms or venue.state.now_ms
        with django_capture_on_commit_callbacks(execute=True):
            return follow.beat(of or markets, registry.market_data("binance"), now_ms=venue.state.now_ms)

    return poll


def final_ms(bar: int) -> int:
    """When a bar can be taken for final."""
    return START_MS + (bar + 1) * QUARTER_MS + PUBLISHED_AFTER_MS


def assert_stored(market, bars: int) -> None:
    assert rows(candles.read(market, "15m")) == rows(FRAMES[market.symbol].slice(0, bars))


def test_it_publishes_the_venues_prices_as_live_ticks(beat, venue, markets):
    beats = []
    messages = heard(groups.TICKS, len(markets), lambda: beats.append(beat()))
    assert beats == [Beat(ticks=2, bars=0)]
    for market, message in zip(markets, messages, strict=True):
        price = FRAMES[market.symbol].close[STORED]
        assert message == {
            "type": "tick",
            "market_id": market.pk,
            "symbol": market.symbol,
            "price": price,
            "ts_ms": venue.state.now_ms,
            "source": "venue",
        }
        assert streams.latest_tick(market) == (market.pk, market.symbol, price, venue.state.now_ms, "venue")
    assert venue.called(TICKER) == [{}], "one request brings every price"


def test_it_stores_the_funding_of_a_boundary_before_the_bar_of_it_is_told(beat, venue, markets):
    at_ms = START_MS + 8 * HOUR_MS
    venue.state.funding["BTCUSDT"] = FundingFrame(np.array([at_ms]), np.array([0.0003]))
    known = {}

    def hear(market_id, timestamp, **_):
        known[market_id, timestamp] = candles.last_funding_ms(markets[0])

    events.candle_closed.connect(hear)
    beat(final_ms(32))  # the bar that begins at the boundary
    events.candle_closed.disconnect(hear)
    assert known[markets[0].pk, at_ms] == at_ms
    assert candles.funding(markets[0]).rate.tolist() == [0.0003]
    asked = len(venue.called(FUNDING))
    beat(final_ms(33))
    assert len(venue.called(FUNDING)) == asked, "once an hour is enough"


def test_no_bar_waits_for_a_funding_rate(beat, venue, markets, closed):
    venue.state.funding["BTCUSDT"] = FundingFrame(np.array([START_MS + 8 * HOUR_MS]), np.array([0.0003]))
    venue.script(FUNDING, "status", status=500, times=99)
    assert beat(final_ms(32)).bars == 2 * 13
    assert closed[-1] == (ETH, 32)
    assert candles.last_funding_ms(markets[0]) is None


def test_it_stores_a_bar_that_has_closed_once_and_says_so(beat, venue, markets, closed):
    assert beat(final_ms(STORED)) == Beat(ticks=2, bars=2)
    assert closed == [(BTC, STORED), (ETH, STORED)]
    assert beat() == beat(final_ms(STORED + 1) - 1) == Beat(ticks=2, bars=0)
    assert closed == [(BTC, STORED), (ETH, STORED)]
    assert len(venue.called(KLINES)) == 2, "nothing is asked for before its time"
    for market in markets:
        assert_stored(market, STORED + 1)
        assert market.provenance == "venue"
    assert beat(final_ms(STORED + 1)).bars == 2
    assert closed[2:] == [(BTC, STORED + 1), (ETH, STORED + 1)]


@pytest.mark.parametrize("at_ms", [STORED_UNTIL_MS, final_ms(STORED) - PUBLISHED_AFTER_MS - 1, final_ms(STORED) - 1])
def test_it_does_not_store_a_bar_that_is_not_finished(beat, markets, closed, at_ms):
    assert beat(at_ms) == Beat(ticks=2, bars=0)
    assert closed == []
    assert_stored(markets[0], STORED)


def test_it_catches_up_with_every_bar_it_missed_in_order(beat, markets, closed):
    assert beat(final_ms(STORED + 11)) == Beat(ticks=2, bars=24)
    assert closed == [(symbol, bar) for symbol in (BTC, ETH) for bar in range(STORED, STORED + 12)]
    for market in markets:
        assert_stored(market, STORED + 12)
    assert beat().bars == 0


def test_it_leaves_a_bar_that_closed_a_moment_ago_when_it_catches_up(beat, markets, closed):
    """The venue may still change it, and a stored bar is not asked for again."""
    assert beat(final_ms(STORED + 3) - PUBLISHED_AFTER_MS).bars == 6
    assert_stored(markets[0], STORED + 3)
    assert beat(final_ms(STORED + 3)).bars == 2
    assert_stored(markets[0], STORED + 4)
    assert closed.count((BTC, STORED + 3)) == 1


def test_it_catches_up_page_by_page(beat, markets, closed, monkeypatch):
    monkeypatch.setattr(type(registry.market_data("binance")), "page", lambda self, symbol: 5)
    assert [beat(final_ms(STORED + 11)).bars for _ in range(4)] == [10, 10, 4, 0]
    assert_stored(markets[0], STORED + 12)
    assert len(closed) == len(set(closed)) == 24


def test_it_passes_over_a_hole_in_the_venues_bars(beat, venue, markets, closed):
    frame = FRAMES[BTC]
    venue.state.candles["BTCUSDT", "15m"] = replaced(
        frame, **{name: getattr(frame, name)[[*range(STORED), *range(STORED + 3, 60)]] for name in frame._fields[2:]}
    )
    assert beat(final_ms(STORED + 4), of=markets[:1]).bars == 2
    assert closed == [(BTC, STORED + 3), (BTC, STORED + 4)]


TROUBLE = [
    ("status", {"status": 500}),
    ("status", {"status": 503}),
    ("status", {"status": 429, "retry_after": 7}),
    ("status", {"status": 418, "retry_after": 90}),
    ("html", {}),
    ("truncated", {}),
    ("reset", {}),
]


@pytest.mark.parametrize("route", [INFO, TICKER, KLINES, TIME])
@pytest.mark.parametrize(("kind", "how"), TROUBLE)
def test_it_loses_nothing_however_the_venue_stumbles(beat, venue, markets, closed, route, kind, how):
    venue.script(route, kind, **how)
    with pytest.raises(VenueUnavailable) as caught:
        beat(final_ms(STORED))
    assert "http" not in str(caught.value)
    assert caught.value.retry_after_s == how.get("retry_after")
    assert closed == []
    assert beat().ticks == 2
    assert closed == [(BTC, STORED), (ETH, STORED)]
    for market in markets:
        assert_stored(market, STORED + 1)


def test_it_keeps_what_it_has_when_the_venue_fails_between_two_markets(beat, venue, markets, closed):
    venue.script(KLINES, "status", status=500, symbol="ETHUSDT")
    with pytest.raises(VenueUnavailable, match=f"when asked for {ETH} 15m candles"):
        beat(final_ms(STORED))
    assert closed == [(BTC, STORED)]
    assert beat().bars == 1
    assert closed == [(BTC, STORED), (ETH, STORED)]


def test_it_knows_no_price_of_what_was_never_traded(beat, venue, markets):
    venue.state.candles["ETHUSDT", "15m"] = FRAMES[ETH].slice(0, 0)
    assert beat() == Beat(ticks=1, bars=0)
    assert streams.latest_tick(markets[1]).source == "venue"
    assert streams.latest_tick(markets[1]).price == FRAMES[ETH].close[STORED - 1]


def test_it_publishes_no_price_when_the_venue_has_none(beat, venue, markets):
    venue.script(TICKER, "empty")
    assert beat(final_ms(STORED)).ticks == 0
    assert not streams.has_ticks([market.pk for market in markets])


def say_last_price(venue, wire_id, last) -> None:
    told = venue.routes[TICKER]
    venue.routes[TICKER] = lambda state, query: [
        ticker | ({"lastPrice": last} if ticker["symbol"] == wire_id else {}) for ticker in told(state, query)
    ]


@pytest.mark.parametrize("last", ["-1", "1e999"])
def test_it_takes_no_impossible_number_for_a_price(beat, venue, markets, last):
    say_last_price(venue, "ETHUSDT", last)
    assert beat().ticks == 1
    assert streams.has_ticks([markets[0].pk])
    assert not streams.has_ticks([markets[1].pk])


@pytest.mark.parametrize("last", ["abc", "nan", "inf"])
def test_it_publishes_nothing_of_prices_that_are_no_numbers(beat, venue, markets, last):
    say_last_price(venue, "ETHUSDT", last)
    with pytest.raises(VenueUnavailable, match="sent something unreadable when asked for last prices"):
        beat()
    assert not streams.has_ticks([market.pk for market in markets])


def test_it_goes_on_with_the_others_when_a_symbol_is_not_listed_any_more(beat, markets, closed):
    gone = store(SOL)
    assert beat(final_ms(STORED), of=[*markets, gone]) == Beat(ticks=2, bars=2)
    assert closed == [(BTC, STORED), (ETH, STORED)]
    assert beat(of=[gone]) == Beat(ticks=0, bars=0)


def test_it_goes_on_with_the_others_when_a_market_sends_impossible_bars(beat, venue, markets, closed):
    venue.state.candles["BTCUSDT", "15m"] = replaced(FRAMES[BTC], high=FRAMES[BTC].low * 0.5)
    assert beat(final_ms(STORED)) == Beat(ticks=2, bars=1)
    assert closed == [(ETH, STORED)]
    assert_stored(markets[0], STORED)


def test_it_goes_on_with_the_others_when_the_venue_refuses_a_markets_bars(beat, venue, closed):
    told = venue.routes[KLINES]
    venue.routes[KLINES] = lambda state, query: refuse() if query["symbol"] == "BTCUSDT" else told(state, query)
    assert beat(final_ms(STORED)) == Beat(ticks=2, bars=1)
    assert closed == [(ETH, STORED)]


def refuse(*args):
    raise binance.Refusal(-1100, "Illegal characters found in a parameter.")


class Watch(Event):
    """A stop that never waits: it notes how long it should have, calls `then`, and is set after so many pauses."""

    def __init__(self, pauses: int, then=lambda: None) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self.count, self.then = pauses, then

    def wait(self, timeout=None) -> bool:
        self.pauses.append(timeout)
        self.then()
        if len(self.pauses) == self.count:
            self.set()
        return self.is_set()


def test_it_polls_until_it_is_told_to_stop(venue, markets):
    stop = Watch(3)
    follow.follow(markets, registry.market_data("binance"), stop=stop)
    assert stop.pauses == [POLL_S] * 3
    assert len(venue.called(TICKER)) == 3
    follow.follow(markets, registry.market_data("binance"), stop=stop)
    assert len(venue.called(TICKER)) == 3, "one that is stopped already asks nothing"


def test_it_asks_less_and_less_often_while_the_venue_is_away(venue, markets):
    venue.script(TICKER, "status", status=503, nth=2, times=7)
    stop = Watch(10)
    follow.follow(markets, registry.market_data("binance"), stop=stop)
    assert stop.pauses == [POLL_S, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S, POLL_S, POLL_S]


@pytest.mark.parametrize(("retry_after", "pause"), [(1, 4.0), (30, 30.0), (300, 300.0)])
def test_it_waits_as_long_as_the_venue_asks(venue, markets, retry_after, pause):
    venue.script(TICKER, "status", status=429, retry_after=retry_after)
    stop = Watch(2)
    follow.follow(markets, registry.market_data("binance"), stop=stop)
    assert stop.pauses == [pause, POLL_S]


def test_it_stores_by_the_venues_clock_when_ours_is_ahead(venue, markets, monkeypatch):
    venue.state.now_ms = final_ms(STORED) - 1
    monkeypatch.setattr(clock, "now_ms", lambda: venue.state.now_ms + 3_600_000)
    follow.follow(markets, registry.market_data("binance"), stop=Watch(1))
    assert_stored(markets[0], STORED)
    assert streams.latest_tick(markets[0]).ts_ms == venue.state.now_ms


def test_it_compares_the_clocks_again_after_some_minutes(venue, markets, monkeypatch):
    elapsed_s = iter(range(0, 10**6, 200))
    monkeypatch.setattr("exchanges.venues.ccxt_venue.monotonic", lambda: next(elapsed_s))
    driver = registry.market_data("binance")
    ours_ms = venue.state.now_ms
    monkeypatch.setattr(clock, "now_ms", lambda: ours_ms)
    assert driver.now_ms() == ours_ms
    venue.state.now_ms -= 5_000
    assert [driver.now_ms() for _ in range(4)][-1] == ours_ms - 5_000
    assert len(venue.called(TIME)) == 2


def test_it_ends_when_the_venue_refuses(venue, markets):
    venue.routes[TICKER] = refuse
    with pytest.raises(VenueRefused):
        follow.follow(markets, registry.market_data("binance"), stop=Watch(1))


@pytest.mark.parametrize("provenance", [None, "file", "simulated"])
def test_it_has_nothing_to_follow_without_history_from_the_venue(venue, provenance):
    if provenance:
        store(BTC, provenance=provenance)
    with pytest.raises(CommandError) as caught:
        call_command("follow")
    assert str(caught.value) == (
        "No market of binance has history from its public API: run `manage.py backfill --symbols ... --since ...` first."
    )
    assert venue.calls == []


def test_it_refuses_a_venue_it_does_not_know():
    with pytest.raises(CommandError, match="venue: 'mtgox' is not known"):
        call_command("follow", venue="mtgox")


def test_it_labels_what_it_follows_and_stops_on_a_signal(venue, markets, capsys):
    told = venue.routes[TICKER]

    def tell_and_end(state, query):
        os.kill(os.getpid(), signal.SIGTERM)
        return told(state, query)

    venue.routes[TICKER] = tell_and_end
    call_command("follow")
    assert capsys.readouterr().out == "LIVE prices of 2 markets of binance\n"
    assert len(venue.called(TICKER)) == 1
    assert streams.has_ticks([markets[0].pk])


def test_it_says_in_one_line_that_the_venue_refuses(venue, markets):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    venue.routes[TICKER] = refuse
    with pytest.raises(CommandError) as caught:
        call_command("follow")
    assert str(caught.value).startswith("binance refused")
    assert str(caught.value).endswith("Check the symbols and the venue, then start again.")
    assert "\n" not in str(caught.value)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
