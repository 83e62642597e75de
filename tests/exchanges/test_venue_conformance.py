"""What every adapter of market data does alike, each against its venue's own wire format and misbehaviour.

A new adapter is a line in CASES; its venue is a dialect in tests/venue/.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import sleep, time
from typing import Any

import numpy as np
import pytest

from exchanges import timeframes
from exchanges.ports import FundingFrame, MarketSpec, VenueError, VenueRefused, VenueUnavailable
from exchanges.venues import budget, limits, registry
from exchanges.venues.ccxt_client import EDGE_S
from tests.exchanges.frames import make_frame, rows
from tests.venue import Instrument, TestVenue, VenueState, alpaca, binance, binance_spot, kite
from tests.venue.limits import Quota
from traderai.lib import clock

QUARTER_MS, DAY_MS, FUNDING_MS = 900_000, 86_400_000, 28_800_000
BARS = 3_500
"""A month and more, because some venues keep what is older elsewhere."""
RATES = 1_100
NOW_MS = clock.now_ms() // QUARTER_MS * QUARTER_MS - QUARTER_MS // 2
FIRST_MS = NOW_MS // QUARTER_MS * QUARTER_MS - BARS * QUARTER_MS
BTC, ETH, NEW, MUTE = (Instrument(base) for base in ("BTC", "ETH", "NEW", "MUTE"))
OLD = Instrument("OLD", status="SETTLING")


@dataclass(frozen=True)
class Case:
    """One adapter: the venue's slug, the suffix of symbols ("" is spot), and the routes that the test makes stumble.

    `history` is where the oldest candles come from. `spec` are the facts of an instrument that this venue tells otherwise. `frames` are
    timeframes that it has to offer, `levels` how many of an order book. A broker's shares trade round the clock here, as coins do: their
    sessions are in test_alpaca.py and test_kite.py.
    """

    slug: str
    suffix: str
    instruments: str
    history: str
    tickers: str
    book: str
    time: str
    funding: str = ""
    quotes: bool = True
    lists_delisted: bool = True
    spec: dict[str, Any] = field(default_factory=dict)
    quote: str = "USDT"
    frames: tuple[str, ...] = ("1m", "15m", "1h", "4h", "1d")
    levels: int = 50

    def symbol(self, instrument: Instrument) -> str:
        return f"{instrument.base}/{self.quote}{self.suffix}"

    @property
    def is_broker(self) -> bool:
        return self.slug in registry.BROKERS

    @property
    def kind(self) -> str:
        return str(registry.kind_of(self.slug, self.symbol(BTC)))


FAPI, SPOT, OKX, BYBIT, BITGET = "/fapi/v1", "/api/v3", "/api/v5", "/v5/market", "/api/v2/mix/market"
BITGET_SPOT = "/api/v2/spot"
CASES = {
    "binance": Case(
        "binance", ":USDT", f"{FAPI}/exchangeInfo", f"{FAPI}/klines", f"{FAPI}/ticker/24hr", f"{FAPI}/depth", f"{FAPI}/time",
        funding=f"{FAPI}/fundingRate", quotes=False,
    ),
    "binance spot": Case(
        "binance", "", f"{SPOT}/exchangeInfo", f"{SPOT}/klines", f"{SPOT}/ticker/24hr", f"{SPOT}/depth", f"{FAPI}/time",
        spec={"max_leverage": 1},
    ),
    "okx spot": Case(
        "okx", "", f"{OKX}/public/instruments", f"{OKX}/market/history-candles", f"{OKX}/market/tickers", f"{OKX}/market/books",
        f"{OKX}/public/time", spec={"kind": "spot", "min_notional": 0.0, "max_leverage": 10},
    ),
    "bybit spot": Case(
        "bybit", "", f"{BYBIT}/instruments-info", f"{BYBIT}/kline", f"{BYBIT}/tickers", f"{BYBIT}/orderbook", f"{BYBIT}/time",
        lists_delisted=False, spec={"kind": "spot", "max_leverage": 1},
    ),
    "bitget spot": Case(
        "bitget", "", f"{BITGET_SPOT}/public/symbols", f"{BITGET_SPOT}/market/history-candles", f"{BITGET_SPOT}/market/tickers",
        f"{BITGET_SPOT}/market/orderbook", "/api/v2/public/time", spec={"kind": "spot", "max_leverage": 1},
    ),
    "okx": Case(
        "okx", ":USDT", f"{OKX}/public/instruments", f"{OKX}/market/history-candles", f"{OKX}/market/tickers", f"{OKX}/market/books",
        f"{OKX}/public/time", funding=f"{OKX}/public/funding-rate-history",
        spec={"contract_size": 0.01, "min_notional": 0.0, "max_leverage": 100},
    ),
    "bybit": Case(
        "bybit", ":USDT", f"{BYBIT}/instruments-info", f"{BYBIT}/kline", f"{BYBIT}/tickers", f"{BYBIT}/orderbook", f"{BYBIT}/time",
        funding=f"{BYBIT}/funding/history", lists_delisted=False, spec={"max_leverage": 100},
    ),
    "bitget": Case(
        "bitget", ":USDT", f"{BITGET}/contracts", f"{BITGET}/history-candles", f"{BITGET}/tickers", f"{BITGET}/merge-depth",
        "/api/v2/public/time", funding=f"{BITGET}/history-fund-rate", spec={"max_leverage": 125},
    ),
    "alpaca": Case(
        "alpaca", "", "/v2/assets", "/v2/stocks/bars", "/v2/stocks/snapshots", "/v2/stocks/quotes/latest", "/v2/clock",
        quote="USD", frames=("1m", "3m", "5m", "15m", "30m", "1h"), levels=1, lists_delisted=False,
        spec={"tick_size": 0.01, "step_size": 1e-9, "min_notional": 1.0, "min_qty": 0.0, "max_leverage": 1},
    ),
    "zerodha": Case(
        "zerodha", "", "/instruments/NSE", "/instruments/historical/{token}/{interval}", "/quote", "/quote", "/quote/ltp",
        quote="INR", frames=("1m", "3m", "5m", "15m"), levels=3, lists_delisted=False,
        spec={"step_size": 1.0, "min_notional": 0.0, "min_qty": 1.0, "max_leverage": 1},
    ),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture
def state() -> VenueState:
    """Two markets with history, one that was listed an hour ago, one that is delisted, one that nobody has traded yet."""
    state = VenueState(NOW_MS)
    times = FIRST_MS // FUNDING_MS * FUNDING_MS + np.arange(-RATES + BARS // 32, BARS // 32 + 1, dtype=np.int64) * FUNDING_MS
    rates = FundingFrame(times, np.arange(len(times)) * 1e-7 - 5e-5)
    for seed, instrument in enumerate((BTC, ETH, OLD), start=1):
        frame = make_frame(BARS + 1, symbol=instrument.symbol, start_ms=FIRST_MS, seed=seed)
        state.enlist(instrument, frame, funding=FundingFrame(rates.timestamp, (rates.rate * seed).round(8)))
    state.enlist(NEW, make_frame(5, symbol=NEW.symbol, start_ms=FIRST_MS + (BARS - 4) * QUARTER_MS, seed=9))
    state.enlist(MUTE)
    return state


@pytest.fixture
def venue(state):
    with TestVenue(state) as running:
        yield running


@pytest.fixture
def adapter(case, venue, settings):
    settings.VENUE_BASE_URLS = {case.slug: venue.url}
    settings.ALPACA_KEY_ID, settings.ALPACA_SECRET_KEY = alpaca.KEY, alpaca.SECRET
    settings.KITE_API_KEY, settings.KITE_ACCESS_TOKEN = kite.KEY, kite.TOKEN
    venue.routes["/v2/calendar"] = alpaca.always_open
    registry.market_data.cache_clear()
    yield registry.market_data(case.slug)
    registry.market_data.cache_clear()


def history(adapter, symbol: str, timeframe: str, since_ms: int) -> list[tuple[float, ...]]:
    """Every bar from since_ms on, page by page, as a backfill asks for them."""
    found: list[tuple[float, ...]] = []
    page = adapter.page(symbol)
    while len(frame := adapter.candles(symbol, timeframe, since_ms, page)):
        assert len(frame) <= page
        assert int(frame.timestamp[0]) >= since_ms
        found += rows(frame)
        since_ms = int(frame.timestamp[-1]) + timeframes.parse(timeframe)
    return found


def test_it_lists_instruments_with_steps_and_minimums_in_coins(case, adapter):
    listed = {spec.symbol: spec for spec in adapter.markets(case.kind)}
    facts = {"kind": case.kind, "tick_size": 0.1, "step_size": 0.001, "min_notional": 100.0, "min_qty": 0.001, "max_leverage": 20}
    expected = MarketSpec(case.symbol(BTC), "BTC", case.quote, **(facts | case.spec))
    told = listed[case.symbol(BTC)]
    assert (told.step_size, told.min_qty) == pytest.approx((expected.step_size, expected.min_qty))
    assert replace(told, step_size=expected.step_size, min_qty=expected.min_qty) == expected
    assert (case.symbol(OLD) in listed) == case.lists_delisted
    assert not case.lists_delisted or not listed[case.symbol(OLD)].is_trading


def test_it_gives_the_whole_history_bar_by_bar(case, adapter, state):
    symbol = case.symbol(BTC)
    assert history(adapter, symbol, "15m", FIRST_MS) == rows(state.closed("BTCUSDT", "15m"))
    assert history(adapter, symbol, "15m", FIRST_MS + 1) == rows(state.closed("BTCUSDT", "15m"))[1:]


def test_it_gives_higher_frames_that_begin_with_the_day_in_utc(case, adapter, state):
    for timeframe in {"1h", "4h", "6h", "1d"} & set(adapter.timeframes(case.symbol(BTC))):
        told = history(adapter, case.symbol(BTC), timeframe, FIRST_MS)
        assert {int(row[0]) % timeframes.parse(timeframe) for row in told} == {0}
        whole = timeframes.aggregate(state.closed("BTCUSDT", "15m"), timeframe)
        assert [row[0] for row in told] == whole.timestamp.tolist()
        assert [row[4] for row in told] == whole.close.tolist()


def test_it_gives_no_more_than_asked_for_and_no_open_bar(case, adapter):
    symbol = case.symbol(BTC)
    assert adapter.candles(symbol, "15m", FIRST_MS, 7).timestamp.tolist() == [FIRST_MS + i * QUARTER_MS for i in range(7)]
    assert len(adapter.candles(symbol, "15m", FIRST_MS, 1_000_000)) == min(adapter.page(symbol), BARS)
    newest = adapter.candles(symbol, "15m", NOW_MS - 3 * QUARTER_MS, 100)
    assert int(newest.timestamp[-1]) + QUARTER_MS <= NOW_MS
    assert len(newest) == 2


def test_it_gives_candles_as_soon_as_they_have_closed(case, adapter, state):
    assert not len(adapter.candles(case.symbol(BTC), "15m", NOW_MS // QUARTER_MS * QUARTER_MS, 10))
    assert not len(adapter.candles(case.symbol(BTC), "15m", NOW_MS + 10 * DAY_MS, 10)), "and asks nothing of the future"


def test_it_finds_where_a_market_begins(case, adapter):
    assert adapter.first_candle_ms(case.symbol(BTC), "15m") == FIRST_MS
    assert adapter.first_candle_ms(case.symbol(NEW), "15m") == FIRST_MS + (BARS - 4) * QUARTER_MS
    assert adapter.first_candle_ms(case.symbol(MUTE), "15m") is None
    if "1d" not in case.frames:
        return
    assert adapter.first_candle_ms(case.symbol(BTC), "1d") == -(-FIRST_MS // DAY_MS) * DAY_MS
    assert adapter.first_candle_ms(case.symbol(NEW), "1h") in (None, -(-(FIRST_MS + (BARS - 4) * QUARTER_MS) // 3_600_000) * 3_600_000)


def test_it_gives_nothing_or_the_first_bars_before_the_listing(case, adapter):
    frame = adapter.candles(case.symbol(BTC), "15m", FIRST_MS - 3_000 * DAY_MS, 50)
    assert not len(frame) or int(frame.timestamp[0]) == FIRST_MS
    across = adapter.candles(case.symbol(BTC), "15m", FIRST_MS - 10 * QUARTER_MS, 50)
    assert int(across.timestamp[0]) == FIRST_MS


def test_it_does_not_take_a_hole_for_the_end(case, adapter, state):
    frame = state.candles["BTCUSDT", "15m"]
    kept = (frame.timestamp < FIRST_MS + 30 * QUARTER_MS) | (frame.timestamp >= FIRST_MS + 60 * QUARTER_MS)
    state.candles["BTCUSDT", "15m"] = type(frame)(frame.symbol, "15m", *(column[kept] for column in frame[2:]))
    found = adapter.candles(case.symbol(BTC), "15m", FIRST_MS + 20 * QUARTER_MS, 100).timestamp.tolist()
    assert found[:11] == [FIRST_MS + i * QUARTER_MS for i in (*range(20, 30), 60)]
    assert int(adapter.candles(case.symbol(BTC), "15m", FIRST_MS + 40 * QUARTER_MS, 100).timestamp[0]) == FIRST_MS + 60 * QUARTER_MS


@pytest.mark.parametrize(("kind", "how"), [("duplicate", {"row": 3, "count": 4}), ("disorder", {"row": 20}), ("duplicate", {"row": 0})])
def test_it_puts_a_page_in_order(case, adapter, venue, state, kind, how):
    adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 1)
    venue.script(case.history, kind, **how)
    found = rows(adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 50))
    assert len({row[0] for row in found}) == len(found)
    assert found == rows(state.closed("BTCUSDT", "15m"))[: len(found)]
    assert len(found) >= 45


def test_it_believes_an_empty_page_only_twice(case, adapter, venue, state):
    adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 1)
    venue.script(case.history, "empty")
    assert rows(adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 50)) == rows(state.closed("BTCUSDT", "15m"))[:50]


def test_it_says_that_a_symbol_is_unknown(case, adapter):
    unknown = case.symbol(Instrument("NOPE"))
    for ask in (
        lambda: adapter.candles(unknown, "15m", FIRST_MS, 10),
        lambda: list(adapter.funding(unknown, FIRST_MS)),
        lambda: adapter.book(unknown, 5),
        lambda: adapter.timeframes(unknown),
        lambda: adapter.first_candle_ms(unknown, "15m"),
    ):
        with pytest.raises(VenueRefused, match=rf"{case.slug} does not list {unknown}.*: check the spelling"):
            ask()


def test_it_says_that_a_symbol_is_delisted(case, adapter):
    words = (
        f"has delisted or halted {case.symbol(OLD)}"
        if case.lists_delisted or case.slug == "alpaca"
        else rf"does not list {case.symbol(OLD)}.* \(any more\)"
    )
    with pytest.raises(VenueRefused, match=words):
        adapter.candles(case.symbol(OLD), "15m", FIRST_MS, 10)
    assert case.symbol(OLD) not in adapter.tickers([case.symbol(OLD)]) or case.lists_delisted


def test_it_names_the_timeframes_it_has(case, adapter):
    offered = adapter.timeframes(case.symbol(BTC))
    assert set(case.frames) <= set(offered) <= set(timeframes.TIMEFRAME_MS)
    with pytest.raises(VenueRefused, match=r"does not offer 13m candles of .*; use one of 1m, .*15m"):
        adapter.candles(case.symbol(BTC), "13m", FIRST_MS, 10)
    for lacking in set(timeframes.TIMEFRAME_MS) - set(offered):
        with pytest.raises(VenueRefused, match=f"does not offer {lacking}"):
            adapter.candles(case.symbol(BTC), lacking, FIRST_MS, 10)


def test_it_gives_every_funding_rate_oldest_first(case, adapter, state):
    told = state.funding["BTCUSDT"]
    settled = [pair for pair in zip(told.timestamp.tolist(), told.rate.tolist(), strict=True) if pair[0] <= NOW_MS]
    for since_ms in (0, settled[5][0], settled[-3][0], settled[-3][0] + 1, NOW_MS):
        found = [
            pair
            for page in adapter.funding(case.symbol(BTC), since_ms)
            for pair in zip(page.timestamp.tolist(), page.rate.tolist(), strict=True)
        ]
        assert found == ([pair for pair in settled if pair[0] >= since_ms] if case.funding else [])
    assert list(adapter.funding(case.symbol(NEW), 0)) == []


def test_it_gives_the_price_of_each_symbol_that_has_one(case, adapter, state):
    found = adapter.tickers([case.symbol(each) for each in (BTC, ETH, MUTE)] + [case.symbol(Instrument("NOPE"))])
    assert set(found) == {case.symbol(BTC), case.symbol(ETH)}
    for instrument in (BTC, ETH):
        ticker, day = found[case.symbol(instrument)], state.last_day(instrument.wire_id)
        assert ticker.last == day.last
        if not case.is_broker:  # there it is the change since the last session
            assert ticker.change_pct == pytest.approx((day.last / day.open - 1.0) * 100.0, abs=1e-3)
        assert (ticker.bid is not None) == (ticker.ask is not None) == case.quotes
        assert not case.quotes or ticker.bid <= ticker.last * 1.0001
    assert adapter.tickers([]) == {}


def test_it_gives_the_order_book_in_coins(case, adapter, venue, state):
    bids, asks = adapter.book(case.symbol(BTC), 10)
    assert len(bids) == len(asks) == min(10, case.levels)
    assert [price for price, _ in bids] == sorted((price for price, _ in bids), reverse=True)
    assert [price for price, _ in asks] == sorted(price for price, _ in asks)
    assert bids[0][0] < asks[0][0]
    assert bids[0][0] == pytest.approx(state.price("BTCUSDT"), rel=1e-3)
    assert case.is_broker or [qty for _, qty in bids[:3]] == pytest.approx([float(qty) for _, qty in state.levels("BTCUSDT", 3)[0]])
    deepest = adapter.book(case.symbol(BTC), 100_000)[0]
    assert len(deepest) >= case.levels
    assert all(len(side) == min(3, case.levels) for side in adapter.book(case.symbol(BTC), 3))


FAULTS = {
    "no answer": ("timeout", {}, "did not answer in time"),
    "a reset": ("reset", {}, "cannot be reached"),
    "too many requests": ("status", {"status": 429, "retry_after": 0.05}, "limits our requests"),
    "a ban": ("status", {"status": 418, "retry_after": 0.05}, "has banned this address for a while"),
    "an inner error": ("status", {"status": 500}, "is not available|is under maintenance"),
    "a gateway's error": ("status", {"status": 502, "body": "<html>Bad Gateway</html>"}, "is not available"),
    "maintenance": ("status", {"status": 503, "retry_after": 90}, "is not available|is under maintenance"),
    "HTML": ("html", {}, "sent something unreadable"),
    "half a reply": ("truncated", {}, "sent something unreadable"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("what", ["history", "instruments", "tickers", "funding", "time"])
def test_it_names_what_went_wrong_without_address_or_key(case, adapter, venue, settings, what, fault):
    route = getattr(case, what)
    if not route:
        pytest.skip("spot has no funding")
    kind, how, words = FAULTS[fault]
    impatient = registry._market_data(case.slug, timeout_ms=250 if kind == "timeout" else 5_000)
    symbol = case.symbol(BTC)
    asks = {
        "history": lambda driver: driver.candles(symbol, "15m", FIRST_MS, 10),
        "instruments": lambda driver: driver.markets(case.kind),
        "tickers": lambda driver: driver.tickers([symbol]),
        "funding": lambda driver: list(driver.funding(symbol, NOW_MS - 5 * DAY_MS)),
        "time": lambda driver: driver.time_ms(),
    }
    venue.script(route, kind, **how)
    with pytest.raises(VenueUnavailable, match=f"^{case.slug} ({words}) when asked for ") as caught:
        asks[what](impatient)
    assert "http" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert caught.value.retry_after_s == how.get("retry_after")
    assert asks[what](adapter), "and the next question is answered"


def test_it_does_not_believe_that_the_venue_lists_nothing(case, adapter, venue):
    if case.slug == "alpaca":
        pytest.skip("it is asked for one instrument, not for a list")
    venue.script(case.instruments, "empty", times=12)
    with pytest.raises(VenueUnavailable, match="its instruments"):
        adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 10)


def test_a_venue_that_wants_to_be_left_alone_is_left_alone_by_everybody(case, adapter, venue):
    adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 1)
    another = registry._market_data(case.slug)
    venue.script(case.history, "status", status=429, retry_after=3600)
    with pytest.raises(VenueUnavailable):
        adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 1)
    asked = len(venue.calls)
    for driver in (adapter, another):
        with pytest.raises(VenueUnavailable, match="may be asked again in 3600 s") as caught:
            driver.tickers([case.symbol(BTC)])
        assert 3590 < caught.value.retry_after_s <= 3600
    assert len(venue.calls) == asked


def test_a_venue_that_is_not_offered_here_says_so(case, adapter, venue):
    if case.is_broker:
        pytest.skip("a broker's keys are refused instead")
    venue.script(case.instruments, "status", status=451, body='{"code": 0, "msg": "Service unavailable from a restricted location"}')
    with pytest.raises(VenueRefused, match=r"is not offered where this computer is .* use another venue"):
        adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 1)


@pytest.mark.parametrize(
    ("scheme", "complaint"),
    [
        ("https://", "shows a certificate that is not trusted here: look for a proxy"),
        ("ftp://", "VENUE_BASE_URLS: 'ftp://127.0.0.1:.*' is no address of .*; write one like http://"),
        ("", "VENUE_BASE_URLS: '127.0.0.1:.*' is no address"),
    ],
)
def test_it_says_what_is_wrong_with_a_gateway(case, adapter, venue, settings, scheme, complaint):
    settings.VENUE_BASE_URLS = {case.slug: f"{scheme}{venue.url.removeprefix('http://')}"}
    with pytest.raises(VenueRefused, match=complaint):
        registry._market_data(case.slug).candles(case.symbol(BTC), "15m", FIRST_MS, 1)


def test_it_serves_many_threads_and_reads_the_instruments_once(case, adapter, venue, state):
    wanted = [
        (instrument, timeframe)
        for instrument in (BTC, ETH)
        for timeframe in ("15m", "30m", "1h", "4h")
        if timeframe in case.frames or not case.is_broker
    ]

    def ask(number: int) -> bool:
        instrument, timeframe = wanted[number % len(wanted)]
        frame = adapter.candles(case.symbol(instrument), timeframe, FIRST_MS, 40)
        whole = timeframes.aggregate(state.closed(instrument.wire_id, "15m"), timeframe)
        assert frame.symbol == case.symbol(instrument)
        assert frame.close.tolist() == whole.close[:40].tolist()
        return adapter.tickers([case.symbol(instrument)])[case.symbol(instrument)].last == state.price(instrument.wire_id)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(32)))
    asked = [str(query) for query in venue.called(case.instruments)]
    assert len(asked) == len(set(asked))


def test_it_asks_only_routes_whose_cost_is_known(case, adapter, venue):
    symbol = case.symbol(BTC)
    adapter.candles(symbol, "15m", FIRST_MS, 10)
    adapter.candles(symbol, "15m", NOW_MS - 5 * QUARTER_MS, 10)
    adapter.tickers([symbol])
    list(adapter.funding(symbol, NOW_MS - 10 * DAY_MS))
    assert {route for route, _ in venue.calls} <= set(limits.ROUTES[case.slug])


@pytest.mark.parametrize(("skew_ms", "complaint"), [(0, ""), (-120_000, "1[12].* s ahead of"), (300_000, "[23].* s behind")])
def test_it_refuses_to_work_with_a_clock_that_is_wrong(case, adapter, state, settings, skew_ms, complaint):
    settings.VENUE_CLOCK_TOLERANCE_S = 60.0
    state.now_ms, state.speed, state.skew_ms = clock.now_ms(), 1.0, skew_ms
    if not complaint:
        assert adapter.now_ms() <= clock.now_ms()
        return
    with pytest.raises(VenueError, match=rf"clock: this computer's clock is {complaint} {case.slug}.*; set it .*timedatectl"):
        adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 10)


def test_it_lets_what_stands_in_for_a_venue_live_in_another_time(case, adapter, state, settings, venue):
    settings.VENUE_CLOCK_TOLERANCE_S = 60.0
    state.now_ms, state.speed, state.skew_ms = clock.now_ms(), 1.0, -30 * DAY_MS
    settings.VENUE_BASE_URLS = {}
    with pytest.raises(VenueError, match="s ahead of"):
        adapter.now_ms()
    settings.VENUE_BASE_URLS = {case.slug: venue.url}
    assert abs(adapter.now_ms() - (clock.now_ms() - 30 * DAY_MS)) < 5_000


def test_it_warns_of_a_clock_that_begins_to_go_wrong(case, adapter, state, settings, caplog):
    settings.VENUE_CLOCK_TOLERANCE_S = 60.0
    state.now_ms, state.speed, state.skew_ms = clock.now_ms(), 1.0, -10_000
    adapter.now_ms()
    assert re.search(r"this computer's clock is 1[01] s ahead of", caplog.text)


@pytest.mark.parametrize(("name", "questions"), [("okx", 12), ("bybit", 120), ("bitget", 22)])
def test_many_threads_stay_within_what_the_venue_allows(name, questions, state, settings):
    """The venue turns away who asks too much, and nobody is turned away."""
    case = CASES[name]
    settings.VENUE_RATE_SHARE = 0.6  # a thread may be held up between paying and asking
    with TestVenue(state, enforce_limits=True) as strict:
        settings.VENUE_BASE_URLS = {case.slug: strict.url}
        adapter = registry._market_data(case.slug)
        with ThreadPoolExecutor(8) as pool:
            frames = pool.map(lambda number: adapter.candles(case.symbol(BTC), "15m", FIRST_MS + number * QUARTER_MS, 20), range(questions))
            assert [len(frame) for frame in frames] == [20] * questions
        assert len(strict.called(case.history)) == questions


@pytest.mark.parametrize(
    ("name", "bucket", "quota", "words"),
    [
        ("binance", "weight", binance.WEIGHT, "limits our requests"),
        ("binance spot", "weight", binance_spot.WEIGHT, "limits our requests"),
        ("okx", "/api/v5/market/tickers", Quota(20, 2), "limits our requests"),
        ("bybit", "all", Quota(600, 5), "has banned this address for a while"),
        ("bitget", "/api/v2/mix/market/tickers", Quota(20, 1), "limits our requests"),
    ],
)
def test_it_understands_how_each_venue_turns_it_away(name, bucket, quota, words, state, settings):
    """Another program at this address has used up what the venue allows."""
    case = CASES[name]
    with TestVenue(state, enforce_limits=True) as strict:
        settings.VENUE_BASE_URLS = {case.slug: strict.url}
        adapter = registry._market_data(case.slug)
        adapter.markets("perpetual" if case.suffix else "spot")
        strict.limits[name].counters.spend(bucket, quota, quota.cost)
        with pytest.raises(VenueUnavailable, match=words):
            adapter.tickers([case.symbol(BTC)])
        with pytest.raises(VenueUnavailable, match="may be asked again in"):
            budget.take(case.slug, limits.charge(case.slug, case.tickers, {})[0], patience_s=0.0)


@pytest.mark.parametrize(("name", "bucket"), [("binance", limits.WEIGHT), ("binance spot", limits.SPOT_WEIGHT)])
def test_it_learns_from_the_venue_what_others_have_used(name, bucket, state, settings):
    case = CASES[name]
    settings.VENUE_RATE_SHARE = 0.9
    with TestVenue(state) as venue:
        settings.VENUE_BASE_URLS = {case.slug: venue.url}
        while time() % 60 < EDGE_S + 0.2:
            sleep(0.1)
        adapter = registry._market_data(case.slug)
        adapter.markets("perpetual" if case.suffix else "spot")
        budget.take(case.slug, bucket, 1.0, patience_s=0.0)
        venue.limits[name].counters.spend("weight", binance.WEIGHT, 100_000)
        adapter.tickers([case.symbol(BTC)])
        with pytest.raises(VenueUnavailable, match="its limit on requests is used up"):
            budget.take(case.slug, bucket, budget.pace(case.slug, bucket).burst, patience_s=0.0)
