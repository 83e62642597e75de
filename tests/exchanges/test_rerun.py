from itertools import pairwise
from threading import Event

import numpy as np
import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import OperationalError

from exchanges import candles, events, streams, timeframes
from exchanges.live import Bar, Feed, Tick
from exchanges.streams import publishing, rerun
from exchanges.streams.shards import Claim
from tests.exchanges.frames import START_MS, make_frame, replaced
from tests.exchanges.trading import make_position
from traderai.context import data_banner
from traderai.lib import clock

QUARTER_MS, MINUTE_MS = 900_000, 60_000
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
BARS = 200
END_MS = START_MS + BARS * QUARTER_MS


@pytest.fixture(autouse=True)
def run_dir(settings, tmp_path):
    settings.RUN_DIR = tmp_path


@pytest.fixture
def btc(db):
    """Two hundred quarters from the venue, the first eight of them in minutes, too."""
    minutes = make_frame(8 * 15, timeframe="1m")
    market = candles.find_market(BTC)
    candles.ingest(market, minutes, provenance="venue")
    head, tail = timeframes.aggregate(minutes, "15m"), make_frame(BARS).slice(8, BARS)
    candles.ingest(market, head, provenance="venue")
    candles.ingest(market, tail, provenance="venue")
    return market


@pytest.fixture
def told(monkeypatch):
    """Everything published."""
    heard: list = []
    publish = publishing.publish

    def listen(updates):
        heard.extend(updates)
        publish(updates)

    monkeypatch.setattr(publishing, "publish", listen)
    return heard


def play(tracks, *, speed: float = 60.0, beat_ms: int = 250, until_ms: int | None = None, **how) -> int:
    """The whole replay at once, on a wall clock that stands beat_ms later each time it is read for a beat."""
    wall = {"ms": 2 * 10**12}

    def wall_ms() -> int:
        wall["ms"] += beat_ms // 2
        return wall["ms"]

    stop = Event()
    return rerun.play(tracks, speed=speed, stop=stop, beat_s=0.0, wall_ms=wall_ms, **how)


def tracks(*markets, start_ms: int = START_MS, until_ms: int = START_MS + 10 * QUARTER_MS):
    return rerun.tracks(markets, start_ms=start_ms, until_ms=until_ms)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_for_a_moment_does_not_end_it(btc, told, monkeypatch):
    monkeypatch.setattr(rerun, "DATABASE_PAUSE_S", 0.0)
    at, broken = rerun.Track.at, iter([True, False, True])

    def fail(track, now_ms):
        if next(broken, False):
            raise OperationalError("the connection is closed")
        return at(track, now_ms)

    monkeypatch.setattr(rerun.Track, "at", fail)
    assert play(tracks(btc)) == START_MS + 10 * QUARTER_MS
    assert next(broken, None) is None
    assert any(isinstance(update, Tick) for update in told)


