import tempfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from exchanges import candles
from exchanges.candles import files
from exchanges.timeframes import aggregate
from tests.exchanges.frames import START_MS, make_frame, rows

pytestmark = pytest.mark.django_db
SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
def btc():
    market = candles.find_market(SYMBOL)
    candles.ingest(market, make_frame(100), provenance="file")
    return market


def export(path, timeframe="15m", **options):
    call_command("export_candles", symbol=SYMBOL, timeframe=timeframe, out=path, verbosity=0, **options)
    return files.load_candles(path, symbol=SYMBOL, timeframe=timeframe)[0]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_it_writes_what_import_reads(tmp_path, btc, suffix):
    path = tmp_path / f"out{suffix}"
    assert rows(export(path)) == rows(make_frame(100))
    candles.forget(btc)
    call_command("import_candles", str(path), symbol=SYMBOL, timeframe="15m")
    assert rows(candles.read(btc, "15m")) == rows(make_frame(100))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(1e-8, 1e7), min_size=1, max_size=30), suffix=st.sampled_from([".csv", ".parquet"]))
def test_it_loses_no_digit_on_the_way(values, suffix):
    frame = make_frame(len(values))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"out{suffix}"
        files.save(path, files.CANDLE_COLUMNS, [*frame[2:-1], values])
        assert files.load_candles(path, symbol=SYMBOL, timeframe="15m")[0].volume.tolist() == values


def test_it_derives_higher_frames(tmp_path, btc):
    assert rows(export(tmp_path / "out.parquet", "4h")) == rows(aggregate(make_frame(100), "4h"))


def test_it_cuts_the_span_asked_for(tmp_path, btc):
    frame = export(tmp_path / "out.parquet", since="2024-01-01T01:00", until="2024-01-01T02:00")
    assert frame.timestamp.tolist() == [START_MS + 3_600_000 + i * 900_000 for i in range(4)]


def test_it_names_the_source_inside_a_parquet_file(tmp_path, btc):
    candles.forget(btc)
    candles.ingest(btc, make_frame(10), provenance="simulated")
    export(tmp_path / "out.parquet")
    assert parquet.read_schema(tmp_path / "out.parquet").metadata[b"source"] == b"SIMULATED MARKET"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbol": "ETH/USDT:USDT"}, "has no 15m bars in that span; import or backfill it first"),
        ({"since": "tomorrow"}, "--since: 'tomorrow' is no date"),
        ({"timeframe": "13m"}, "timeframe: '13m' is not known"),
        ({"out": Path("out.xlsx")}, "neither .parquet nor .csv"),
        ({"out": Path("nowhere/out.csv")}, "does not exist; create it first"),
    ],
)
def test_it_says_what_it_cannot_export(tmp_path, btc, options, message):
    options = {"symbol": SYMBOL, "timeframe": "15m", "out": tmp_path / "out.csv"} | options
    if "out" in options:
        options["out"] = tmp_path / options["out"]
    with pytest.raises(CommandError, match=message):
        call_command("export_candles", **options)
    assert list(tmp_path.iterdir()) == []
