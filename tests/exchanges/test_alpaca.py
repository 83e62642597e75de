"""US shares through alpaca-py against the test venue: sessions, what a bar is adjusted for, pages, prices, and what is refused."""

from functools import partial

import numpy as np
import pytest

from exchanges.ports import NotConfigured, VenueRefused
from exchanges.venues.alpaca import AlpacaVenue
from tests.exchanges.frames import rows
from tests.exchanges.shares import make_sessions, moments, utc
from tests.venue import Instrument, TestVenue, VenueState, alpaca

APPLE, NEW = "AAPL/USD", "NEWCO/USD"
BARS, SNAPSHOTS, ASSET = "/v2/stocks/bars", "/v2/stocks/snapshots", "/v2/assets/{symbol}"
QUARTER_MS = 900_000
DAYS = [
    # IEX from 8:00 to 17:00 in New York around the weekend on which its clocks go forward
    (utc("2024-03-07 13:00"), utc("2024-03-07 22:00")),
    (utc("2024-03-08 13:00"), utc("2024-03-08 22:00")),
    (utc("2024-03-11 12:00"), utc("2024-03-11 21:00")),
    (utc("2024-03-12 12:00"), utc("2024-03-12 21:00")),
]
REGULAR = [
    (utc("2024-03-07 14:30"), utc("2024-03-07 21:00")),
    (utc("2024-03-08 14:30"), utc("2024-03-08 21:00")),
    (utc("2024-03-11 13:30"), utc("2024-03-11 20:00")),
    (utc("2024-03-12 13:30"), utc("2024-03-12 20:00")),
]
TICK = {"tick_size": "0.01", "step_size": "0.000000001", "quote": "USD"}
FRAME = make_sessions(DAYS, symbol=APPLE)
KEPT = np.array([any(start <= ms < end for start, end in REGULAR) for ms in FRAME.timestamp.tolist()])


@pytest.fixture
def venue(settings):
    settings.ALPACA_KEY_ID, settings.ALPACA_SECRET_KEY = alpaca.KEY, alpaca.SECRET
    state = VenueState(now_ms=utc("2024-03-13 03:00"))
    state.enlist(Instrument("AAPL", **TICK), FRAME)
    state.enlist(Instrument("NEWCO", **{**TICK, "step_size": "1"}))
    state.enlist(Instrument("GONE", status="CLOSE", **TICK), make_sessions(DAYS, symbol="GONE/USD"))
    with TestVenue(state) as running:
        settings.VENUE_BASE_URLS = {"alpaca": running.url}
        yield running


@pytest.fixture
def driver(venue):
    return AlpacaVenue(base_url=venue.url, timeout_ms=2_000)


def regular(frame=FRAME):
    return [row for row, kept in zip(rows(frame), KEPT.tolist(), strict=True) if kept]


def test_it_keeps_whole_regular_sessions_across_the_change_of_clocks(driver):
    found = driver.candles(APPLE, "15m", DAYS[0][0], 1000)
    assert rows(found) == regular()
    assert len(found) == 4 * 26
    opened = moments(found.timestamp[[0, 25, 26, 51, 52, 77, 78]])
    assert opened == ["03-07 14:30", "03-07 20:45", "03-08 14:30", "03-08 20:45", "03-11 13:30", "03-11 19:45", "03-12 13:30"]


@pytest.mark.parametrize(("timeframe", "a_day"), [("1m", 390), ("3m", 130), ("5m", 78), ("30m", 13), ("1h", 6)])
def test_it_offers_every_timeframe_that_fits_the_grid(venue, driver, timeframe, a_day):
    venue.state.enlist(Instrument("AAPL", **TICK), make_sessions(DAYS, symbol=APPLE, timeframe="1m"))
    assert timeframe in driver.timeframes(APPLE)
    found = driver.candles(APPLE, timeframe, DAYS[0][0], 10_000)
    assert len(found) == 4 * a_day


def test_it_leaves_out_the_hour_that_begins_before_the_session(driver):
    """Alpaca's 9:00 bar holds half an hour of trade before the opening."""
    found = driver.candles(APPLE, "1h", DAYS[1][0], 6)
    assert moments(found.timestamp) == [f"03-08 {hour}:00" for hour in range(15, 21)]


@pytest.mark.parametrize("timeframe", ["2h", "4h", "1d", "10m", "nonsense"])
def test_it_refuses_bars_that_are_cut_at_another_midnight(driver, timeframe):
    with pytest.raises(
        VenueRefused, match=rf"alpaca does not offer {timeframe} candles of AAPL/USD: .* use one of 1m, 3m, 5m, 15m, 30m, 1h"
    ):
        driver.candles(APPLE, timeframe, DAYS[0][0], 10)


