"""Closed bars: all of them, once, in order, from the first that the venue has."""

import pytest

from exchanges import timeframes
from tests.exchanges.conformance.listed import BARS, BTC, DAY_MS, FIRST_MS, MUTE, NEW, NOW_MS, QUARTER_MS
from tests.exchanges.frames import rows


def history(adapter, symbol: str, timeframe: str, since_ms: int) -> list[tuple[float, ...]]:
    """Every bar from since_ms on, page by page, as a backfill asks for them."""
    found: list[tuple[float, ...]] = []
    page = adapter.page(symbol)
    while len(frame := adapter.candles(symbol, timeframe, since_ms, page)):
        assert len(frame) <= page
        assert int(frame.timestamp[0]) >= since_ms
        found += rows(frame)
        since_ms = int(frame.timestamp[-1]) + timeframes.parse(timeframe)
    return found


def test_it_gives_the_whole_history_bar_by_bar(case, adapter, state):
    symbol = case.symbol(BTC)
    assert history(adapter, symbol, "15m", FIRST_MS) == rows(state.closed("BTCUSDT", "15m"))
    assert history(adapter, symbol, "15m", FIRST_MS + 1) == rows(state.closed("BTCUSDT", "15m"))[1:]


def test_it_gives_higher_frames_that_begin_with_the_day_in_utc(case, adapter, state):
    for timeframe in {"1h", "4h", "6h", "1d"} & set(adapter.timeframes(case.symbol(BTC))):
        told = history(adapter, case.symbol(BTC), timeframe, FIRST_MS)
        assert {int(row[0]) % timeframes.parse(timeframe) for row in told} == {0}
        whole = timeframes.aggregate(state.closed("BTCUSDT", "15m"), timeframe)
        assert [row[0] for row in told] == whole.timestamp.tolist()
        assert [row[4] for row in told] == whole.close.tolist()


def test_it_gives_no_more_than_asked_for_and_no_open_bar(case, adapter):
    symbol = case.symbol(BTC)
    assert adapter.candles(symbol, "15m", FIRST_MS, 7).timestamp.tolist() == [FIRST_MS + i * QUARTER_MS for i in range(7)]
    assert len(adapter.candles(symbol, "15m", FIRST_MS, 1_000_000)) == min(adapter.page(symbol), BARS)
    newest = adapter.candles(symbol, "15m", NOW_MS - 3 * QUARTER_MS, 100)
    assert int(newest.timestamp[-1]) + QUARTER_MS <= NOW_MS
    assert len(newest) == 2


def test_it_gives_candles_as_soon_as_they_have_closed(case, adapter, state):
    assert not len(adapter.candles(case.symbol(BTC), "15m", NOW_MS // QUARTER_MS * QUARTER_MS, 10))
    assert not len(adapter.candles(case.symbol(BTC), "15m", NOW_MS + 10 * DAY_MS, 10)), "and asks nothing of the future"


def test_it_finds_where_a_market_begins(case, adapter):
    assert adapter.first_candle_ms(case.symbol(BTC), "15m") == FIRST_MS
    assert adapter.first_candle_ms(case.symbol(NEW), "15m") == FIRST_MS + (BARS - 4) * QUARTER_MS
    assert adapter.first_candle_ms(case.symbol(MUTE), "15m") is None
    if "1d" not in case.frames:
        return
    assert adapter.first_candle_ms(case.symbol(BTC), "1d") == -(-FIRST_MS // DAY_MS) * DAY_MS
    assert adapter.first_candle_ms(case.symbol(NEW), "1h") in (None, -(-(FIRST_MS + (BARS - 4) * QUARTER_MS) // 3_600_000) * 3_600_000)


def test_it_gives_nothing_or_the_first_bars_before_the_listing(case, adapter):
    frame = adapter.candles(case.symbol(BTC), "15m", FIRST_MS - 3_000 * DAY_MS, 50)
    assert not len(frame) or int(frame.timestamp[0]) == FIRST_MS
    across = adapter.candles(case.symbol(BTC), "15m", FIRST_MS - 10 * QUARTER_MS, 50)
    assert int(across.timestamp[0]) == FIRST_MS


def test_it_does_not_take_a_hole_for_the_end(case, adapter, state):
    frame = state.candles["BTCUSDT", "15m"]
    kept = (frame.timestamp < FIRST_MS + 30 * QUARTER_MS) | (frame.timestamp >= FIRST_MS + 60 * QUARTER_MS)
    state.candles["BTCUSDT", "15m"] = type(frame)(frame.symbol, "15m", *(column[kept] for column in frame[2:]))
    found = adapter.candles(case.symbol(BTC), "15m", FIRST_MS + 20 * QUARTER_MS, 100).timestamp.tolist()
    assert found[:11] == [FIRST_MS + i * QUARTER_MS for i in (*range(20, 30), 60)]
    assert int(adapter.candles(case.symbol(BTC), "15m", FIRST_MS + 40 * QUARTER_MS, 100).timestamp[0]) == FIRST_MS + 60 * QUARTER_MS


@pytest.mark.parametrize(("kind", "how"), [("duplicate", {"row": 3, "count": 4}), ("disorder", {"row": 20}), ("duplicate", {"row": 0})])
def test_it_puts_a_page_in_order(case, adapter, venue, state, kind, how):
    adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 1)
    venue.script(case.history, kind, **how)
    found = rows(adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 50))
    assert len({row[0] for row in found}) == len(found)
    assert found == rows(state.closed("BTCUSDT", "15m"))[: len(found)]
    assert len(found) >= 45


def test_it_believes_an_empty_page_only_twice(case, adapter, venue, state):
    adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 1)
    venue.script(case.history, "empty")
    assert rows(adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 50)) == rows(state.closed("BTCUSDT", "15m"))[:50]
