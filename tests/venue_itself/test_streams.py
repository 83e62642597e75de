import asyncio
import json
import zlib

import aiohttp
import ccxt.pro
import pytest

from tests.venue.binance_streams import BinanceSession
from tests.venue_itself.clients import BTC, ETH, binance, okx
from tests.venue_itself.conftest import BARS, QUARTER_MS

MARKET, PUBLIC = "/market/ws", "/public/ws"
SOCKETS = {"binanceusdm": (MARKET, PUBLIC), "okx": ("/ws/v5/public", "/ws/v5/public")}
WAIT_S = 10.0


@pytest.fixture
async def client(maker, venue):
    venue.exchange.rate = 40.0
    made = maker(venue, ccxt.pro)
    await made.load_markets()
    yield made
    await made.close()


async def soon(watched):
    return await asyncio.wait_for(watched, WAIT_S)


async def until(watch, is_it):
    """What `watch` tells once it is what is waited for."""
    for _ in range(400):
        told = await soon(watch())
        if is_it(told):
            return told
    raise AssertionError("it was never told")


async def test_candles_form_close_and_begin_anew(client, state):
    frame = state.candles["BTCUSDT", "15m"]
    forming = await soon(client.watch_ohlcv(BTC, "15m"))
    assert forming[-1][0] == frame.timestamp[BARS]
    assert forming[-1][4] == state.price("BTCUSDT")
    state.now_ms += 60_000
    moved = await until(lambda: client.watch_ohlcv(BTC, "15m"), lambda told: told[-1][4] == state.price("BTCUSDT"))
    assert moved[-1][5] == pytest.approx(frame.volume[BARS] * 8 / 15)
    state.now_ms += 2 * QUARTER_MS
    cached = await until(lambda: client.watch_ohlcv(BTC, "15m"), lambda told: told[-1][0] == frame.timestamp[BARS + 2])
    told = {row[0]: row[1:] for row in client.ohlcvs[BTC]["15m"]}
    for closed in (BARS, BARS + 1):
        assert told[frame.timestamp[closed]] == [column[closed] for column in frame[3:]], "its last word is the whole bar"
    assert cached[-1][1] == frame.open[BARS + 2]


async def test_a_bar_is_not_called_closed_before_its_last_trade(venue, state):
    """With a clock that runs a bar in a few beats, every bar that is told as closed is whole."""
    venue.exchange.rate, state.speed = 200.0, 3000.0
    whole, names = 0, ("btcusdt@kline_1m", "ethusdt@kline_1m")
    async with aiohttp.ClientSession() as session, session.ws_connect(venue.url + "/ws") as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        opens = {}
        while whole < 40:
            bar = (await soon(socket.receive_json())).get("k")
            if bar is None or not bar["x"]:
                continue
            kept = state.bars(bar["s"], "1m", bar["t"], bar["t"], 1)[0]
            assert [float(bar[name]) for name in "ohlcv"] == list(kept[1:])
            assert bar["t"] == opens.get(bar["s"], bar["t"]), "none is left out"
            opens[bar["s"]] = bar["t"] + 60_000
            whole += 1


async def test_ticker_and_book_stand_at_the_price_of_the_bar(client, state):
    for _ in range(3):
        state.now_ms += 45_000
        price = state.price("BTCUSDT")
        ticker = await until(lambda: client.watch_ticker(BTC), lambda told: told["last"] == price)  # noqa: B023
        assert ticker["percentage"] == pytest.approx((price / state.last_day("BTCUSDT").open - 1) * 100, abs=1e-3)
        book = await until(lambda: client.watch_order_book(BTC), lambda told: abs(told["bids"][0][0] - price) < 0.06)  # noqa: B023
        assert book["asks"][0][0] == pytest.approx(book["bids"][0][0] + 0.1)
        assert (await client.fetch_ticker(BTC))["last"] == price