def test_it_ends_at_one_on_a_half_day_and_has_nothing_on_a_holiday(venue, driver):
    days = [(utc(f"2024-07-0{day} 12:00"), utc(f"2024-07-0{day} 21:00")) for day in (2, 3, 4, 5)]
    venue.state.enlist(Instrument("AAPL", **TICK), make_sessions(days, symbol=APPLE))
    venue.state.now_ms = utc("2024-07-06 00:00")
    found = moments(driver.candles(APPLE, "15m", days[0][0], 1000).timestamp)
    assert [at for at in found if at.startswith("07-03")][-1] == "07-03 16:45"
    assert not [at for at in found if at.startswith("07-04")]
    assert len(found) == 26 + 14 + 26


def test_it_tells_when_the_market_was_shut(driver):
    first_ms, until_ms = utc("2024-07-03 16:00"), utc("2024-07-08 14:00")
    assert driver.closed(APPLE, first_ms, until_ms) == (
        (utc("2024-07-03 17:00"), utc("2024-07-05 13:30")),
        (utc("2024-07-05 20:00"), utc("2024-07-08 13:30")),
    )
    assert driver.closed(APPLE, utc("2024-07-04 00:00"), utc("2024-07-05 00:00")) == ((utc("2024-07-04 00:00"), utc("2024-07-05 00:00")),)
    assert driver.closed(APPLE, utc("2024-07-05 14:00"), utc("2024-07-05 15:00")) == ()


def test_it_counts_a_hole_in_a_session_as_none_of_the_market_being_shut(venue, driver):
    """Without a trade there is no bar: whoever looks for holes has to ask the venue once."""
    thin = FRAME.slice(0, 4)
    venue.state.enlist(Instrument("AAPL", **TICK), thin)
    assert driver.closed(APPLE, utc("2024-03-07 15:00"), utc("2024-03-07 16:00")) == ()


def test_it_brings_at_most_so_many_from_since_on_however_long_the_night(driver):
    night_ms = utc("2024-03-08 21:00")
    found = driver.candles(APPLE, "15m", night_ms, 3)
    assert moments(found.timestamp) == ["03-11 13:30", "03-11 13:45", "03-11 14:00"]


def test_it_goes_on_when_a_whole_page_was_night(driver, monkeypatch):
    monkeypatch.setattr("exchanges.venues.alpaca.LEAST_ASKED", 4)
    found = driver.candles(APPLE, "15m", utc("2024-03-08 21:00"), 3)
    assert moments(found.timestamp) == ["03-11 13:30", "03-11 13:45"]  # what the page that has some brought


def test_it_does_not_tell_a_bar_that_is_still_open(venue, driver):
    venue.state.now_ms = REGULAR[0][0] + 2 * QUARTER_MS + 1
    assert moments(driver.candles(APPLE, "15m", DAYS[0][0], 1000).timestamp) == ["03-07 14:30", "03-07 14:45"]
    assert len(driver.candles(APPLE, "15m", REGULAR[0][0] + 2 * QUARTER_MS, 1000)) == 0
    assert len(driver.candles(APPLE, "15m", utc("2030-01-01 00:00"), 1000)) == 0


def test_it_turns_the_pages_and_pays_for_each(venue, driver, monkeypatch):
    monkeypatch.setattr(alpaca, "MAX_BARS", 50)
    spent = []
    monkeypatch.setattr("exchanges.venues.line.budget.take", lambda *cost: spent.append(cost))
    assert rows(driver.candles(APPLE, "15m", DAYS[0][0], 1000)) == regular()
    tokens = [query.get("page_token") for query in venue.called(BARS)]
    assert len(tokens) == 3 and tokens[0] is None and None not in tokens[1:]
    assert spent.count(("alpaca", "data", 1.0)) == 3
    assert len(spent) == len(venue.calls)


def test_it_asks_for_prices_as_they_compare_from_the_free_feed(venue, driver):
    driver.candles(APPLE, "15m", DAYS[0][0], 10)
    (asked,) = venue.called(BARS)
    assert (asked["adjustment"], asked["feed"], asked["symbols"]) == ("split", "iex", "AAPL")


def test_it_asks_for_a_year_of_the_calendar_once(venue, driver):
    for _ in range(3):
        driver.candles(APPLE, "15m", DAYS[0][0], 10)
    assert [(query["start"], query["end"]) for query in venue.called("/v2/calendar")] == [("2024-01-01", "2024-12-31")]


def test_it_sorts_and_merges_what_a_venue_in_disorder_sends(venue, driver):
    venue.script(BARS, "disorder")
    assert rows(driver.candles(APPLE, "15m", DAYS[0][0], 1000)) == regular()
    venue.script(BARS, "duplicate", count=5)
    assert rows(driver.candles(APPLE, "15m", DAYS[0][0], 1000)) == regular()


def test_it_finds_the_first_candle(driver):
    assert driver.first_candle_ms(APPLE, "15m") == REGULAR[0][0]
    assert driver.first_candle_ms(NEW, "15m") is None


