"""What venues send over their sockets, word by word as their documentation has it, through the real ccxt.pro classes; no connection is made."""

import asyncio

import pytest

from exchanges.ports import BarUpdate, BookUpdate, Quote
from exchanges.venues import ccxt_live, registry
from exchanges.venues.live_frames import READERS
from tests.exchanges.frames import START_MS, make_frame
from tests.venue import Instrument, TestVenue, VenueState

BTC = "BTC/USDT:USDT"
NAMES = {"BTCUSDT": BTC, "BTC-USDT-SWAP": BTC}
KLINE = {"t": 1, "i": "1m", "o": "1.5", "h": "2", "l": "1", "c": "1.75", "v": "10", "x": True}

READ = [
    (
        "binance",
        {"e": "kline", "E": 7, "s": "BTCUSDT", "k": KLINE},
        [BarUpdate(BTC, "1m", 1, 1.5, 2.0, 1.0, 1.75, 10.0, True), Quote(BTC, 1.75, 7)],
    ),
    (
        "binance",
        {"e": "kline", "E": 7, "s": "BTCUSDT", "k": KLINE | {"i": "15m", "x": False}},
        [BarUpdate(BTC, "15m", 1, 1.5, 2.0, 1.0, 1.75, 10.0, False)],
    ),
    ("binance", {"e": "24hrMiniTicker", "E": 7, "s": "BTCUSDT", "c": "110", "o": "100"}, [Quote(BTC, 110.0, 7, 10.0)]),
    ("binance", {"e": "24hrMiniTicker", "E": 7, "s": "BTCUSDT", "c": "110", "o": "0"}, [Quote(BTC, 110.0, 7, None)]),
    ("binance", {"e": "kline", "E": 7, "s": "OTHER", "k": KLINE}, []),
    ("binance", {"e": "depthUpdate", "s": "BTCUSDT"}, None),
    ("binance", {"result": None, "id": 1}, None),
    ("binance", [{"e": "24hrMiniTicker"}], None),
    (
        "okx",
        {
            "arg": {"channel": "candle15m", "instId": "BTC-USDT-SWAP"},
            "data": [["1", "1.5", "2", "1", "1.75", "1000", "10", "17.5", "1"]],
        },
        [BarUpdate(BTC, "15m", 1, 1.5, 2.0, 1.0, 1.75, 10.0, True)],
    ),
    (
        "okx",
        {
            "arg": {"channel": "tickers", "instId": "BTC-USDT-SWAP"},
            "data": [{"last": "110", "open24h": "100", "bidPx": "109", "askPx": "", "ts": "7"}],
        },
        [Quote(BTC, 110.0, 7, 10.0, 109.0, None)],
    ),
    ("okx", {"event": "subscribe", "arg": {"channel": "candle1m", "instId": "BTC-USDT-SWAP"}}, None),
    ("okx", "pong", None),
    (
        "bybit",
        {
            "topic": "kline.1.BTCUSDT",
            "data": [{"start": 1, "open": "1.5", "high": "2", "low": "1", "close": "1.75", "volume": "10", "confirm": True}],
        },
        [BarUpdate(BTC, "1m", 1, 1.5, 2.0, 1.0, 1.75, 10.0, True)],
    ),
    ("bybit", {"topic": "tickers.BTCUSDT", "data": {}}, None),
    ("bybit", {"op": "subscribe", "success": True}, None),
]


@pytest.mark.parametrize(("slug", "message", "updates"), READ)
def test_it_reads_what_the_venue_says(slug, message, updates):
    told = READERS[slug](message, NAMES)
    assert (None if told is None else list(told)) == updates


@pytest.mark.parametrize(
    ("slug", "message"),
    [
        ("binance", {"e": "kline", "s": "BTCUSDT"}),
        ("binance", {"e": "kline", "E": 7, "s": "BTCUSDT", "k": KLINE | {"o": None}}),
        ("okx", {"arg": {"channel": "candle1m", "instId": "BTC-USDT-SWAP"}, "data": [["1", "x"]]}),
        ("bybit", {"topic": "kline.1.BTCUSDT", "data": [{}]}),
    ],
)
def test_it_does_not_read_what_makes_no_sense(slug, message):
    with pytest.raises((KeyError, TypeError, ValueError, IndexError)):
        READERS[slug](message, NAMES)