async def test_a_book_kept_by_the_stream_is_the_venues_book(client, state):
    """Updates are applied on a snapshot; the venue's book at the same number is compared level by level."""
    compared = 0
    for turn in range(60):
        if turn % 10 == 0:
            state.now_ms += 20_000
        told = await soon(client.watch_order_book(BTC))
        book = state.book("BTCUSDT")
        if book.update_id == told["nonce"]:
            bids, asks = state.levels("BTCUSDT", 50)
            size = client.market(BTC)["contractSize"]
            for side, kept in ((bids, told["bids"]), (asks, told["asks"])):
                assert [(float(price), float(qty)) for price, qty in side] == [(row[0], pytest.approx(row[1] * size)) for row in kept]
            compared += 1
    assert compared >= 5


async def test_mark_prices_and_best_quotes_are_streamed(client, state):
    mark = await soon(client.watch_mark_price(BTC))
    assert mark["markPrice"] == state.price("BTCUSDT")
    quotes = (await soon(client.watch_bids_asks([ETH])))[ETH]
    assert quotes["ask"] == pytest.approx(quotes["bid"] + 0.1)


async def test_binance_streams_full_tickers(venue, state):
    client = binance(venue, ccxt.pro)
    ticker = await soon(client.watch_ticker(BTC, {"name": "ticker"}))
    assert (ticker["last"], ticker["open"]) == (state.price("BTCUSDT"), state.last_day("BTCUSDT").open)
    everything = await soon(client.watch_tickers())
    assert set(everything) <= {BTC, ETH}
    await client.close()


async def test_okx_streams_funding_rates(venue, state):
    venue.exchange.rate = 1000.0
    client = okx(venue, ccxt.pro)
    rate = await soon(client.watch_funding_rate(BTC))
    assert rate["fundingRate"] == state.next_funding("BTCUSDT")[1]
    await client.close()


async def test_okx_adds_the_checksum_it_documents(venue):
    """CRC-32 of the best 25 levels of both sides in turn; ccxt no longer compares it."""
    async with aiohttp.ClientSession() as session, session.ws_connect(venue.url + "/ws/v5/public") as socket:
        await socket.send_str("ping")
        assert (await soon(socket.receive())).data == "pong"
        await socket.send_json({"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT-SWAP"}]})
        assert (await soon(socket.receive_json()))["event"] == "subscribe"
        snapshot = await soon(socket.receive_json())
        update = await soon(socket.receive_json())
    row = snapshot["data"][0]
    text = ":".join(f"{bid[0]}:{bid[1]}:{ask[0]}:{ask[1]}" for bid, ask in zip(row["bids"][:25], row["asks"][:25], strict=True))
    assert row["checksum"] % (1 << 32) == zlib.crc32(text.encode())
    assert (snapshot["action"], row["prevSeqId"], update["action"]) == ("snapshot", -1, "update")
    assert update["data"][0]["prevSeqId"] == row["seqId"] < update["data"][0]["seqId"]


async def test_binance_combines_lists_and_ends_subscriptions(venue):
    async with aiohttp.ClientSession() as session, session.ws_connect(venue.url + "/stream?streams=btcusdt@bookTicker") as socket:
        event = await soon(socket.receive_json())
        assert (event["stream"], event["data"]["s"]) == ("btcusdt@bookTicker", "BTCUSDT")
        await socket.ping(b"there?")

        async def ask(method, params, number):
            await socket.send_json({"method": method, "params": params, "id": number})
            while True:
                told = await soon(socket.receive_json())
                if told.get("id") == number:
                    return told

        assert await ask("SUBSCRIBE", ["ethusdt@kline_1m", "nope@kline_1m"], 1) == {"result": None, "id": 1}
        assert await ask("UNSUBSCRIBE", ["btcusdt@bookTicker"], 2) == {"result": None, "id": 2}
        listed = await ask("LIST_SUBSCRIPTIONS", [], 3)
        assert listed["result"] == ["ethusdt@kline_1m", "nope@kline_1m"], "what does not exist is taken without a word"
        assert (await soon(socket.receive_json()))["stream"] == "ethusdt@kline_1m"
        await socket.send_str("{not json")
        assert "error" in await until(lambda: socket.receive_json(), lambda told: "error" in told)
    async with aiohttp.ClientSession() as session, session.ws_connect(venue.url + "/ws/btcusdt@depth@100ms") as socket:
        first, second = await soon(socket.receive_json()), await soon(socket.receive_json())
        assert second["pu"] == first["u"] == second["U"] - 1


