"""Indian shares through kiteconnect against the test venue: India's time, windows of days, the daily token, and what is refused."""

import numpy as np
import pytest

from exchanges.ports import NotConfigured, VenueRefused, VenueUnavailable
from exchanges.venues import kite as driver_module
from exchanges.venues.kite import KiteVenue
from tests.exchanges.frames import rows
from tests.exchanges.shares import make_sessions, moments, utc
from tests.venue import Instrument, TestVenue, VenueState, kite
from traderai.lib import clock

RELIANCE, MAHINDRA = "RELIANCE/INR", "M&M/INR"
HISTORICAL, LIST = "/instruments/historical/{token}/{interval}", "/instruments/NSE"
QUARTER_MS = 900_000
# Thursday, Friday (a holiday: Good Friday), Monday; 9:15 to 15:30 in India
DAYS = [(utc(f"2024-{day} 03:45"), utc(f"2024-{day} 10:00")) for day in ("03-28", "04-01", "04-02")]
STEPS = {"tick_size": "0.05", "step_size": "1", "quote": "INR"}
FRAME = make_sessions(DAYS, symbol=RELIANCE)


@pytest.fixture
def venue(settings):
    settings.KITE_API_KEY, settings.KITE_ACCESS_TOKEN = kite.KEY, kite.TOKEN
    state = VenueState(now_ms=utc("2024-04-03 00:00"))
    state.enlist(Instrument("GONE", status="CLOSE", **STEPS))
    state.enlist(Instrument("RELIANCE", **STEPS), FRAME)
    state.enlist(Instrument("M&M", **STEPS))
    with TestVenue(state) as running:
        settings.VENUE_BASE_URLS = {"zerodha": running.url}
        yield running


@pytest.fixture
def driver(venue):
    return KiteVenue(base_url=venue.url, timeout_ms=2_000)


def test_it_puts_indias_sessions_on_the_utc_grid(driver):
    found = driver.candles(RELIANCE, "15m", DAYS[0][0], 1000)
    assert rows(found) == rows(FRAME)
    assert len(found) == 3 * 25
    assert moments(found.timestamp[[0, 24, 25, 49, 50]]) == ["03-28 03:45", "03-28 09:45", "04-01 03:45", "04-01 09:45", "04-02 03:45"]
    assert not (found.timestamp % QUARTER_MS).any()


@pytest.mark.parametrize(("timeframe", "a_day"), [("1m", 375), ("3m", 125), ("5m", 75)])
def test_it_offers_every_timeframe_that_fits_the_grid(venue, driver, timeframe, a_day):
    venue.state.enlist(Instrument("RELIANCE", **STEPS), make_sessions(DAYS, symbol=RELIANCE, timeframe="1m"))
    assert timeframe in driver.timeframes(RELIANCE)
    assert len(driver.candles(RELIANCE, timeframe, DAYS[0][0], 5_000)) == 3 * a_day


@pytest.mark.parametrize("timeframe", ["30m", "1h", "1d", "10m", "nonsense"])
def test_it_refuses_bars_that_begin_at_a_quarter_past(driver, timeframe):
    with pytest.raises(VenueRefused, match=rf"zerodha does not offer {timeframe} candles of RELIANCE/INR: .* use one of 1m, 3m, 5m, 15m"):
        driver.candles(RELIANCE, timeframe, DAYS[0][0], 10)


@pytest.mark.parametrize(("timeframe", "days"), [("1m", 60), ("3m", 100), ("5m", 100), ("15m", 200)])
def test_it_never_asks_for_more_days_than_kite_gives(venue, driver, monkeypatch, timeframe, days):
    monkeypatch.setattr(driver_module, "PAGE", 10**6)
    venue.state.now_ms = utc("2026-01-01 00:00")
    driver.candles(RELIANCE, timeframe, utc("2024-01-01 00:00"), 10**6)
    asked = venue.called(HISTORICAL)[0]
    first, last = (np.datetime64(asked[name]) for name in ("from", "to"))
    assert np.timedelta64(days - 1, "D") < last - first <= np.timedelta64(days, "D")
    assert (asked["from"], asked["interval"]) == ("2024-01-01 05:30:00", driver_module.INTERVALS[timeframe])


def test_it_searches_a_page_of_bars_at_least(venue, driver):
    """An empty answer has to mean that there is nothing in so many bars from there on."""
    for timeframe in driver_module.INTERVALS:
        for limit in (1, 30, 500, driver_module.PAGE):
            span_ms = driver_module._span_ms(timeframe, limit)
            assert span_ms >= limit * driver_module.timeframes.parse(timeframe) - 1_000


