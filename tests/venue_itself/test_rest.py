import ccxt
import ccxt.async_support
import numpy as np
import pytest
import requests

from exchanges.timeframes import aggregate, parse
from tests.exchanges.frames import rows
from tests.venue_itself.clients import BTC, ETH, binance, okx
from tests.venue_itself.conftest import BARS, QUARTER_MS

HISTORY, CANDLES = "/api/v5/market/history-candles", "/api/v5/market/candles"


def test_it_lists_its_instruments(maker, venue):
    markets = maker(venue).load_markets()
    assert set(markets) == {BTC, ETH}
    market = markets[BTC]
    assert market["active"]
    assert market["linear"]
    assert market["precision"]["price"] == 0.1
    assert market["precision"]["amount"] * market["contractSize"] == pytest.approx(0.001)


def test_it_tells_its_own_time(maker, venue, state):
    assert maker(venue).fetch_time() == state.now_ms
    state.skew_ms = -90_000
    assert maker(venue).fetch_time() == state.now_ms - 90_000
    state.skew_ms, state.speed = 0, 1000.0
    first = maker(venue).fetch_time()
    assert maker(venue).fetch_time() > first


def test_it_tells_candles_and_the_open_one_as_far_as_it_got(maker, venue, state):
    frame = state.candles["BTCUSDT", "15m"]
    told = maker(venue).fetch_ohlcv(BTC, "15m", int(frame.timestamp[BARS - 5]), 100)
    assert told[:-1] == [list(row) for row in rows(frame.slice(BARS - 5, BARS))]
    at_ms, opened, high, low, close, volume = told[-1]
    assert (at_ms, opened) == (frame.timestamp[BARS], frame.open[BARS])
    assert close == state.price("BTCUSDT")
    assert low <= close <= high
    assert volume == pytest.approx(frame.volume[BARS] * 7 / 15)


