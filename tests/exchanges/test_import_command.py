import gzip
import json
import os
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from django.core.management import CommandError, call_command
from pyarrow import parquet

from exchanges import candles
from exchanges.candles.files import CANDLE_COLUMNS, save
from exchanges.models import Candle, FundingRate, MarkCandle, Market
from tests.exchanges.frames import START_MS, make_frame, rows

pytestmark = pytest.mark.django_db
SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
def run(capsys):
    def run(*arguments: str) -> str:
        call_command(*map(str, arguments))
        return capsys.readouterr().out

    return run


def write(path, frame=None, **changes):
    """The frame as a file, with single columns exchanged (None leaves one out)."""
    frame = make_frame(20) if frame is None else frame
    columns = {name: getattr(frame, name) for name in CANDLE_COLUMNS} | changes
    columns = {name: column for name, column in columns.items() if column is not None}
    if path.suffix == ".csv":
        save(path, list(columns), list(columns.values()))
    else:
        parquet.write_table(pa.table(columns), path)
    return path


def with_value(name, row, value):
    column = getattr(make_frame(20), name).copy()
    column[row] = value
    return {name: column}


def picked(order):
    frame = make_frame(20)
    return {name: getattr(frame, name)[list(order)] for name in CANDLE_COLUMNS}


def text(path, *lines):
    path.write_text("\n".join([",".join(CANDLE_COLUMNS), *lines, ""]))
    return path


def state():
    return (Market.objects.count(), Candle.objects.count(), list(Market.objects.exclude(provenance="none")))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_it_imports_a_file_once_however_often_it_runs(tmp_path, run, suffix):
    path = write(tmp_path / f"btc{suffix}")
    assert "20 candles read, 20 new" in run("import_candles", path, "--symbol", SYMBOL, "--timeframe", "15m")
    assert "0 new, 0 corrected, 20 known already" in run("import_candles", path, "--symbol", SYMBOL, "--timeframe", "15m")
    assert rows(candles.read(candles.find_market(SYMBOL), "15m")) == rows(make_frame(20))


def test_it_reports_as_json(tmp_path, run):
    path = write(tmp_path / "btc.parquet", **with_value("low", 3, -1.0))
    told = json.loads(run("import_candles", path, "--symbol", SYMBOL, "--timeframe", "15m", "--skip-bad", "--json"))
    assert (told["inserted"], told["skipped"], told["source"]) == (19, 1, "file")
    assert told["bad_rows"] == [{"row": 4, "field": "low", "value": -1.0, "problem": "must be above 0"}]