def test_it_does_not_tell_a_bar_that_is_still_open(venue, driver):
    venue.state.now_ms = DAYS[1][0] + 2 * QUARTER_MS + 1_001
    assert moments(driver.candles(RELIANCE, "15m", DAYS[1][0], 1000).timestamp) == ["04-01 03:45", "04-01 04:00"]
    assert len(driver.candles(RELIANCE, "15m", DAYS[1][0] + 2 * QUARTER_MS, 1000)) == 0
    assert len(driver.candles(RELIANCE, "15m", utc("2030-01-01 00:00"), 1000)) == 0


def test_it_brings_at_most_so_many_from_since_on(driver):
    assert moments(driver.candles(RELIANCE, "15m", DAYS[0][1], 2).timestamp) == ["04-01 03:45", "04-01 04:00"]


def test_it_keeps_a_session_on_the_evening_of_a_holiday(venue, driver):
    """Diwali's hour of trade, 18:00 to 19:00 in India."""
    evening = (utc("2024-11-01 12:30"), utc("2024-11-01 13:30"))
    venue.state.enlist(Instrument("RELIANCE", **STEPS), make_sessions([evening], symbol=RELIANCE))
    venue.state.now_ms = utc("2024-11-02 00:00")
    assert len(driver.candles(RELIANCE, "15m", utc("2024-11-01 00:00"), 100)) == 4


def test_it_tells_when_the_market_was_shut(driver):
    friday, monday = utc("2024-04-05 10:00"), utc("2024-04-08 03:45")
    assert driver.closed(RELIANCE, friday - QUARTER_MS, monday + QUARTER_MS) == ((friday, monday),)
    assert driver.closed(RELIANCE, utc("2024-04-04 03:45"), utc("2024-04-04 10:00")) == ()
    # Good Friday is a holiday that nobody told us of: the venue has to be asked.
    assert driver.closed(RELIANCE, utc("2024-03-29 03:45"), utc("2024-03-29 10:00")) == ()


def test_it_sorts_and_merges_what_a_venue_in_disorder_sends(venue, driver):
    venue.script(HISTORICAL, "disorder")
    assert rows(driver.candles(RELIANCE, "15m", DAYS[0][0], 1000)) == rows(FRAME)
    venue.script(HISTORICAL, "duplicate", count=5)
    assert rows(driver.candles(RELIANCE, "15m", DAYS[0][0], 1000)) == rows(FRAME)


def test_it_finds_the_first_candle(venue, driver):
    assert driver.first_candle_ms(RELIANCE, "15m") == DAYS[0][0]
    assert driver.first_candle_ms(MAHINDRA, "15m") is None
    assert len(venue.called(HISTORICAL)) < 20


def test_it_tells_the_last_trade_with_its_time_and_the_change_since_the_last_close(driver):
    last, before = float(FRAME.close[-1]), float(FRAME.close[-26])
    tickers = driver.tickers([RELIANCE, MAHINDRA, "GONE/INR", "NOBODY/INR"])
    assert set(tickers) == {RELIANCE}
    ticker = tickers[RELIANCE]
    assert ticker.last == last and ticker.change_pct == pytest.approx((last / before - 1) * 100)
    assert (ticker.bid, ticker.ask) == (round(last - 0.05, 2), round(last + 0.05, 2))
    assert moments([ticker.ts_ms]) == ["04-02 09:59"]
    assert driver.tickers([]) == {}


def test_it_asks_for_all_prices_at_once(venue, driver):
    driver.tickers([RELIANCE, MAHINDRA])
    assert [query["i"] for query in venue.called("/quote")] == ["NSE:RELIANCE,NSE:M&M"]


def test_it_has_a_book_of_the_levels_that_somebody_offers(driver):
    last = float(FRAME.close[-1])
    bids, asks = driver.book(RELIANCE, 20)
    assert bids == tuple((round(last - 0.05 * number, 2), 10.0 * number) for number in (1, 2, 3))
    assert asks == tuple((round(last + 0.05 * number, 2), 10.0 * number) for number in (1, 2, 3))
    assert driver.book(RELIANCE, 1) == (bids[:1], asks[:1])
    assert driver.book(MAHINDRA, 5) == ((), ())