@pytest.mark.parametrize("timeframe", ["1m", "5m", "1h"])
def test_it_has_every_timeframe_of_one_market(maker, venue, state, timeframe):
    """Shorter bars put together are the longer ones, and all of them stand at one price."""
    base = state.candles["BTCUSDT", "15m"]
    first_ms = int(base.timestamp[BARS - 16] // 3_600_000 * 3_600_000)
    told = maker(venue).fetch_ohlcv(BTC, timeframe, first_ms, 300)
    assert told[-1][4] == state.price("BTCUSDT")
    assert told[-1][0] == state.now_ms // parse(timeframe) * parse(timeframe)
    if timeframe == "1h":
        whole = aggregate(base, "1h")
        expected = [list(row) for row in rows(whole) if first_ms <= row[0] and row[0] + 3_600_000 <= state.now_ms]
        assert told[: len(expected)] == expected
        return
    per_bar = QUARTER_MS // parse(timeframe)
    for index in range(np.searchsorted(base.timestamp, first_ms), BARS - 16 + 10):
        part = [row for row in told if base.timestamp[index] <= row[0] < base.timestamp[index] + QUARTER_MS]
        assert len(part) == per_bar
        together = [part[0][1], max(row[2] for row in part), min(row[3] for row in part), part[-1][4]]
        assert together == [base.open[index], base.high[index], base.low[index], base.close[index]]
        assert sum(row[5] for row in part) == pytest.approx(base.volume[index])


def test_binance_pages_from_the_oldest_and_without_a_start_from_the_newest(venue, state):
    frame = state.candles["BTCUSDT", "15m"]

    def ask(**query):
        return [row[0] for row in requests.get(f"{venue.url}/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "15m", **query}).json()]

    times = frame.timestamp.tolist()
    assert ask(startTime=times[10], limit=3) == times[10:13]
    assert ask(startTime=times[10], endTime=times[11], limit=3) == times[10:12]
    assert ask(limit=2) == times[BARS - 1 : BARS + 1]
    assert ask(endTime=times[20], limit=2) == times[19:21]
    assert len(ask(limit=1500)) == BARS + 1
    assert requests.get(f"{venue.url}/fapi/v1/klines?symbol=BTCUSDT&interval=15m&limit=1501").json()["code"] == -1130


def test_okx_pages_from_the_newest(venue, state):
    client = okx(venue)
    times = [str(at_ms) for at_ms in state.candles["BTCUSDT", "15m"].timestamp.tolist()]

    def ask(method, **query):
        return method({"instId": "BTC-USDT-SWAP", "bar": "15m", **query})["data"]

    for method in (client.publicGetMarketCandles, client.publicGetMarketHistoryCandles):
        newest = ask(method, limit=3)
        assert [row[0] for row in newest] == times[BARS : BARS - 3 : -1]
        assert [row[-1] for row in newest] == ["0", "1", "1"]
        assert [row[0] for row in ask(method, after=times[20], limit=2)] == times[19:17:-1]
        assert [row[0] for row in ask(method, before=times[20], limit=2)] == times[BARS : BARS - 2 : -1]
        assert [row[0] for row in ask(method, before=times[20], after=times[23])] == times[22:20:-1]
        assert len(ask(method)) == 100
        assert len(ask(method, limit=5000)) == 300


def test_okx_keeps_old_bars_on_another_route(venue, state):
    client = okx(venue)
    since_ms = state.now_ms - 2000 * 60_000
    client.fetch_ohlcv(BTC, "1m", since_ms, 300)
    assert len(venue.called(HISTORY)) == 1
    client.fetch_ohlcv(BTC, "1m", state.now_ms - 1000 * 60_000, 300)
    assert len(venue.called(CANDLES)) == 1
    recent = client.publicGetMarketCandles({"instId": "BTC-USDT-SWAP", "bar": "1m", "after": since_ms + 60_000})
    assert recent["data"] == [], "the recent route has 1,440 bars"


def test_it_tells_the_funding_that_was_and_that_comes(maker, venue, state):
    client = maker(venue)
    rates = state.funding["BTCUSDT"]
    settled = int((rates.timestamp <= state.now_ms).sum())
    told = client.fetch_funding_rate_history(BTC, int(rates.timestamp[1]), 100)
    assert [entry["timestamp"] for entry in told] == rates.timestamp[1:settled].tolist()
    assert [entry["fundingRate"] for entry in told] == rates.rate[1:settled].tolist()
    coming = client.fetch_funding_rate(BTC)
    assert (coming["fundingTimestamp"], coming["fundingRate"]) == (rates.timestamp[settled], rates.rate[settled])


def test_ticker_book_and_bar_stand_at_one_price(maker, venue, state):
    client = maker(venue)
    for minute in range(1, 8):
        state.now_ms += minute * 60_000
        price = state.price("BTCUSDT")
        ticker, book = client.fetch_ticker(BTC), client.fetch_order_book(BTC, 20)
        assert ticker["last"] == price == client.fetch_ohlcv(BTC, "1m")[-1][4]
        assert len(book["bids"]) == len(book["asks"]) == 20
        assert book["bids"][0][0] == pytest.approx(price, abs=0.051)
        assert book["asks"][0][0] == pytest.approx(book["bids"][0][0] + 0.1)
    assert set(client.fetch_tickers()) == {BTC, ETH}
    assert ticker["percentage"] == pytest.approx((price / state.last_day("BTCUSDT").open - 1) * 100, abs=1e-3)


def test_it_tells_the_best_bid_and_ask(venue, state):
    told = binance(venue).fetch_bids_asks([BTC])[BTC]
    (bid, _), (ask, _) = (side[0] for side in state.levels("BTCUSDT", 1))
    assert (told["bid"], told["ask"]) == (float(bid), float(ask))


def test_a_trade_by_hand_moves_everything_and_stays_in_history(maker, venue, state):
    client = maker(venue)
    so_far = state.forming("BTCUSDT", "15m")
    state.trade("BTCUSDT", 12_345.6)
    state.now_ms += 1000
    assert client.fetch_ticker(BTC)["last"] == 12_345.6
    assert client.fetch_order_book(BTC, 5)["bids"][0][0] == 12_345.6
    state.trade("BTCUSDT", 50_000.0)
    state.now_ms += 2 * QUARTER_MS
    spike, still, forming = client.fetch_ohlcv(BTC, "15m", state.now_ms - 3 * QUARTER_MS, 10)
    assert (spike[3], spike[4]) == (12_345.6, 50_000.0)
    assert spike[2] == max(50_000.0, so_far[2]), "what was to come never came"
    assert spike[5] == pytest.approx(so_far[5] + 2)
    assert still[1:5] == forming[1:5] == [50_000.0] * 4


def test_it_refuses_what_does_not_exist(maker, venue):
    client = maker(venue)
    client.load_markets()
    client.markets[BTC]["id"] = "NOPE-USDT-SWAP"
    with pytest.raises(ccxt.BadSymbol):
        client.fetch_ohlcv(BTC, "15m")
    with pytest.raises(ccxt.BadRequest):
        client.fetch_ohlcv(ETH, "1w")


async def test_it_serves_the_asynchronous_client(maker, venue, state):
    client = maker(venue, ccxt.async_support)
    try:
        assert await client.fetch_time() == state.now_ms
        assert len(await client.fetch_ohlcv(BTC, "15m", state.now_ms - 50 * QUARTER_MS, 20)) == 20
        assert (await client.fetch_ticker(ETH))["last"] == state.price("ETHUSDT")
    finally:
        await client.close()
