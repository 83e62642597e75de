import asyncio
import json

import aiohttp
import ccxt
import pytest
import requests

from tests.venue import TestVenue
from tests.venue_itself.clients import BTC, binance, okx


@pytest.fixture
def strict(venue):
    """The venue turning people away, by a clock of ours: strict.at(seconds)."""
    venue.enforce_limits = True
    venue.now_s = 1_000_000_040.0
    for limits in venue.limits.values():
        limits.counters.clock = lambda: venue.now_s
    return venue


def weighs(venue, path: str) -> int:
    def used() -> int:
        return int(requests.get(venue.url + "/fapi/v1/time").headers["X-MBX-USED-WEIGHT-1M"])

    before = used()
    requests.get(venue.url + path)
    return used() - before - 1


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=15m&limit=99", 1),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=15m&limit=499", 2),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=15m", 5),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=15m&limit=1000", 5),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=15m&limit=1500", 10),
        ("/fapi/v1/depth?symbol=BTCUSDT&limit=20", 2),
        ("/fapi/v1/depth?symbol=BTCUSDT&limit=100", 5),
        ("/fapi/v1/depth?symbol=BTCUSDT", 10),
        ("/fapi/v1/depth?symbol=BTCUSDT&limit=1000", 20),
        ("/fapi/v1/ticker/24hr?symbol=BTCUSDT", 1),
        ("/fapi/v1/ticker/24hr", 40),
        ("/fapi/v1/premiumIndex?symbol=BTCUSDT", 1),
        ("/fapi/v1/premiumIndex", 10),
        ("/fapi/v1/ticker/bookTicker?symbol=BTCUSDT", 2),
        ("/fapi/v1/ticker/bookTicker", 5),
        ("/fapi/v1/exchangeInfo", 1),
        ("/fapi/v1/fundingRate?symbol=BTCUSDT", 0),
    ],
)
def test_binance_weighs_each_request(venue, path, weight):
    assert weighs(venue, path) == weight


def test_binance_allows_2400_a_minute_and_bans_who_does_not_listen(strict):
    client = binance(strict)
    client.load_markets()
    for _ in range(59):
        client.fetch_tickers()
    assert strict.peaks("binance") == {"weight": 2361}
    with pytest.raises(ccxt.DDoSProtection) as caught:
        client.fetch_tickers()
    assert "429" in str(caught.value)
    assert client.last_response_headers["Retry-After"] == "40", "the rest of the minute"
    assert client.last_response_headers["X-MBX-USED-WEIGHT-1M"] == "2401"
    for _ in range(5):
        with pytest.raises(ccxt.DDoSProtection):
            client.fetch_tickers()
    with pytest.raises(ccxt.DDoSProtection) as caught:
        client.fetch_tickers()
    assert "418" in str(caught.value)
    assert client.last_response_headers["Retry-After"] == "120"
    strict.now_s += 60
    with pytest.raises(ccxt.DDoSProtection):
        client.fetch_ticker(BTC)
    strict.now_s += 61
    assert client.fetch_ticker(BTC)["last"]
    assert strict.turned_away == 8


def test_binance_counts_funding_by_itself(strict):
    client = binance(strict)
    client.load_markets()
    with requests.Session() as session:
        for _ in range(500):
            session.get(strict.url + "/fapi/v1/fundingRate?symbol=BTCUSDT&limit=1")
    with pytest.raises(ccxt.DDoSProtection):
        client.fetch_funding_rate_history(BTC)
    strict.now_s += 300
    assert client.fetch_funding_rate_history(BTC)
    assert strict.peaks("binance") == {"weight": 1, "funding": 501}


def test_okx_counts_each_endpoint_within_any_two_seconds(strict):
    client = okx(strict)
    client.load_markets()
    for _ in range(20):
        client.fetch_ticker(BTC)
    with pytest.raises(ccxt.RateLimitExceeded, match="50011"):
        client.fetch_ticker(BTC)
    assert client.fetch_order_book(BTC, 5), "another endpoint"
    strict.now_s += 1.9
    with pytest.raises(ccxt.RateLimitExceeded):
        client.fetch_ticker(BTC)
    strict.now_s += 2
    assert client.fetch_ticker(BTC)["last"]
    assert strict.peaks("okx")["/api/v5/market/ticker"] == 22


def test_it_shortens_its_windows_when_told(state):
    with TestVenue(state, enforce_limits=True, limits_scale=600) as venue:
        client = okx(venue)
        client.load_markets()
        for _ in range(60):
            client.fetch_ticker(BTC)
        assert venue.turned_away == 0


def test_it_counts_but_turns_nobody_away_unless_told(venue):
    client = okx(venue)
    for _ in range(25):
        client.fetch_time()
    assert venue.peaks("okx")["/api/v5/public/time"] == 25


async def test_sockets_count_their_clients_messages(venue):
    venue.enforce_limits = True
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(venue.url + "/market/ws/1") as socket:
            for number in range(11):
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
            received = [await asyncio.wait_for(socket.receive(), 5) for _ in range(11)]
            assert received[-1].type is aiohttp.WSMsgType.CLOSE
            assert received[-1].data == 1008
        async with session.ws_connect(venue.url + "/ws/v5/public") as socket:
            for _ in range(481):
                await socket.send_json({"op": "unsubscribe", "args": [{"channel": "tickers", "instId": "BTC-USDT-SWAP"}]})
            replies = [json.loads((await asyncio.wait_for(socket.receive(), 5)).data) for _ in range(481)]
    assert [reply["event"] for reply in replies] == ["unsubscribe"] * 480 + ["error"]
    assert venue.exchange.peaks == {"binance messages": 11, "okx subscriptions": 481}