async def test_okx_refuses_what_it_does_not_stream(venue):
    client = okx(venue, ccxt.pro)
    await client.load_markets()
    client.markets[BTC]["id"] = "NOPE-USDT-SWAP"
    with pytest.raises(ccxt.BaseError, match="60018"):
        await soon(client.watch_ticker(BTC))
    async with aiohttp.ClientSession() as session, session.ws_connect(venue.url + "/ws/v5/public") as socket:
        for text in ("nonsense", '{"op":"subscribe"}', '{"op":"shout","args":[]}', "[1]"):
            await socket.send_str(text)
            assert json.loads((await soon(socket.receive())).data)["code"] == "60012"
        await socket.send_json({"op": "subscribe", "args": [{"channel": "candle1m", "instId": "BTC-USDT-SWAP"}]})
        assert (await soon(socket.receive_json()))["code"] == "60018", "candles are on the other socket"
    await client.close()


# --- what can go wrong ---


async def test_a_dropped_socket_is_a_network_error_and_comes_back(client, venue):
    await soon(client.watch_ticker(BTC))
    venue.drop()
    with pytest.raises(ccxt.NetworkError, match="1006"):
        await until(lambda: client.watch_ticker(BTC), lambda told: False)
    assert (await soon(client.watch_ticker(BTC)))["last"]


@pytest.mark.parametrize(
    ("kind", "how", "raised"), [("status", {"status": 503}, ccxt.NetworkError), ("reset", {"times": 2}, ccxt.NetworkError)]
)
async def test_a_connection_may_not_come_about(client, venue, kind, how, raised):
    """aiohttp tries a reset connection once more by itself when it is one it kept from before."""
    venue.script(SOCKETS[client.id][0], kind, **how)
    with pytest.raises(raised):
        await soon(client.watch_ticker(BTC))
    assert (await soon(client.watch_ticker(BTC)))["last"]


async def test_binance_pings_and_ends_with_a_client_that_does_not_answer(venue, monkeypatch):
    monkeypatch.setattr(BinanceSession, "ping_s", 0.05)
    venue.exchange.rate = 40.0
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(venue.url + "/ws", autoping=False) as socket:
            received = [(await soon(socket.receive())).type for _ in range(4)]
            assert received == [aiohttp.WSMsgType.PING] * 3 + [aiohttp.WSMsgType.CLOSE]
        async with session.ws_connect(venue.url + "/ws", autoping=False) as socket:
            for _ in range(6):
                assert (await soon(socket.receive())).type is aiohttp.WSMsgType.PING
                await socket.pong()


async def test_all_sockets_are_closed_in_order_after_a_day(client, venue):
    async def watch_both():
        for watch in (lambda: client.watch_ticker(BTC), lambda: client.watch_ohlcv(BTC, "1m")):
            try:
                await soon(watch())
            except ccxt.NetworkError:
                await soon(watch())

    await watch_both()
    asked = len(venue.calls)
    await asyncio.to_thread(venue.disconnect)
    await watch_both()
    assert len(venue.calls) == asked + 2, "each is subscribed to once more"


async def test_a_silent_socket_is_noticed_by_its_missing_pong(maker, venue):
    client = maker(venue, ccxt.pro, streaming={"keepAlive": 100})
    await soon(client.watch_ticker(BTC))
    venue.silence()
    with pytest.raises(ccxt.RequestTimeout, match="keepalive"):
        await until(lambda: client.watch_ticker(BTC), lambda told: False)
    assert (await soon(client.watch_ticker(BTC)))["last"]
    await client.close()