BYBIT = [
    {
        "topic": "tickers.BTCUSDT",
        "type": "snapshot",
        "ts": 1673272861686,
        "data": {
            "symbol": "BTCUSDT",
            "lastPrice": "17216.00",
            "price24hPcnt": "0.0150",
            "prevPrice24h": "16960.00",
            "bid1Price": "17215.50",
            "ask1Price": "17216.00",
        },
    },
    {"topic": "tickers.BTCUSDT", "type": "delta", "ts": 1673272861700, "data": {"symbol": "BTCUSDT", "lastPrice": "17217.00"}},
    {
        "topic": "orderbook.50.BTCUSDT",
        "type": "snapshot",
        "ts": 1672304484978,
        "data": {"s": "BTCUSDT", "b": [["16493.50", "0.006"]], "a": [["16611.00", "0.029"]], "u": 18521288, "seq": 7961638724},
    },
]
BITGET = [
    {
        "action": "snapshot",
        "arg": {"instType": "USDT-FUTURES", "channel": "ticker", "instId": "BTCUSDT"},
        "data": [
            {"instId": "BTCUSDT", "lastPr": "27000.5", "bidPr": "27000", "askPr": "27000.5", "change24h": "0.01", "ts": "1695715383021"}
        ],
        "ts": 1695715383039,
    },
    {
        "action": "update",
        "arg": {"instType": "USDT-FUTURES", "channel": "candle1m", "instId": "BTCUSDT"},
        "data": [
            ["1695685500000", "27000", "27000.5", "27000", "27000.5", "0.057", "1539.0", "1539.0"],
            ["1695685560000", "27000.5", "27001", "27000", "27000.0", "0.01", "270", "270"],
        ],
        "ts": 1695715462250,
    },
    {
        "action": "snapshot",
        "arg": {"instType": "USDT-FUTURES", "channel": "books15", "instId": "BTCUSDT"},
        "data": [{"asks": [["27000.5", "8.760"]], "bids": [["27000.0", "2.710"]], "checksum": 0, "seq": 123, "ts": "1695716059516"}],
        "ts": 1695716059516,
    },
]


@pytest.mark.parametrize(
    ("slug", "messages", "expected"),
    [
        (
            "bybit",
            BYBIT,
            [
                Quote(BTC, 17216.0, 1673272861686, 1.5, 17215.5, 17216.0),
                Quote(BTC, 17217.0, 1673272861700, 1.5, 17215.5, 17216.0),
                BookUpdate(BTC, 1672304484978, ((16493.5, 0.006),), ((16611.0, 0.029),)),
            ],
        ),
        (
            "bitget",
            BITGET,
            [
                Quote(BTC, 27000.5, 1695715383021, 1.0, 27000.0, 27000.5),
                BarUpdate(BTC, "1m", 1695685500000, 27000.0, 27000.5, 27000.0, 27000.5, 0.057, False),
                BarUpdate(BTC, "1m", 1695685560000, 27000.5, 27001.0, 27000.0, 27000.0, 0.01, False),
                BookUpdate(BTC, 1695716059516, ((27000.0, 2.71),), ((27000.5, 8.76),)),
            ],
        ),
    ],
)
async def test_it_hands_on_what_ccxt_parses(settings, monkeypatch, slug, messages, expected):
    monkeypatch.setattr(ccxt_live, "BOOK_EVERY_S", 0.01)
    state = VenueState(START_MS)
    state.enlist(Instrument("BTC"), make_frame(5))
    told: list = []
    with TestVenue(state) as venue:
        settings.VENUE_BASE_URLS = {slug: venue.url}
        registry.market_data.cache_clear()
        driver = registry.live(slug)
        clients = driver.venue.clients("perpetual")
        tap = ccxt_live._tap(driver.venue.spec.perpetual, clients, "perpetual", venue.url)
        clients.ask(tap.set_markets_from_exchange, "its instruments")
        registry.market_data.cache_clear()
    tap.begin({"BTCUSDT": BTC}, told.append, READERS.get(slug))
    client = tap.client("ws://127.0.0.1:1/v5/public/linear")
    for message in messages:
        tap.handle_message(client, message)
    books = asyncio.create_task(tap.tell_books())
    await asyncio.sleep(0.1)
    books.cancel()
    await tap.close()
    assert told == expected