def test_it_tells_the_last_trade_with_its_time_and_the_change_since_the_last_close(driver):
    last, before = float(FRAME.close[-1]), float(FRAME.close[36 * 3 - 1])
    tickers = driver.tickers([APPLE, NEW, "GONE/USD", "NOBODY/USD"])
    assert set(tickers) == {APPLE}
    ticker = tickers[APPLE]
    assert ticker.last == last and ticker.change_pct == pytest.approx((last / before - 1) * 100)
    assert (ticker.bid, ticker.ask) == (round(last - 0.01, 2), round(last + 0.01, 2))
    assert moments([ticker.ts_ms]) == ["03-12 20:59"]
    assert driver.tickers([]) == {}


def test_it_has_a_book_of_one_level(venue, driver):
    last = float(FRAME.close[-1])
    assert driver.book(APPLE, 20) == (((round(last - 0.01, 2), 2.0),), ((round(last + 0.01, 2), 3.0),))
    assert driver.book(NEW, 20) == (((1.0, 1.0),), ())


def test_it_lists_shares_that_can_be_traded(driver):
    listed = {spec.symbol: spec for spec in driver.markets("equity")}
    assert set(listed) == {APPLE, NEW}
    apple = listed[APPLE]
    assert (apple.base, apple.quote, apple.kind, apple.tick_size, apple.step_size) == ("AAPL", "USD", "equity", 0.01, 1e-9)
    assert (apple.min_notional, apple.max_leverage, listed[NEW].step_size) == (1.0, 1, 1.0)
    assert driver.markets("perpetual") == driver.markets("spot") == []


def test_it_has_no_funding(driver):
    assert list(driver.funding(APPLE, 0)) == []


@pytest.mark.parametrize("symbol", ["NOBODY/USD", "AAPL", "AAPL/EUR", "AAPL/USD:USD", "/USD", "aapl/USD"])
def test_it_refuses_a_symbol_that_is_not_listed(driver, symbol):
    with pytest.raises(VenueRefused, match=r"^alpaca (does not list|refused)"):
        driver.candles(symbol, "15m", DAYS[0][0], 10)


def test_it_refuses_a_share_that_is_delisted(driver):
    with pytest.raises(VenueRefused, match=r"delisted or halted GONE/USD \(its status is inactive\)"):
        driver.candles("GONE/USD", "15m", DAYS[0][0], 10)


def test_it_looks_a_symbol_up_once_a_day(venue, driver):
    for _ in range(3):
        driver.candles(APPLE, "15m", DAYS[0][0], 10)
        driver.tickers([APPLE])
    assert len(venue.called(ASSET)) == 1


def test_it_asks_again_after_minutes_whether_a_share_is_listed(venue, driver, monkeypatch):
    for _ in range(3):
        assert driver.tickers(["FRESH/USD"]) == {}
    assert len(venue.called(ASSET)) == 1
    venue.state.enlist(Instrument("FRESH", **TICK), FRAME)
    monkeypatch.setattr("exchanges.venues.alpaca.REFUSED_S", 0.0)
    assert set(driver.tickers(["FRESH/USD"])) == {"FRESH/USD"}


def test_it_says_which_keys_are_not_accepted_and_shows_none(venue, settings):
    settings.ALPACA_SECRET_KEY = "not-the-secret"
    driver = AlpacaVenue(base_url=venue.url)
    for ask in (
        driver.now_ms,
        partial(driver.tickers, [APPLE]),
        partial(driver.candles, APPLE, "15m", 0, 10),
        partial(driver._line.ask, partial(driver._bars, "AAPL", "15m", 0, 10), ""),
    ):
        with pytest.raises(VenueRefused, match="alpaca does not accept ALPACA_KEY_ID with ALPACA_SECRET_KEY") as caught:
            ask()
        assert "not-the-secret" not in str(caught.value) and alpaca.KEY not in str(caught.value)


def test_it_says_that_a_feed_has_to_be_paid_for(venue, settings):
    settings.ALPACA_FEED = "sip"
    driver = AlpacaVenue(base_url=venue.url)
    with pytest.raises(VenueRefused, match=r"subscription does not permit querying recent SIP data\) when asked for .*; set ALPACA_FEED"):
        driver.candles(APPLE, "15m", DAYS[0][0], 10)


@pytest.mark.parametrize("missing", ["ALPACA_KEY_ID", "ALPACA_SECRET_KEY"])
def test_it_is_not_configured_without_both_keys(settings, missing):
    settings.ALPACA_KEY_ID = settings.ALPACA_SECRET_KEY = "x"
    setattr(settings, missing, "")
    with pytest.raises(NotConfigured, match=r"alpaca is not configured: set ALPACA_KEY_ID and ALPACA_SECRET_KEY"):
        AlpacaVenue()