BAD_FILES = {
    "a file that is not there": (lambda p: p / "none.parquet", "does not exist"),
    "a folder": (lambda p: p, "is no file"),
    "another format": (lambda p: (p / "btc.xlsx", (p / "btc.xlsx").write_bytes(b"x"))[0], "neither .parquet nor .csv"),
    "an empty file": (lambda p: (p / "btc.csv", (p / "btc.csv").touch())[0], "is empty"),
    "a malformed Parquet file": (
        lambda p: (p / "btc.parquet", (p / "btc.parquet").write_bytes(b"PAR1 nonsense PAR1"))[0],
        "is not readable Parquet",
    ),
    "a truncated Parquet file": (
        lambda p: (write(p / "btc.parquet"), (p / "btc.parquet").write_bytes((p / "btc.parquet").read_bytes()[:-20]))[0],
        "is not readable Parquet",
    ),
    "a malformed CSV file": (
        lambda p: (p / "btc.csv", (p / "btc.csv").write_text("timestamp,open,high,low,close,volume\n1,2,3\n"))[0],
        "is not readable CSV",
    ),
    "a CSV file with words for numbers": (
        lambda p: (p / "btc.csv", (p / "btc.csv").write_text(f"timestamp,open,high,low,close,volume\n{START_MS},1,2,cheap,1,5\n"))[0],
        "cheap",
    ),
    "a file without rows": (lambda p: write(p / "btc.parquet", make_frame(0)), "has no rows"),
    "missing columns": (lambda p: write(p / "btc.parquet", high=None, volume=None), "column high, volume is missing"),
    "times as text": (lambda p: write(p / "btc.parquet", timestamp=["2024-01-01"] * 20), "timestamp must be whole milliseconds"),
    "prices as text": (lambda p: write(p / "btc.parquet", close=["1.5"] * 20), "close must be numbers"),
    "a missing price": (lambda p: write(p / "btc.parquet", **with_value("close", 6, np.nan)), "row 7, close: nan is not a number"),
    "a missing time": (
        lambda p: write(p / "btc.parquet", timestamp=pa.array([None, *make_frame(20).timestamp[1:].tolist()])),
        "row 1, timestamp: is missing",
    ),
    "a negative price": (lambda p: write(p / "btc.csv", **with_value("open", 0, -2.0)), "row 1, open: -2.0 must be above 0"),
    "a high under the low": (lambda p: write(p / "btc.parquet", **with_value("high", 2, 1.0)), "row 3, high: 1.0 is below"),
    "a negative volume": (lambda p: write(p / "btc.parquet", **with_value("volume", 19, -1.0)), "row 20, volume"),
    "a time between the bars": (lambda p: write(p / "btc.parquet", **with_value("timestamp", 1, START_MS + 1)), "row 2, timestamp"),
    "a time in seconds": (lambda p: write(p / "btc.parquet", timestamp=make_frame(20).timestamp // 1000), "are milliseconds"),
    "a future date": (lambda p: write(p / "btc.parquet", **with_value("timestamp", 19, 4_102_444_800_000)), "lies in the future"),
    "a time in microseconds": (lambda p: write(p / "btc.parquet", timestamp=make_frame(20).timestamp * 1000), "are milliseconds"),
    "conflicting duplicates": (
        lambda p: write(p / "btc.parquet", **with_value("timestamp", 1, START_MS)),
        "row 2, timestamp: 1704067200000 is given more than once",
    ),
    "identical duplicates": (
        lambda p: write(p / "btc.csv", **picked([*range(20), 5])),
        "row 21, timestamp: 1704071700000 is given more than once",
    ),
    "unsorted rows": (
        lambda p: write(p / "btc.csv", **picked([0, 2, 1, *range(3, 20)])),
        "row 3, timestamp: 1704068100000 is earlier than",
    ),
    "newest rows first": (lambda p: write(p / "btc.csv", **picked(range(19, -1, -1))), "19 bad rows of 20"),
    "hours told as quarters": (
        lambda p: write(p / "btc.parquet", make_frame(20, timeframe="1h")),
        "most rows lie 1h apart, not 15m; import it with --timeframe 1h",
    ),
    "minutes told as quarters": (lambda p: write(p / "btc.csv", make_frame(60, timeframe="1m")), "most rows lie 1m apart"),
    "rows at an odd distance": (lambda p: write(p / "btc.csv", timestamp=START_MS + np.arange(20) * 2_700_000), "lie 2700 s apart"),
    "a column twice": (
        lambda p: (p / "btc.csv", (p / "btc.csv").write_text(f"timestamp,open,high,low,close,volume,close\n{START_MS},1,2,1,1,5,9\n"))[0],
        "column close is there more than once",
    ),
    "semicolons between the columns": (
        lambda p: (p / "btc.csv", (p / "btc.csv").write_text(f"timestamp;open;high;low;close;volume\n{START_MS};1;2;1;1;5\n"))[0],
        "is missing in timestamp;open;high;low;close;volume; it needs a first line timestamp,open,high,low,close,volume",
    ),
    "no first line": (
        lambda p: (p / "btc.csv", (p / "btc.csv").write_text(f"{START_MS},1,2,1,1,5\n"))[0],
        "it needs a first line timestamp,open",
    ),
    "UTF-16": (
        lambda p: (p / "btc.csv", (p / "btc.csv").write_text(f"timestamp,open,high,low,close,volume\n{START_MS},1,2,1,1,5\n", "utf-16"))[0],
        "is not text in UTF-8",
    ),
    "a compressed CSV": (
        lambda p: (p / "btc.csv", (p / "btc.csv").write_bytes(gzip.compress(b"timestamp,open\n" * 9)))[0],
        "not text in UTF-8",
    ),
    "control characters": (
        lambda p: (p / "btc.csv", (p / "btc.csv").write_text("timestamp,open,high,low,close,volume\n1,\x1b[31m\n"))[0],
        "got 2: 1,?[31m",
    ),
    "a pipe": (lambda p: (p / "btc.csv", os.mkfifo(p / "btc.csv"))[0], "is no file"),
    "a name that no file can have": (lambda p: p / f"{'a' * 300}.csv", "cannot be opened (File name too long); check the path"),
    "times finer than milliseconds": (
        lambda p: write(p / "btc.parquet", timestamp=pa.array(make_frame(20).timestamp * 1000 + 1, pa.timestamp("us"))),
        "timestamp must be whole milliseconds (Casting from timestamp[us]",
    ),
    "times beyond 63 bits": (
        lambda p: write(p / "btc.parquet", timestamp=pa.array([2**63 + 5] * 20, pa.uint64())),
        "timestamp must be whole milliseconds (Integer value",
    ),
    "a price beyond any market": (lambda p: write(p / "btc.parquet", **with_value("high", 3, 1e300)), "row 4, high: 1e+300 is no price"),
    "a price that is dust": (lambda p: write(p / "btc.parquet", **with_value("low", 3, 5e-324)), "row 4, low: 5e-324 is no price"),
    "a volume beyond any market": (lambda p: write(p / "btc.parquet", **with_value("volume", 3, 1e300)), "is no volume"),
    "text in a CSV": (lambda p: text(p / "btc.csv", "1704067200000,1,2,1,abc,1"), "close 'abc' is not a number"),
    "dates in a CSV": (lambda p: text(p / "btc.csv", "2024-01-01,1,2,1,1,1"), "timestamp '2024-01-01' is not whole milliseconds"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_it_says_in_one_line_what_is_wrong_and_changes_nothing(tmp_path, case):
    make, message = BAD_FILES[case]
    path = make(tmp_path)
    before = state()
    with pytest.raises(CommandError) as caught:
        call_command("import_candles", str(path), "--symbol", SYMBOL, "--timeframe", "15m")
    told = str(caught.value)
    assert message in told
    assert told.isprintable(), "one line, and nothing that a terminal would obey"
    assert ";" in told, "the remedy follows the problem"
    assert caught.value.returncode == 1
    assert state() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbol": "BTCUSDT"}, "did you mean BTC/USDT"),
        ({"symbol": "NOPE/NOPE"}, "symbol: 'NOPE/NOPE' is not listed on binance"),
        ({"timeframe": "7m"}, "timeframe: '7m' is not known; use one of"),
        ({"venue": "\udcff"}, "venue: .* is not known; use one of alpaca, binance"),
        ({"symbol": "ÄÖ/USDT", "new_market": True}, "is not spelled like"),
        ({"venue": "mtgox"}, "venue: 'mtgox' is not known; use one of alpaca, binance"),
        ({"price": "index"}, "price: 'index' is neither last nor mark"),
        ({"symbol": "pepe", "new_market": True}, "is not spelled like"),
    ],
)
def test_it_names_the_option_that_cannot_be_used(tmp_path, options, message):
    path = write(tmp_path / "btc.parquet")
    before = state()
    with pytest.raises(CommandError, match=message):
        call_command("import_candles", str(path), **({"symbol": SYMBOL, "timeframe": "15m"} | options))
    assert state() == before


def test_it_adds_a_market_only_together_with_its_candles(tmp_path, run):
    good, bad = write(tmp_path / "good.parquet"), write(tmp_path / "bad.parquet", **with_value("low", 0, -1.0))
    with pytest.raises(CommandError, match="row 1, low"):
        run("import_candles", bad, "--symbol", "PEPE/USDT:USDT", "--timeframe", "15m", "--new-market")
    assert not Market.objects.filter(symbol="PEPE/USDT:USDT").exists()
    run("import_candles", good, "--symbol", "PEPE/USDT:USDT", "--timeframe", "15m", "--new-market")
    assert Candle.objects.filter(market__symbol="PEPE/USDT:USDT").count() == 20


def test_it_sorts_and_merges_when_told_to_and_says_so(tmp_path, run):
    path = write(tmp_path / "btc.parquet", **picked([1, 0, *range(2, 20), 5]), extra=np.arange(21))
    told = run("import_candles", path, "--symbol", SYMBOL, "--timeframe", "15m", "--skip-bad")
    assert "rows were not in order of time; sorted" in told
    assert "1 identical duplicate row merged" in told
    assert "ignored column extra" in told
    assert Candle.objects.count() == 20


def test_it_takes_prices_that_are_decimals_and_times_that_are_moments(tmp_path, run):
    frame = make_frame(20)
    path = write(
        tmp_path / "btc.parquet",
        timestamp=pa.array(frame.timestamp, pa.timestamp("ms", "Asia/Tokyo")),
        close=pa.array([Decimal(str(price)) for price in frame.close.tolist()]),
    )
    run("import_candles", path, "--symbol", SYMBOL, "--timeframe", "15m")
    assert rows(candles.read(candles.find_market(SYMBOL), "15m")) == rows(frame)


def test_it_takes_a_series_with_holes_that_is_mostly_whole(tmp_path, run):
    path = write(
        tmp_path / "btc.parquet", **{name: column[:12] for name, column in picked([0, 1, 2, 3, 9, 10, 11, 12, 15, 16, 17, 19]).items()}
    )
    assert "12 new" in run("import_candles", path, "--symbol", SYMBOL, "--timeframe", "15m")


def test_it_imports_mark_prices_without_volume(tmp_path, run):
    path = write(tmp_path / "mark.parquet", make_frame(8, timeframe="1h"), volume=None)
    run("import_candles", path, "--symbol", SYMBOL, "--timeframe", "1h", "--price", "mark")
    assert (MarkCandle.objects.count(), Candle.objects.count()) == (8, 0)


def test_it_imports_funding_and_refuses_what_cannot_be_funding(tmp_path, run):
    times = START_MS + np.arange(4) * 28_800_000
    path = tmp_path / "funding.csv"
    save(path, ("timestamp", "rate"), (times, np.array([1e-4, -1e-4, 0.0, 3e-4])))
    assert "4 funding rates read, 4 new" in run("import_funding", path, "--symbol", SYMBOL)
    assert "4 known already" in run("import_funding", path, "--symbol", SYMBOL)
    save(path, ("timestamp", "rate"), (times, np.array([1e-4, np.nan, 0.5, 3e-4])))
    with pytest.raises(CommandError, match=r"row 2, rate: nan is not a number \(2 bad rows of 4"):
        run("import_funding", path, "--symbol", SYMBOL)
    assert FundingRate.objects.count() == 4
    with pytest.raises(CommandError, match="column rate is missing"):
        run("import_funding", write(tmp_path / "candles.parquet"), "--symbol", SYMBOL)