def test_it_lists_shares_and_no_indices(driver):
    listed = {spec.symbol: spec for spec in driver.markets("equity")}
    assert set(listed) == {RELIANCE, MAHINDRA}
    found = listed[RELIANCE]
    assert (found.base, found.quote, found.kind, found.tick_size, found.step_size, found.min_qty) == (
        "RELIANCE",
        "INR",
        "equity",
        0.05,
        1.0,
        1.0,
    )
    assert (found.min_notional, found.max_leverage) == (0.0, 1)
    assert driver.markets("perpetual") == driver.markets("spot") == []


def test_it_reads_the_list_once_a_day(venue, driver, monkeypatch):
    for _ in range(3):
        driver.candles(RELIANCE, "15m", DAYS[0][0], 10)
        driver.tickers([RELIANCE])
    assert len(venue.called(LIST)) == 1
    tomorrow = clock.from_ms(clock.now_ms() + 86_400_000)
    monkeypatch.setattr(clock, "now", lambda: tomorrow)
    driver.candles(RELIANCE, "15m", DAYS[0][0], 10)
    assert len(venue.called(LIST)) == 2


def test_it_does_not_believe_that_nothing_is_listed(venue, driver):
    empty = (kite.COLUMNS + "\n").encode()
    listed = venue.routes[LIST]
    venue.routes[LIST] = lambda state, query: empty
    with pytest.raises(VenueUnavailable, match="empty list when asked for its instruments"):
        driver.candles(RELIANCE, "15m", DAYS[0][0], 10)
    venue.routes[LIST] = listed
    assert len(driver.candles(RELIANCE, "15m", DAYS[0][0], 10)) == 10


def test_it_has_no_funding(driver):
    assert list(driver.funding(RELIANCE, 0)) == []


def test_it_says_so_when_the_token_ends_at_work(venue, driver):
    driver.candles(RELIANCE, "15m", DAYS[0][0], 10)

    def expire(state, query):
        raise kite.Refusal(403, "TokenException", "Token is invalid or has expired.")

    venue.routes[HISTORICAL] = expire
    with pytest.raises(VenueRefused, match="does not accept KITE_ACCESS_TOKEN"):
        driver.candles(RELIANCE, "15m", DAYS[0][0], 10)


@pytest.mark.parametrize("symbol", ["NOBODY/INR", "RELIANCE", "RELIANCE/USD", "GONE/INR", "NIFTY 50/INR", "/INR"])
def test_it_refuses_a_symbol_that_is_not_listed(driver, symbol):
    with pytest.raises(VenueRefused, match=r"zerodha does not list .* on the NSE"):
        driver.candles(symbol, "15m", DAYS[0][0], 10)


def test_it_reads_the_list_again_before_it_says_no(venue, driver, monkeypatch):
    monkeypatch.setattr(driver_module, "RECHECK_S", 0.0)
    driver.candles(RELIANCE, "15m", DAYS[0][0], 10)
    venue.state.enlist(Instrument("FRESH", **STEPS), FRAME)
    assert len(driver.candles("FRESH/INR", "15m", DAYS[0][0], 10)) == 10


def test_it_says_that_a_token_has_ended_and_shows_none(venue, settings):
    settings.KITE_ACCESS_TOKEN = "yesterdays-token"
    driver = KiteVenue(base_url=venue.url)
    with pytest.raises(
        VenueRefused, match=r"KITE_ACCESS_TOKEN, which ends every morning, .*; sign in at Kite Connect for a new one"
    ) as caught:
        driver.candles(RELIANCE, "15m", DAYS[0][0], 10)
    assert "yesterdays-token" not in str(caught.value) and kite.KEY not in str(caught.value)


def test_it_says_that_the_data_has_to_be_paid_for(venue, driver):
    def forbid(state, query):
        raise kite.Refusal(403, "PermissionException", "Insufficient permission for that call.")

    venue.routes[HISTORICAL] = forbid
    with pytest.raises(VenueRefused, match=r"zerodha .*Insufficient permission"):
        driver.candles(RELIANCE, "15m", DAYS[0][0], 10)


@pytest.mark.parametrize("missing", ["KITE_API_KEY", "KITE_ACCESS_TOKEN"])
def test_it_is_not_configured_without_key_and_token(settings, missing):
    settings.KITE_API_KEY = settings.KITE_ACCESS_TOKEN = "x"
    setattr(settings, missing, "")
    with pytest.raises(NotConfigured, match=r"zerodha is not configured: set KITE_API_KEY and KITE_ACCESS_TOKEN"):
        KiteVenue()
