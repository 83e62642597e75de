"""What is known of markets now, from stored bars and live updates."""

from dataclasses import astuple

import numpy as np
import pytest

from exchanges import candles, quotes
from exchanges.live import Feed, Tick
from exchanges.models import Market
from exchanges.ports import FundingFrame
from exchanges.streams import publishing
from tests.exchanges.frames import START_MS, make_frame

pytestmark = pytest.mark.django_db

BAR_MS, HOUR_MS = 900_000, 3_600_000
DAY_BARS = 96


def stored(symbol: str = "BTC/USDT:USDT", *, bars: int = 200, timeframe: str = "15m", **more) -> Market:
    market = candles.find_market(symbol)
    candles.ingest(market, make_frame(bars, symbol=symbol, timeframe=timeframe, **more), provenance="file")
    return market


def fund(market: Market, *at_and_rate: tuple[int, float]) -> None:
    at, rate = zip(*at_and_rate, strict=True)
    candles.ingest_funding(market, FundingFrame(np.array(at, np.int64), np.array(rate)), provenance="file")


def test_it_tells_the_last_day_from_stored_bars():
    market, frame = stored(), make_frame(200)
    quote = quotes.of([market])[0]
    day = frame.slice(200 - DAY_BARS, 200)
    assert (quote.price, quote.at_ms, quote.source) == (frame.close[-1], START_MS + 200 * BAR_MS, "file")
    assert quote.day_ago == frame.close[200 - DAY_BARS - 1]
    assert quote.change_pct == pytest.approx((frame.close[-1] / frame.close[200 - DAY_BARS - 1] - 1) * 100)
    assert (quote.high, quote.low) == (day.high.max(), day.low.min())
    assert quote.volume_base == pytest.approx(day.volume.sum())
    assert quote.volume_quote == pytest.approx((day.volume * day.close).sum())
    assert quote.feed is None


def test_a_newer_tick_moves_the_price_its_day_and_its_change():
    market, frame = stored(), make_frame(200)
    at_ms = START_MS + 204 * BAR_MS
    publishing.publish([Tick(market.pk, market.symbol, 50_000.0, at_ms, "replay"), Feed(market.pk, market.symbol, "live", at_ms, "replay")])
    quote = quotes.of([market])[0]
    assert (quote.price, quote.at_ms, quote.high, quote.source) == (50_000.0, at_ms, 50_000.0, "replay")
    assert quote.change_pct == pytest.approx((50_000.0 / frame.close[204 - DAY_BARS - 1] - 1) * 100)
    assert quote.volume_base == pytest.approx(frame.volume[204 - DAY_BARS :].sum())
    assert quote.feed.state == "live"


def test_an_older_tick_is_not_the_price_and_the_venues_own_change_is_taken():
    market, frame = stored(), make_frame(200)
    publishing.publish([Tick(market.pk, market.symbol, 1.0, START_MS, "replay", change_pct=-99.0)])
    assert quotes.of([market])[0].price == frame.close[-1]
    publishing.publish([Tick(market.pk, market.symbol, 2.0, START_MS + 300 * BAR_MS, "replay", change_pct=7.5)])
    assert quotes.of([market])[0].change_pct == 7.5


def test_where_history_is_played_the_day_ends_at_its_time():
    market, frame = stored(bars=300), make_frame(300)
    at_ms = START_MS + 150 * BAR_MS + 1
    fund(market, (START_MS + 32 * HOUR_MS, 0.0001), (START_MS + 40 * HOUR_MS, 0.05))
    publishing.publish([Tick(market.pk, market.symbol, 40_000.0, at_ms, "replay"), Feed(market.pk, market.symbol, "live", at_ms, "replay")])
    quote = quotes.of([market])[0]
    assert (quote.price, quote.at_ms, quote.day_ago) == (40_000.0, at_ms, frame.close[150 - DAY_BARS - 1])
    assert quote.bars.timestamp[-1] == frame.timestamp[149]
    assert quote.funding.rate == 0.0001
    publishing.forget([market.pk])
    assert quotes.of([market])[0].price == frame.close[-1]


def test_a_venue_that_fell_silent_does_not_hide_newer_bars():
    market, frame = stored(), make_frame(200)
    at_ms = START_MS + 150 * BAR_MS
    publishing.publish([Tick(market.pk, market.symbol, 1.0, at_ms, "venue"), Feed(market.pk, market.symbol, "stale", at_ms, "venue")])
    assert quotes.of([market])[0].price == frame.close[-1]


def test_it_says_nothing_about_a_day_without_bars():
    market = stored()
    publishing.publish([Tick(market.pk, market.symbol, 50_000.0, START_MS + 2_000 * BAR_MS, "replay")])
    quote = quotes.of([market])[0]
    assert (quote.day_ago, quote.change_pct, quote.high, quote.low, quote.volume_base, quote.volume_quote) == (None,) * 6
    assert len(quote.bars) == DAY_BARS + 1


def test_a_market_with_a_tick_alone_has_a_price_and_one_without_anything_has_none():
    btc, eth = candles.find_market("BTC/USDT:USDT"), candles.find_market("ETH/USDT:USDT")
    publishing.publish([Tick(btc.pk, btc.symbol, 50_000.0, START_MS, "venue")])
    with_price, without = quotes.of([btc, eth])
    assert (with_price.price, with_price.change_pct) == (50_000.0, None)
    assert set(astuple(without)[2:]) == {None}


@pytest.mark.parametrize("timeframe", ["1h", "4h", "5m", "1d"])
def test_it_takes_the_frame_that_is_stored(timeframe):
    market = stored(timeframe=timeframe, bars=400)
    quote = quotes.of([market])[0]
    assert quote.bars.timeframe == timeframe
    assert quote.change_pct is not None


def test_funding_is_the_newest_that_is_due_at_the_time_of_the_price():
    market = stored()
    end_ms = START_MS + 200 * BAR_MS
    hour = end_ms // HOUR_MS * HOUR_MS
    fund(market, (hour - 16 * HOUR_MS, 0.0002), (hour - 8 * HOUR_MS, 0.0001), (hour + 8 * HOUR_MS, 0.05))
    funding = quotes.of([market])[0].funding
    assert (funding.rate, funding.at_ms, funding.interval_h) == (0.0001, hour - 8 * HOUR_MS, 8.0)
    assert funding.annual_pct == pytest.approx(0.01 * 3 * 365)


def test_one_boundary_has_no_interval_and_an_old_one_is_not_the_newest():
    market = stored()
    fund(market, (START_MS, 0.0001))
    assert (quotes.of([market])[0].funding.interval_h, quotes.of([market])[0].funding.annual_pct) == (None, None)
    publishing.publish([Tick(market.pk, market.symbol, 50_000.0, START_MS + 500 * BAR_MS, "replay")])
    assert quotes.of([market])[0].funding is None


def test_it_asks_as_little_for_fifty_markets_as_for_one(django_assert_num_queries):
    markets = [stored()]
    for number in range(50):
        market = candles.add_market(f"X{number}/USDT:USDT")
        frame = make_frame(120, symbol=market.symbol, start_ms=START_MS + number // 25 * BAR_MS, seed=number)
        candles.ingest(market, frame, provenance="file")
        fund(market, (START_MS + 8 * HOUR_MS, 0.0001))
        markets.append(market)
    with django_assert_num_queries(3):
        found = quotes.of(markets)
    assert [quote.market for quote in found] == markets
    assert all(quote.price and quote.change_pct and quote.funding for quote in found[1:])
