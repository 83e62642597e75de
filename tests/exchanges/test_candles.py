import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges import candles
from exchanges.models import Candle, Market, Provenance
from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import aggregate
from tests.exchanges.frames import START_MS, make_frame, replaced, rows
from traderai.lib import clock
from traderai.lib.errors import UserError

pytestmark = pytest.mark.django_db
QUARTER_MS = 900_000


@pytest.fixture
def btc():
    return candles.find_market("BTC/USDT:USDT")


def changed(frame: CandleFrame, **changes: dict[int, float]) -> CandleFrame:
    """The frame with single values replaced: changed(frame, low={3: -1.0})."""
    columns = {name: getattr(frame, name).copy() for name in changes}
    for name, values in changes.items():
        for row, value in values.items():
            columns[name][row] = value
    return replaced(frame, **columns)


def test_it_stores_bars_and_reads_the_same_numbers_back(btc):
    frame = make_frame(200)
    report = candles.ingest(btc, frame, provenance="file")
    assert (report.rows, report.inserted, report.updated, report.unchanged) == (200, 200, 0, 0)
    assert rows(candles.read(btc, "15m")) == rows(frame)
    assert candles.last_open_ms(btc, "15m") == frame.timestamp[-1]


def test_it_changes_nothing_when_the_same_bars_come_again(btc):
    frame = make_frame(50)
    candles.ingest(btc, frame, provenance="file")
    report = candles.ingest(btc, frame, provenance="file")
    assert (report.inserted, report.updated, report.unchanged) == (0, 0, 50)


def test_it_corrects_only_the_bars_that_differ(btc):
    candles.ingest(btc, make_frame(60).slice(0, 50), provenance="file")
    longer = changed(make_frame(60), volume={7: 9999.0})
    report = candles.ingest(btc, longer, provenance="file")
    assert (report.inserted, report.updated, report.unchanged) == (10, 1, 49)
    assert candles.read(btc, "15m").volume[7] == 9999.0


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60)), min_size=1, max_size=5))
def test_it_holds_each_bar_once_however_the_pieces_overlap(btc, parts):
    Candle.objects.all().delete()
    frame = make_frame(120)
    held: set[int] = set()
    for start, count in parts:
        piece = frame.slice(start, start + count)
        report = candles.ingest(btc, piece, provenance="file")
        assert report.inserted == len(set(piece.timestamp.tolist()) - held)
        assert report.updated == 0
        held |= set(piece.timestamp.tolist())
    assert candles.read(btc, "15m").timestamp.tolist() == sorted(held)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("open", float("nan"), "not a number"),
        ("close", float("inf"), "not a number"),
        ("low", -5.0, "must be above 0"),
        ("open", 0.0, "must be above 0"),
        ("high", 1.0, "below the bar's low"),
        ("low", 99_999.0, "below the bar's low"),
        ("volume", -1.0, "must not be negative"),
        ("volume", float("nan"), "not a number"),
        ("timestamp", START_MS + 7, "not on the 15m grid"),
        ("timestamp", START_MS // 1000, "before 2009"),
        ("timestamp", 4_102_444_800_000, "lies in the future"),
    ],
)
def test_it_names_the_bad_row_and_leaves_the_database_as_it_was(btc, field, value, problem):
    frame = changed(make_frame(20), **{field: {4: value}})
    with pytest.raises(candles.BadRows, match=problem) as caught:
        candles.ingest(btc, frame, provenance="file")
    assert caught.value.message.startswith("row 5, ")
    assert "1 bad row of 20" in caught.value.message
    assert "--skip-bad" in caught.value.message
    assert not Candle.objects.exists()
    assert Market.objects.get(pk=btc.pk).provenance == Provenance.NONE


def test_it_imports_the_good_rows_and_reports_the_others_when_told_to_skip(btc):
    frame = changed(make_frame(20), low={4: -5.0}, volume={9: -1.0})
    report = candles.ingest(btc, frame, provenance="file", skip_bad=True)
    assert report.inserted == 18
    assert [(bad.row, bad.field, bad.value) for bad in report.bad] == [(5, "low", -5.0), (10, "volume", -1.0)]


def test_it_refuses_a_file_without_one_good_row_even_when_told_to_skip(btc):
    with pytest.raises(candles.BadRows, match="3 bad rows of 3"):
        candles.ingest(btc, replaced(make_frame(3), volume=np.full(3, -1.0)), provenance="file", skip_bad=True)


