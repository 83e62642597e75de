import os
import signal
import subprocess
import sys
import time
from threading import Event

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st

from exchanges import candles, events, streams
from exchanges.streams import path, replay
from tests.exchanges.frames import START_MS, make_frame, replaced, rows
from tests.listening import heard
from traderai.lib import groups
from traderai.lib.errors import UserError

QUARTER_MS = 900_000
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


@pytest.fixture
def btc(db):
    market = candles.find_market(BTC)
    candles.ingest(market, make_frame(40).slice(0, 20), provenance="simulated")
    return market


@pytest.fixture
def closed():
    heard: list[dict] = []

    def hear(**payload):
        heard.append({key: payload[key] for key in ("market_id", "symbol", "timeframe", "timestamp")})

    events.candle_closed.connect(hear)
    yield heard
    events.candle_closed.disconnect(hear)


def test_it_tells_listeners_and_the_cache_the_newest_price(btc):
    tick = streams.Tick(btc.pk, BTC, 41_000.5, START_MS + 10**9, "venue")
    messages = heard(groups.LIVE, 1, lambda: streams.publish_tick(tick))
    assert messages == [{"type": "live", "updates": [{"type": "tick", **tick._asdict()}]}]
    assert streams.latest_tick(btc) == tick


def test_it_falls_back_to_the_newest_stored_close(btc):
    tick = streams.latest_tick(btc)
    assert tick.price == make_frame(40).close[19]
    assert tick.ts_ms == START_MS + 20 * QUARTER_MS
    assert tick.source == "simulated"
    streams.publish_tick(streams.Tick(btc.pk, BTC, 1.0, START_MS, "simulated"))
    assert streams.latest_tick(btc) == tick, "a price older than the bar is not the newest"


@pytest.mark.django_db
def test_it_knows_no_price_of_a_market_without_history():
    assert streams.latest_tick(candles.find_market(ETH)) is None


