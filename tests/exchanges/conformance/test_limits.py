"""Many who ask at once, and what the venue allows them together."""

from concurrent.futures import ThreadPoolExecutor
from time import sleep, time

import pytest

from exchanges import timeframes
from exchanges.ports import VenueUnavailable
from exchanges.venues import budget, limits, registry
from exchanges.venues.ccxt_client import EDGE_S
from tests.exchanges.conformance.cases import CASES
from tests.exchanges.conformance.listed import BTC, DAY_MS, ETH, FIRST_MS, NOW_MS, QUARTER_MS
from tests.venue import TestVenue, binance, binance_spot
from tests.venue.limits import Quota


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
