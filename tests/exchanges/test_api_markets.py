import numpy as np
import pytest

from exchanges import candles
from exchanges.live import Feed, Tick
from exchanges.ports import FundingFrame
from exchanges.streams import publishing
from tests.exchanges.frames import START_MS, make_frame

pytestmark = pytest.mark.django_db

MARKETS = "/api/v1/markets"
BAR_MS = 900_000


@pytest.fixture
def market():
    found = candles.find_market("BTC/USDT:USDT")
    candles.ingest(found, make_frame(200), provenance="simulated")
    return found


@pytest.fixture
def api(alice, client_for):
    return client_for(alice)


def test_it_lists_the_markets_that_have_candles(market, api):
    rate = FundingFrame(np.array([START_MS + 8 * 3_600_000, START_MS + 16 * 3_600_000], np.int64), np.array([0.0001, -0.0001]))
    candles.ingest_funding(market, rate, provenance="simulated")
    at_ms = START_MS + 201 * BAR_MS
    publishing.publish(
        [Tick(market.pk, market.symbol, 41_000.5, at_ms, "simulated"), Feed(market.pk, market.symbol, "stale", at_ms, "simulated")]
    )
    told = api.get(MARKETS).json()
    assert told["count"] == 1
    item = told["items"][0]
    assert (item["id"], item["venue"], item["symbol"], item["kind"], item["source"]) == (
        market.pk, "binance", "BTC/USDT:USDT", "perpetual", "simulated",
    )  # fmt: skip
    assert (item["price"], item["at_ms"]) == (41_000.5, at_ms)
    assert item["funding"]["rate"] == -0.0001
    assert item["funding"]["annual_pct"] == pytest.approx(-0.01 * 3 * 365)
    assert item["feed"] == {"state": "stale", "ts_ms": at_ms}


def test_it_narrows_and_pages_the_list(market, api):
    eth = candles.find_market("ETH/USDT:USDT")
    candles.ingest(eth, make_frame(5, symbol=eth.symbol), provenance="simulated")
    assert [item["symbol"] for item in api.get(MARKETS, {"limit": 1, "offset": 1}).json()["items"]] == ["ETH/USDT:USDT"]
    assert api.get(MARKETS, {"symbol": "ETH/USDT:USDT", "venue": "binance"}).json()["count"] == 1
    assert api.get(MARKETS, {"venue": "okx"}).json() == {"items": [], "count": 0}
    assert api.get(MARKETS, {"symbol": "\x00"}).json()["count"] == 0


def test_it_brings_closed_candles_with_indicators(market, api):
    told = api.get(f"{MARKETS}/{market.pk}/candles", {"limit": 3, "indicators": ["rsi", "macd"]}).json()
    frame = make_frame(200)
    assert [row[0] for row in told["candles"]] == frame.timestamp[-3:].tolist()
    assert told["candles"][-1][1:] == [float(column[-1]) for column in frame[3:]]
    assert (told["timeframe"], told["length_ms"], told["source"], told["has_older"]) == ("15m", BAR_MS, "simulated", True)
    assert {name: len(values) for name, values in told["indicators"].items()} == {
        "rsi": 3, "macd": 3, "macd_signal": 3, "macd_histogram": 3,
    }  # fmt: skip
    first = api.get(f"{MARKETS}/{market.pk}/candles", {"end": START_MS + 20 * BAR_MS, "indicators": "rsi"}).json()
    assert first["indicators"]["rsi"][:14] == [None] * 14
    assert first["indicators"]["rsi"][14] is not None
    assert not first["has_older"]


@pytest.mark.parametrize("start", ["2024-01-01T01:00", "2024-01-01T01:00Z", "2024-01-01T02:00+01:00", str(START_MS + 3_600_000)])
def test_it_understands_times_in_text_and_in_milliseconds(market, api, start):
    told = api.get(f"{MARKETS}/{market.pk}/candles", {"start": start, "end": "2024-01-01T02:00"}).json()
    assert [row[0] for row in told["candles"]] == [START_MS + (4 + i) * BAR_MS for i in range(4)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"timeframe": "7m"}, "timeframe"),
        ({"timeframe": "fortnight"}, "timeframe"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"start": "soon"}, "start"),
        ({"start": "2024-01-02", "end": "2024-01-02"}, "start"),
        ({"indicators": "adx"}, "indicators"),
        ({"tf": "1h"}, "tf"),
    ],
)
def test_it_names_what_cannot_be_used(market, api, query, field):
    reply = api.get(f"{MARKETS}/{market.pk}/candles", query)
    assert reply.status_code == 422
    assert field in reply.content.decode()


def test_it_knows_no_market_that_is_not_there_or_has_nothing(market, api):
    empty = candles.find_market("ETH/USDT:USDT")
    for market_id in (0, empty.pk):
        assert api.get(f"{MARKETS}/{market_id}/candles").status_code == 404


def test_a_delisted_market_leaves_the_list_and_keeps_its_candles(market, api):
    market.is_active = False
    market.save(update_fields=["is_active"])
    assert api.get(MARKETS).json()["count"] == 0
    assert len(api.get(f"{MARKETS}/{market.pk}/candles").json()["candles"]) == 200