def test_it_stores_a_closed_bar_and_says_so_after_commit(btc, closed, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        streams.close_bar(btc, make_frame(40).slice(20, 21))
        assert closed == []
    assert closed == [{"market_id": btc.pk, "symbol": BTC, "timeframe": "15m", "timestamp": START_MS + 20 * QUARTER_MS}]
    assert candles.last_open_ms(btc, "15m") == START_MS + 20 * QUARTER_MS


@pytest.mark.django_db
def test_it_does_not_begin_a_history_with_a_live_bar(closed):
    with pytest.raises(streams.NoHistory, match="import or backfill it first"):
        streams.close_bar(candles.find_market(ETH), make_frame(1, symbol=ETH))
    assert closed == []


def test_it_reads_a_feed_as_it_was_written(tmp_path):
    frames = [make_frame(5), make_frame(3, symbol=ETH, seed=1)]
    streams.write_feed(tmp_path, [make_frame(5, symbol="SOL/USDT:USDT")])
    streams.write_feed(tmp_path, frames)
    found = {frame.symbol: frame for frame in streams.read_feed(tmp_path)}
    assert {symbol: rows(frame) for symbol, frame in found.items()} == {frame.symbol: rows(frame) for frame in frames}
    assert {frame.timeframe for frame in found.values()} == {"15m"}


@pytest.mark.django_db(transaction=True)
def test_it_plays_every_bar_through_the_live_path_and_stores_it(closed):
    btc, eth = candles.find_market(BTC), candles.find_market(ETH)
    frames = {btc: make_frame(40), eth: make_frame(40, symbol=ETH, seed=3)}
    for market, frame in frames.items():
        candles.ingest(market, frame.slice(0, 30), provenance="simulated")
    playing = replay.tracks(list(frames.values()))
    assert [len(track.frame) for track in playing] == [10, 10]
    wall = iter(range(10**13, 10**14, 500))
    ends: list[int] = []
    played = replay.play(playing, speed=1800, stop=Event(), ticks_per_second=1000, on_bar=ends.append, wall_ms=lambda: next(wall))
    assert played == 10
    assert ends == [START_MS + i * QUARTER_MS for i in range(31, 41)]
    for market, frame in frames.items():
        assert rows(candles.read(market, "15m")) == rows(frame)
    assert len(closed) == 20
    assert [event["symbol"] for event in closed[:4]] == [BTC, ETH, BTC, ETH]
    assert streams.latest_tick(btc).price == frames[btc].close[39]
    assert replay.tracks(list(frames.values())) == [], "what is stored is not played again"


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_busy_holds_the_feed_up_and_costs_no_bar(closed, monkeypatch):
    btc, frame = candles.find_market(BTC), make_frame(34)
    candles.ingest(btc, frame.slice(0, 30), provenance="simulated")
    monkeypatch.setattr(replay, "DATABASE_PAUSE_S", 0.01)
    close_bars, refused = streams.close_bars, iter([True, True, False, True, False, False, False])

    def close(bars):
        if next(refused):
            raise OperationalError("database is locked")
        close_bars(bars)

    monkeypatch.setattr(streams, "close_bars", close)
    wall = iter(range(10**13, 10**14, 500))
    assert replay.play(replay.tracks([frame]), speed=1800, stop=Event(), ticks_per_second=1000, wall_ms=lambda: next(wall)) == 4
    assert rows(candles.read(btc, "15m")) == rows(frame)
    assert len(closed) == 4


def test_it_plays_at_the_wall_clock_once_it_has_caught_up():
    playing = replay.ReplayClock(market_ms=1_000_000, wall_ms=2_000_000, speed=60)
    assert playing.at(2_000_000) == 1_000_000
    assert playing.at(2_010_000) == 1_600_000
    assert playing.at(2_016_950) == 2_016_950
    assert playing.at(2_500_000) == 2_500_000
    ahead = replay.ReplayClock(market_ms=3_000_000, wall_ms=2_000_000, speed=60)
    assert ahead.at(2_000_000) == 2_000_000


@given(share=st.floats(0, 1), seed=st.integers(0, 50))
def test_it_never_leaves_the_bar_and_ends_at_its_close(share, seed):
    bar = make_frame(1, seed=seed)
    assert bar.low[0] <= path.price_along(bar, share) <= bar.high[0]
    assert path.price_along(bar, 0.0) == bar.open[0]
    assert path.price_along(bar, 1.0) == pytest.approx(bar.close[0])


@given(share=st.floats(0, 0.999), seed=st.integers(0, 50))
def test_it_shows_the_bar_as_far_as_it_has_come(share, seed):
    bar = make_frame(1, seed=seed)
    now = path.forming(bar, share, 0.01)
    assert bar.low[0] <= now.low <= min(now.open, now.close) <= max(now.open, now.close) <= now.high <= bar.high[0]
    assert now.volume == pytest.approx(bar.volume[0] * share)
    assert path.forming(bar, 1.0, 0.01) == tuple(column[0] for column in bar[3:])


def test_it_visits_both_extremes_the_near_one_first():
    rising = replaced(make_frame(1), open=np.array([10.0]), high=np.array([14.0]), low=np.array([9.0]), close=np.array([13.0]))
    falling = replaced(rising, open=np.array([13.0]), close=np.array([10.0]))
    assert [path.price_along(rising, share) for share in path.CORNERS] == [10.0, 9.0, 14.0, 13.0]
    assert [path.price_along(falling, share) for share in path.CORNERS] == [13.0, 14.0, 9.0, 10.0]


def test_it_stops_when_told_and_leaves_the_open_bar_alone(btc):
    stop = Event()
    stop.set()
    assert replay.play(replay.tracks([make_frame(40)]), speed=60, stop=stop) == 0
    assert candles.last_open_ms(btc, "15m") == START_MS + 19 * QUARTER_MS


@pytest.mark.django_db
@pytest.mark.parametrize(("speed", "message"), [(0, "speed: 0 is not between"), (-5, "speed: -5"), (1e9, "not between")])
def test_it_refuses_a_speed_that_makes_no_sense(btc, speed, message):
    with pytest.raises(UserError, match=message):
        replay.play(replay.tracks([make_frame(40)]), speed=speed, stop=Event())


@pytest.mark.django_db
def test_it_says_what_is_wrong_with_a_feed(tmp_path):
    with pytest.raises(CommandError, match="does not exist; `make demo` writes one"):
        call_command("replay", folder=tmp_path / "none", once=True)
    with pytest.raises(CommandError, match=r"holds no \.parquet feed"):
        call_command("replay", folder=tmp_path, once=True)
    (tmp_path / "BTC.parquet").write_bytes(b"nothing")
    with pytest.raises(CommandError, match="is not readable Parquet"):
        call_command("replay", folder=tmp_path, once=True)
    streams.write_feed(tmp_path, [make_frame(5)])
    with pytest.raises(CommandError, match="has no 15m history to continue"):
        call_command("replay", folder=tmp_path, once=True)


def test_it_labels_what_it_plays_and_stops_cleanly_on_a_signal(tmp_path):
    env = {**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path}/replay.sqlite3", "REDIS_URL": ""}
    prepare = (
        "import django; django.setup(); from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
        "from exchanges import candles, streams; from tests.exchanges.frames import make_frame; from pathlib import Path\n"
        "from traderai.lib import clock\n"
        f"start = clock.now_ms() // {QUARTER_MS} * {QUARTER_MS} - 50 * {QUARTER_MS}\n"
        "frame = make_frame(60, start_ms=start); market = candles.find_market(frame.symbol)\n"
        "candles.ingest(market, frame.slice(0, 10), provenance='simulated')\n"
        f"streams.write_feed(Path(r'{tmp_path}') / 'demo' / 'feed', [frame])\n"
    )
    env["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    subprocess.run([sys.executable, "-c", prepare], env=env, check=True)
    playing = subprocess.Popen([sys.executable, "manage.py", "replay", "--speed", "600"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        first = playing.stdout.readline()
        time.sleep(2)
        playing.send_signal(signal.SIGTERM)
        rest, _ = playing.communicate(timeout=60)
    finally:
        playing.kill()
    assert first.startswith("SIMULATED MARKET: 1 markets from")
    assert "Stopped after" in rest
    assert playing.returncode == 0