def test_it_refuses_a_bar_that_is_still_open(btc):
    frame = make_frame(3, start_ms=clock.now_ms() // QUARTER_MS * QUARTER_MS - 2 * QUARTER_MS)
    with pytest.raises(candles.BadRows, match="has not closed yet"):
        candles.ingest(btc, frame, provenance="venue")


def test_it_sorts_rows_and_says_so(btc):
    frame = make_frame(10)
    shuffled = CandleFrame(frame.symbol, "15m", *(column[[3, 1, 0, 2, 9, 8, 7, 6, 5, 4]] for column in frame[2:]))
    report = candles.ingest(btc, shuffled, provenance="file")
    assert report.notes == ("rows were not in order of time; sorted",)
    assert rows(candles.read(btc, "15m")) == rows(frame)


def test_it_merges_identical_duplicates_and_refuses_conflicting_ones(btc):
    frame = make_frame(10)
    doubled = CandleFrame(frame.symbol, "15m", *(np.concatenate([column, column[2:4]]) for column in frame[2:]))
    report = candles.ingest(btc, doubled, provenance="file")
    assert report.inserted == 10
    assert "2 identical duplicate rows merged" in report.notes
    with pytest.raises(candles.BadRows, match="more than once with different values") as caught:
        candles.ingest(btc, changed(doubled, volume={11: 1.5}), provenance="file")
    assert [bad.row for bad in caught.value.rows] == [4, 12]


@pytest.mark.parametrize(("first", "second"), [("venue", "file"), ("simulated", "venue"), ("file", "simulated")])
def test_it_never_mixes_two_sources_in_one_series(btc, first, second):
    candles.ingest(btc, make_frame(10), provenance=first)
    with pytest.raises(candles.MixedSources, match="never mixes two; use another venue's market"):
        candles.ingest(btc, make_frame(20), provenance=second)
    with pytest.raises(candles.MixedSources):
        candles.ingest_funding(btc, FundingFrame(np.array([START_MS]), np.array([0.0001])), provenance=second)
    assert Candle.objects.count() == 10


def test_it_begins_anew_from_another_source_once_the_history_is_removed(btc):
    candles.ingest(btc, make_frame(10), provenance="simulated")
    assert candles.forget(btc) == 10
    assert candles.ingest(btc, make_frame(5), provenance="file").inserted == 5


def test_it_derives_higher_frames_from_the_base(btc):
    frame = make_frame(30)
    candles.ingest(btc, frame, provenance="file")
    assert rows(candles.read(btc, "1h")) == rows(aggregate(frame, "1h"))
    assert candles.last_open_ms(btc, "1h") == START_MS + 6 * 3_600_000
    assert len(candles.read(btc, "1h")) == 7
    assert candles.read(btc, "1h", last=2).timestamp.tolist() == [START_MS + 5 * 3_600_000, START_MS + 6 * 3_600_000]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.none() | st.integers(-5, 70), end=st.none() | st.integers(-5, 70), last=st.none() | st.integers(1, 12))
def test_it_cuts_derived_frames_by_the_opens_of_their_own_bars(btc, start, end, last):
    candles.ingest(btc, make_frame(64), provenance="file")
    start_ms = None if start is None else START_MS + start * QUARTER_MS
    end_ms = None if end is None else START_MS + end * QUARTER_MS
    wanted = [
        t
        for t in aggregate(make_frame(64), "1h").timestamp.tolist()
        if (start_ms is None or t >= start_ms) and (end_ms is None or t < end_ms)
    ]
    found = candles.read(btc, "1h", start_ms=start_ms, end_ms=end_ms, last=last)
    assert found.timestamp.tolist() == wanted[-(last or 1000) :]


def test_it_continues_a_stored_higher_frame_from_the_base_where_that_is_newer(btc):
    hours = replaced(aggregate(make_frame(16), "1h"), volume=np.full(4, 5.0))
    candles.ingest(btc, hours, provenance="file")
    candles.ingest(btc, make_frame(26), provenance="file")
    found = candles.read(btc, "1h")
    assert len(found) == 6
    assert found.volume[:4].tolist() == [5.0] * 4
    assert found.volume[4] == make_frame(26).volume[16:20].sum()
    assert candles.last_open_ms(btc, "1h") == START_MS + 5 * 3_600_000


def test_it_derives_from_a_finer_frame_when_there_is_no_base(btc):
    candles.ingest(btc, make_frame(90, timeframe="1m"), provenance="file")
    assert len(candles.read(btc, "15m")) == 6
    assert candles.last_open_ms(btc, "1h") == START_MS


