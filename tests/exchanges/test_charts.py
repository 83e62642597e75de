"""Windows of closed bars with indicators that do not depend on where the window begins."""

import numpy as np
import pytest

from exchanges import candles, charts, timeframes
from exchanges.ports import CandleFrame
from tests.exchanges.frames import START_MS, make_frame, rows

pytestmark = pytest.mark.django_db

BAR_MS = 900_000


def stored(frame: CandleFrame):
    market = candles.find_market(frame.symbol)
    candles.ingest(market, frame, provenance="file")
    return market


def test_it_brings_the_newest_bars_and_older_ones_by_their_end():
    frame = make_frame(100)
    market = stored(frame)
    newest = charts.window(market, "15m", limit=30)
    assert rows(newest.frame) == rows(frame)[70:]
    assert newest.has_older
    older = charts.window(market, "15m", limit=90, end_ms=int(newest.frame.timestamp[0]))
    assert rows(older.frame) == rows(frame)[:70]
    assert not older.has_older


def test_start_and_end_are_as_ranges_are():
    frame = make_frame(100)
    market = stored(frame)
    found = charts.window(market, "15m", limit=50, start_ms=START_MS + 10 * BAR_MS, end_ms=START_MS + 20 * BAR_MS, indicators=["rsi"])
    assert rows(found.frame) == rows(frame)[10:20]
    assert found.has_older
    assert len(found.values["rsi"]) == 10


def test_indicators_are_those_of_the_whole_history():
    """Computed from 300 bars before the window they differ from the whole history's by less than a millionth."""
    import talib

    frame = make_frame(2_000)
    market = stored(frame)
    found = charts.window(market, "15m", limit=50, indicators=["rsi", "macd"])
    assert list(found.values) == ["rsi", "macd", "macd_signal", "macd_histogram"]
    whole = [talib.RSI(frame.close, 14), *talib.MACD(frame.close, 12, 26, 9)]
    for column, expected in zip(found.values.values(), whole, strict=True):
        np.testing.assert_allclose(column, expected[-50:], rtol=1e-6, atol=1e-6)


def test_indicators_are_unknown_while_the_history_is_too_short():
    found = charts.window(stored(make_frame(40)), "15m", limit=50, indicators=["rsi", "macd"])
    assert np.flatnonzero(np.isfinite(found.values["rsi"]))[0] == 14
    assert np.flatnonzero(np.isfinite(found.values["macd_signal"]))[0] == 33


def test_higher_frames_hold_closed_bars_only():
    frame = make_frame(103)
    market = stored(frame)
    found = charts.window(market, "1h", limit=100)
    assert rows(found.frame) == rows(timeframes.aggregate(frame, "1h"))
    assert found.frame.timestamp[-1] == START_MS + 24 * 4 * BAR_MS


@pytest.mark.parametrize("timeframe", ["15m", "1h"])
def test_a_hole_longer_than_the_window_is_not_the_end(timeframe):
    early, late = make_frame(40), make_frame(40, start_ms=START_MS + 4_000 * BAR_MS, seed=8)
    market = stored(early)
    candles.ingest(market, late, provenance="file")
    first_late = int(late.timestamp[0])
    older = charts.window(market, timeframe, limit=5, end_ms=first_late)
    assert rows(older.frame) == rows(timeframes.aggregate(early, timeframe))[-5:]


def test_a_market_without_bars_has_an_empty_window():
    found = charts.window(candles.find_market("BTC/USDT:USDT"), "1h", limit=5, indicators=["rsi", "macd"])
    assert (len(found.frame), found.has_older) == (0, False)
    assert [len(column) for column in found.values.values()] == [0] * 4
    market = stored(make_frame(10))
    assert len(charts.window(market, "15m", limit=5, end_ms=START_MS).frame) == 0


def test_it_offers_what_is_stored_or_can_be_derived():
    market = stored(make_frame(10, timeframe="1h"))
    assert charts.offered(market, ("1m", "15m", "1h", "4h", "1d")) == ["1h", "4h", "1d"]
    assert charts.offered(candles.find_market("ETH/USDT:USDT"), ("1m", "1h")) == []