def test_it_tells_stored_bars_as_a_live_stream_would(btc, told):
    assert play(tracks(btc)) == START_MS + 10 * QUARTER_MS
    prices = [update for update in told if isinstance(update, Tick)]
    assert all(later.ts_ms > earlier.ts_ms for earlier, later in pairwise(prices))
    assert {update.source for update in told} == {"replay"}, "history from the venue is no live price of the venue"
    stored = candles.read(btc, "15m")
    for bar in (update for update in told if isinstance(update, Bar) and update.timeframe == "15m"):
        row = (bar.timestamp - START_MS) // QUARTER_MS
        assert bar.timestamp == stored.timestamp[row]
        assert stored.low[row] <= bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high <= stored.high[row]
        assert bar.open == stored.open[row]
        assert not bar.closed
    minutes = [update for update in told if isinstance(update, Bar) and update.timeframe == "1m"]
    assert {(bar.timestamp - START_MS) // MINUTE_MS for bar in minutes} == set(range(8 * 15)), "minutes as far as they are stored"
    quarters = {update.timestamp for update in told if isinstance(update, Bar) and update.timeframe == "15m"}
    assert quarters == set(stored.timestamp[:10].tolist())


def test_the_quarter_is_made_of_its_minutes(btc):
    (track,) = tracks(btc)
    now_ms = START_MS + QUARTER_MS + 7 * MINUTE_MS + 30_000
    tick, minute, quarter = track.at(now_ms)
    inside = candles.read(btc, "1m", start_ms=START_MS + QUARTER_MS, end_ms=START_MS + QUARTER_MS + 7 * MINUTE_MS)
    assert tick.price == minute.close == quarter.close
    assert quarter.high == max(inside.high.max(), minute.high)
    assert quarter.low == min(inside.low.min(), minute.low)
    assert quarter.volume == pytest.approx(inside.volume.sum() + minute.volume)


def test_it_knows_the_change_of_a_day_where_there_is_one(btc):
    (track,) = tracks(btc, until_ms=END_MS)
    assert track.at(START_MS + QUARTER_MS)[0].change_pct is None
    now_ms = START_MS + 100 * QUARTER_MS
    tick = track.at(now_ms)[0]
    before = candles.read(btc, "15m").open[4]
    assert tick.change_pct == pytest.approx((tick.price / before - 1) * 100, abs=1e-3)


def test_it_says_nothing_in_a_hole_of_the_history(db):
    frame = make_frame(20)
    kept = np.r_[0:5, 10:20]
    market = candles.find_market(BTC)
    candles.ingest(market, replaced(frame, **{name: getattr(frame, name)[kept] for name in frame._fields[2:]}), provenance="file")
    (track,) = tracks(market, until_ms=START_MS + 20 * QUARTER_MS)
    assert track.at(START_MS + 4 * QUARTER_MS)
    assert track.at(START_MS + 7 * QUARTER_MS) == []
    assert track.at(START_MS + 10 * QUARTER_MS)


def test_it_stores_nothing_scans_nothing_and_moves_no_traders_price(btc, told):
    closed: list = []

    def hear(**payload):
        closed.append(payload)

    events.candle_closed.connect(hear)
    before, rows = streams.latest_tick(btc), len(candles.read(btc, "15m"))
    seen = []

    def during(updates, publish=publishing.publish):
        publish(updates)
        seen.append(streams.latest_tick(btc))

    publishing.publish, kept = during, publishing.publish
    try:
        play(tracks(btc), speed=600)
    finally:
        publishing.publish = kept
        events.candle_closed.disconnect(hear)
    assert seen
    assert set(seen) == {before}, "what traders are filled at is the close of the newest stored bar all the time"
    assert closed == []
    assert len(candles.read(btc, "15m")) == rows


def test_the_pages_say_replay_while_it_runs_and_forget_it_afterwards(btc, told):
    banners = []

    class Watch(Event):
        def wait(self, timeout=None) -> bool:
            cache.delete("data_banner")
            banners.append(data_banner()["kind"])
            return super().wait(0.0)

    wall = iter(range(2 * 10**12, 3 * 10**12, 5_000))
    rerun.play(tracks(btc), speed=600, stop=Watch(), wall_ms=lambda: next(wall))
    assert set(banners) == {"replay"}
    assert any(isinstance(update, Feed) and update.state == "live" for update in told)
    cache.delete("data_banner")
    assert data_banner()["kind"] == "venue"
    assert publishing.newest([btc.pk]) == []


def test_it_labels_a_generated_market_as_simulated(db, told):
    market = candles.find_market(ETH)
    candles.ingest(market, make_frame(10, symbol=ETH), provenance="simulated")
    play(tracks(market), speed=600)
    assert {update.source for update in told} == {"simulated"}


def test_it_leaves_markets_with_open_positions_alone(btc, alice, told):
    make_position(alice, btc)
    with pytest.raises(rerun.CannotReplay, match=r"BTC/USDT:USDT has an open position.*name other markets") as caught:
        tracks(btc)
    assert caught.value.field == "symbols"


def test_it_stops_a_market_in_which_somebody_opens_a_position(btc, alice, told):
    said: list[str] = []
    playing = tracks(btc)
    make_position(alice, btc)
    play(playing, say=said.append)
    assert said == ["A position was opened in BTC/USDT:USDT: not played any further"]
    assert [update for update in told if isinstance(update, Feed)] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"since": "2030-01-01"}, "since: lies at or after the end"),
        ({"since": "2023-01-01", "until": "2022-01-01"}, "since: lies at or after the end"),
        ({"since": "2010-01-01", "until": "2011-01-01"}, "since: none of 1 markets has stored 15m bars in that time"),
        ({"since": "yesterday"}, "--since: 'yesterday' is no date"),
        ({"since": "2023-01-01", "symbols": "BTCUSD"}, "symbols: 'BTCUSD' is not listed on binance; did you mean"),
        ({"since": "2023-01-01", "venue": "nowhere"}, "venue: 'nowhere' is not known"),
        ({"since": "2023-01-01", "once": True}, "give one of them"),
        ({"until": "2023-01-01", "loop": True}, "--until and --loop belong to stored history"),
        ({"since": "2023-01-01", "speed": 0.0}, "speed: 0 is not between"),
    ],
)
def test_it_says_what_is_wrong_with_what_was_asked(btc, options, message):
    with pytest.raises(CommandError, match=message):
        call_command("replay", **options)


def test_it_plays_nothing_that_is_streamed_live(btc):
    with Claim("binance"), pytest.raises(CommandError, match="another process streams or replays part 1/1 of binance already"):
        call_command("replay", since="2023-01-01")


def test_the_command_plays_to_the_end(btc, capsys):
    since, until = (f"{clock.from_ms(START_MS + bars * QUARTER_MS):%Y-%m-%dT%H:%M}" for bars in (0, 20))
    call_command("replay", since=since, until=until, speed=100_000.0)
    said = capsys.readouterr().out
    assert said.startswith("REPLAY of stored history: 1 markets of binance from")
    assert "The history has ended at" in said