def test_it_never_continues_the_base_from_finer_bars(btc):
    """Streams store minutes that are newer than the newest bar of the base; nobody is to act on that bar before it is stored and told."""
    candles.ingest(btc, make_frame(20), provenance="file")
    minutes = make_frame(30, timeframe="1m", start_ms=START_MS + 20 * QUARTER_MS)
    candles.ingest(btc, minutes, provenance="file")
    assert len(candles.read(btc, "15m", start_ms=START_MS + 20 * QUARTER_MS)) == 0
    assert candles.last_open_ms(btc, "15m") == START_MS + 19 * QUARTER_MS
    assert len(candles.read(btc, "1h")) == 5
    assert candles.read(btc, "5m").timestamp.tolist() == [START_MS + 20 * QUARTER_MS + i * 300_000 for i in range(6)]


def test_it_reads_nothing_as_empty_arrays(btc):
    assert len(candles.read(btc, "15m")) == 0
    assert len(candles.read(btc, "4h", last=5)) == 0
    assert candles.last_open_ms(btc, "1h") is None
    assert candles.funding(btc).rate.tolist() == []


def test_it_keeps_mark_prices_apart_from_traded_ones(btc):
    mark = replaced(make_frame(8, timeframe="1h"), volume=np.zeros(8))
    candles.ingest(btc, mark, provenance="file", price="mark")
    assert len(candles.read(btc, "1h")) == 0
    assert rows(candles.read(btc, "1h", price="mark")) == rows(mark)
    with pytest.raises(UserError, match="neither last nor mark"):
        candles.read(btc, "1h", price="index")


def test_it_keeps_funding_at_whole_minutes_and_refuses_percentages(btc):
    times = START_MS + np.arange(3) * 28_800_000
    report = candles.ingest_funding(btc, FundingFrame(times + 4, np.array([0.0001, -0.0002, 0.0003])), provenance="file")
    assert report.inserted == 3
    assert candles.funding(btc, start_ms=int(times[1])).timestamp.tolist() == times[1:].tolist()
    assert candles.last_funding_ms(btc) == times[-1]
    with pytest.raises(candles.BadRows, match="fractions, not percent"):
        candles.ingest_funding(btc, FundingFrame(times, np.array([0.01, 0.02, 1.5])), provenance="file")


@pytest.mark.parametrize(
    ("typed", "advice"),
    [("BTCUSDT", "did you mean BTC/USDT"), ("btc/usdt:usdt", "BTC/USDT:USDT"), ("XYZ/ABC", "it has "), ("", "it has ")],
)
def test_it_helps_whoever_mistypes_a_symbol(typed, advice):
    with pytest.raises(candles.UnknownSymbol, match=advice) as caught:
        candles.find_market(typed)
    assert caught.value.field == "symbol"


def test_it_names_the_venues_when_asked_for_another():
    with pytest.raises(candles.UnknownVenue, match="use one of alpaca, binance, bitget, bybit, okx, paper, zerodha"):
        candles.find_market("BTC/USDT:USDT", venue="mtgox")


def test_it_adds_a_market_whose_symbol_is_well_spelled():
    assert candles.add_market("PEPE/USDT:USDT").kind == "perpetual"
    assert candles.add_market("PEPE/USDT").max_leverage == 1
    for wrong in ("PEPE", "pepe/usdt", "PEPE/USDT:BTC", "A B/USDT"):
        with pytest.raises(candles.UnknownSymbol, match="spelled like"):
            candles.add_market(wrong)


@pytest.mark.servers
def test_it_stores_and_reads_through_binary_copy_on_postgresql(btc):
    from django.db import connection

    assert connection.vendor == "postgresql", "set DATABASE_URL to a PostgreSQL server"
    frame = make_frame(500)
    candles.ingest(btc, frame, provenance="file")
    report = candles.ingest(btc, changed(frame, volume={3: 1.25}), provenance="file")
    assert (report.inserted, report.updated, report.unchanged) == (0, 1, 499)
    assert rows(candles.read(btc, "15m", last=400)) == rows(changed(frame, volume={3: 1.25}).slice(100, 500))


def test_it_reads_while_django_records_its_queries(btc):
    candles.ingest(btc, make_frame(5), provenance=Provenance.FILE)
    with CaptureQueriesContext(connection):
        assert len(candles.read(btc, "15m", last=3)) == 3
