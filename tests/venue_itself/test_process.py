import asyncio
import subprocess
import sys
from urllib.error import HTTPError

import ccxt
import ccxt.pro
import numpy as np
import pyarrow
import pyarrow.parquet as pq
import pytest

from exchanges.timeframes import parse
from tests.exchanges.frames import START_MS, make_frame, rows
from tests.venue import history
from tests.venue.process import ROOT, VenueProcess
from tests.venue_itself.clients import BTC, ETH, binance, okx

KLINES = "/fapi/v1/klines"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """BTC as 1m and 15m files with funding, ETH as 15m only, and a spot file that is none of ours."""
    folder = tmp_path_factory.mktemp("files")
    for name, timeframe, n in (("BTC-USDT", "15m", 400), ("BTC-USDT", "1m", 6000), ("ETH-USDT", "15m", 400), ("BTC-USDT-SPOT", "5m", 9)):
        frame = make_frame(n, timeframe=timeframe)
        pq.write_table(pyarrow.table(dict(zip(history.CANDLE_COLUMNS, frame[2:], strict=True))), folder / f"{name}_{timeframe}.parquet")
    times = START_MS + np.arange(10) * 28_800_000
    pq.write_table(pyarrow.table({"timestamp": times, "rate": np.full(10, 0.0001)}), folder / "BTC-USDT_funding.parquet")
    return folder


@pytest.fixture(scope="module")
def process(folder):
    with VenueProcess(data=folder, symbols="BTC,ETH", now="2024-01-03", speed=0, limits_scale=60) as process:
        yield process


def test_it_serves_the_files_it_is_given(process):
    client = binance(process)
    for timeframe in ("1m", "15m"):
        frame = make_frame(400 if timeframe == "15m" else 6000, timeframe=timeframe)
        told = client.fetch_ohlcv(BTC, timeframe, START_MS, 100)
        assert told == [list(row) for row in rows(frame.slice(0, 100))]
    assert client.fetch_ohlcv(ETH, "1m")[-1][0] == START_MS + 2 * 86_400_000
    assert len(okx(process).fetch_funding_rate_history(BTC, START_MS, 100)) == 7
    assert set(client.markets) == {BTC, ETH}


def test_its_clock_price_and_limits_are_set_from_outside(process):
    client, control = binance(process), process.control
    client.load_markets()
    at_ms = control.post("clock", now_ms=START_MS + 200 * 900_000, skew_ms=5000)["now_ms"]
    assert client.fetch_time() == at_ms + 5000
    control.post("price", symbol="ETHUSDT", price=1234.5)
    assert client.fetch_ticker(ETH)["last"] == 1234.5
    assert control.get("stats")["turned_away"] == 0
    assert control.get("limits")["binance"]["weight"] >= 1
    control.delete("calls")
    client.fetch_ohlcv(ETH, "15m", limit=7)
    assert control.get("calls") == {KLINES: 1}
    assert control.get("calls", route=KLINES) == [{"symbol": "ETHUSDT", "interval": "15m", "limit": "7"}]
    control.script(KLINES, "status", status=503, body="away", symbol="BTCUSDT")
    with pytest.raises(ccxt.ExchangeNotAvailable):
        client.fetch_ohlcv(BTC)
    assert [struck["kind"] for struck in control.get("faults")] == ["status"]
    control.delete("faults")
    before = control.post("clock", speed=1000.0)["now_ms"]
    assert control.get("clock")["now_ms"] > before
    control.post("clock", speed=0)


def test_it_turns_away_by_default_and_not_when_told(process):
    client = okx(process)
    for enforce in (True, False):
        process.control.post("limits", enforce=enforce)
        outcome = set()
        for _ in range(400):
            try:
                client.fetch_time()
                outcome.add("answered")
            except ccxt.RateLimitExceeded:
                outcome.add("turned away")
                break
        assert outcome == ({"answered", "turned away"} if enforce else {"answered"})
    process.control.post("limits", enforce=True)


@pytest.mark.parametrize("action", ["drop", "disconnect"])
async def test_its_sockets_are_ended_from_outside(process, action):
    client = binance(process, ccxt.pro)
    process.control.post("rate", per_s=50)
    await asyncio.wait_for(client.watch_ticker(BTC), 10)
    assert process.control.get("stats")["sockets"] == 1
    process.control.post("sockets", action=action, route="/market/ws")
    with pytest.raises(ccxt.NetworkError):
        for _ in range(200):
            await asyncio.wait_for(client.watch_ticker(BTC), 10)
    await client.close()


def test_the_control_port_says_what_it_does_not_take(process):
    for name, told in (("sockets", {"action": "shout"}), ("price", {"symbol": "BTCUSDT"}), ("clock", {"now_ms": "noon"})):
        with pytest.raises(HTTPError) as caught:
            process.control.post(name, **told)
        assert caught.value.code == 400


def test_it_ends_with_the_program_that_started_it(folder):
    with VenueProcess(data=folder, symbols="BTC") as venue:
        venue.process.stdin.close()
        assert venue.process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--symbols", ""], "--symbols: name at least one"),
        (["--data", "/nowhere", "--symbols", "BTC"], "--data: /nowhere holds no candles of BTC"),
        (["--now", "yesterday"], "--now: 'yesterday' is no moment"),
    ],
)
def test_it_says_in_one_line_what_it_cannot_serve(arguments, said):
    done = subprocess.run([sys.executable, "-m", "tests.venue", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_generated_markets_have_steps_that_suit_their_price():
    state = history.generate(history.named("30"), START_MS, days=1, ahead_days=1, seed=7)
    assert len(state.instruments) == 30
    assert (state.instruments["BTCUSDT"].tick_size, state.instruments["BTCUSDT"].step_size) == ("0.1", "0.001")
    for wire_id, instrument in state.instruments.items():
        price = state.price(wire_id)
        assert 1e-6 < float(instrument.tick_size) / price < 2e-4
        assert float(instrument.step_size) * price < 100
        assert len(state.bars(wire_id, "1m", START_MS - 3_600_000, None, 100)) == 61
        assert state.bars(wire_id, "15m", START_MS, None, 1)[0][0] == START_MS // parse("15m") * parse("15m")