async def test_a_socket_may_be_silent_from_the_start(maker, venue):
    client = maker(venue, ccxt.pro, streaming={"keepAlive": 100})
    venue.script(SOCKETS[client.id][0], "silent")
    with pytest.raises(ccxt.RequestTimeout, match="keepalive"):
        await soon(client.watch_ticker(BTC))
    assert (await soon(client.watch_ticker(BTC)))["last"], "the next connection is none of them"
    await client.close()


@pytest.mark.parametrize("kind", ["drop", "disconnect"])
async def test_a_socket_ends_at_the_frame_it_was_told_to(client, venue, kind):
    venue.script(SOCKETS[client.id][0], kind, nth=4)
    with pytest.raises(ccxt.NetworkError, match={"drop": "1006", "disconnect": "1000"}[kind]):
        await until(lambda: client.watch_ticker(BTC), lambda told: False)
    assert (await soon(client.watch_ticker(BTC)))["last"]
    assert [struck[1] for struck in venue.faults.struck] == [kind]


async def test_a_refused_subscription_is_told_once(client, maker, venue):
    """The client takes itself for subscribed from then on: only another connection asks again."""
    venue.script(SOCKETS[client.id][0], "refuse")
    with pytest.raises(ccxt.BaseError) as caught:
        await soon(client.watch_ticker(BTC))
    assert type(caught.value) in (ccxt.ExchangeError, ccxt.BadRequest, ccxt.BadSymbol)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.watch_ticker(BTC), 0.2)
    await client.close()
    another = maker(venue, ccxt.pro)
    assert (await soon(another.watch_ticker(BTC)))["last"]
    await another.close()


async def test_a_missed_stretch_of_a_book_is_noticed_and_made_good(client, venue, state):
    await soon(client.watch_order_book(BTC))
    venue.script(SOCKETS[client.id][1], "missed", times=3)
    with pytest.raises((ccxt.ChecksumError, ccxt.InvalidNonce)):
        await until(lambda: client.watch_order_book(BTC), lambda told: False)
    told = await until(lambda: client.watch_order_book(BTC), lambda told: told["nonce"] == state.book("BTCUSDT").update_id)
    assert told["bids"][0][0] == float(state.levels("BTCUSDT", 1)[0][0][0])


async def test_a_price_stands_still(client, venue, state):
    await soon(client.watch_ticker(BTC))
    before = state.price("BTCUSDT")
    name = "BTCUSDT" if client.id == "binanceusdm" else "BTC-USDT-SWAP"
    await asyncio.sleep(0.1)
    venue.script(SOCKETS[client.id][0], "stale", times=5, symbol=name)
    state.now_ms += 60_000
    stale = [(await soon(client.watch_ticker(BTC)))["last"] for _ in range(4)]
    assert set(stale) == {before}
    await until(lambda: client.watch_ticker(BTC), lambda told: told["last"] == state.price("BTCUSDT") != before)


async def test_garbage_makes_the_client_deaf_without_an_error(client, venue):
    """ccxt's reader dies of it and nobody is told: whoever watches has to notice the silence."""
    await soon(client.watch_ticker(BTC))
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    venue.script(SOCKETS[client.id][0], "garbage")
    with pytest.raises(asyncio.TimeoutError):
        while True:
            await asyncio.wait_for(client.watch_ticker(BTC), 0.25)
    assert venue.sockets.connections, "it is still open"


async def test_a_client_that_does_not_read_holds_nobody_up(client, venue):
    venue.exchange.rate = 500.0
    async with aiohttp.ClientSession() as session, session.ws_connect(venue.url + "/ws", max_msg_size=0) as lazy:
        names = [f"{market}@{channel}" for market in ("btcusdt", "ethusdt") for channel in ("depth", "ticker", "kline_1m", "bookTicker")]
        await lazy.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        for _ in range(200):
            assert (await soon(client.watch_ticker(BTC)))["last"]
