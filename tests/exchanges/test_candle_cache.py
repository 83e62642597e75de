"""The column cache: what it gives is what the rows say, whatever happens to the rows and to the files."""

import os
import threading

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exchanges import candles
from exchanges.candles import cache, reading, storage
from exchanges.models import Candle, Market
from tests.exchanges.frames import START_MS, make_frame
from tests.exchanges.test_candle_months import MONTHS, apply, steps

pytestmark = pytest.mark.django_db(transaction=True)  # nothing is cached inside a transaction
DAY_MS = 86_400_000
BTC = "BTC/USDT:USDT"


@pytest.fixture(autouse=True)
def eager(monkeypatch, settings, tmp_path):
    """Every read of three bars or more goes by way of the cache."""
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(reading, "FROM_BARS", 3)


def by_cache(market: Market, **bounds) -> list[tuple]:
    return as_rows(candles.read(market, "12h", **bounds)[2:])


def by_rows(market: Market, **bounds) -> list[tuple]:
    return as_rows(storage.read(candles._series(market, "12h"), **bounds))


def as_rows(columns) -> list[tuple]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


def stored(bars: int = 400) -> Market:
    market = candles.find_market(BTC)
    candles.ingest(market, make_frame(401, timeframe="12h").slice(0, bars), provenance="file")
    return market


def files() -> list:
    return sorted(cache.folder().glob("*.columns"))


bound = st.none() | st.integers(-10, 140).map(lambda half_days: START_MS + half_days * DAY_MS // 2)


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, start_ms=bound, end_ms=bound, last=st.none() | st.integers(1, 60))
def test_it_reads_what_the_rows_say_after_any_writes_by_anybody(steps, start_ms, end_ms, last):
    market = candles.find_market(BTC)
    candles.forget(market)
    for number, (what, (first, count)) in enumerate(steps):
        apply(market, what, first, count, seed=number)
        for bounds in ({}, {"start_ms": start_ms, "end_ms": end_ms, "last": last}):
            assert by_cache(market, **bounds) == by_rows(market, **bounds)


def test_it_reads_the_second_time_without_the_rows(django_assert_num_queries):
    market, frame = candles.find_market(BTC), make_frame(50)
    candles.ingest(market, frame, provenance="file")
    candles.read(market, "15m")
    with django_assert_num_queries(1):  # the months
        assert as_rows(candles.read(market, "15m")[2:]) == as_rows(frame[2:])
    assert len(files()) == 1


def test_it_gives_arrays_of_its_own():
    market = stored()
    by_cache(market)
    frame = candles.read(market, "12h")
    frame.close[:] = 0.0
    assert all(column.flags.c_contiguous for column in frame[2:])
    assert by_cache(market) == by_rows(market)


def test_it_fetches_only_the_month_that_changed():
    market = stored()
    by_cache(market)
    candles.ingest(market, make_frame(401, timeframe="12h").slice(395, 401), provenance="file")
    stale: list = []
    known = reading.months.stored([market.pk], "12h", "last")[market.pk]
    cache.read(candles._series(market, "12h"), known, stale)
    assert [month.start_ms for month in stale] == [MONTHS[6]]
    assert by_cache(market) == by_rows(market)


@pytest.mark.parametrize("harm", ["empty", "cut short", "one bit", "header", "other file", "text", "directory"])
def test_it_notices_a_file_that_is_not_whole_and_writes_it_anew(harm):
    market = stored()
    by_cache(market)
    (path,) = files()
    content = path.read_bytes()
    damage(path, content, harm)
    assert by_cache(market) == by_rows(market)
    if harm != "directory":
        assert path.read_bytes() == content


def damage(path, content: bytes, harm: str) -> None:
    garbled = bytearray(content)
    garbled[-1000] ^= 1
    harmed = {
        "empty": b"",
        "cut short": content[:-8],
        "one bit": bytes(garbled),
        "header": b"[[1,2,3" + content,
        "other file": b'{"a": 1e999}\n' + os.urandom(4096),
        "text": b"[[1, 2, 1e999, 3]]\n",
    }
    if harm == "directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(harmed[harm])


def test_it_does_without_a_folder_that_cannot_be_written(settings, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    settings.DATA_DIR = blocked
    market = stored()
    assert by_cache(market) == by_rows(market)


def test_it_keeps_nothing_a_transaction_may_take_back():
    market = stored()
    with transaction.atomic():
        Candle.objects.filter(market=market).update(volume=1.0)
        assert {row[-1] for row in by_cache(market)} == {1.0}
        assert files() == []
        transaction.set_rollback(True)
    assert by_cache(market) == by_rows(market)


def test_it_removes_what_was_used_longest_ago_and_what_dead_processes_left(monkeypatch):
    market, other = stored(), candles.find_market("ETH/USDT:USDT")
    by_cache(market)
    (old,) = files()
    leftover = cache.folder() / ".left.part"
    leftover.write_bytes(b"x")
    for path in (old, leftover):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    monkeypatch.setattr(cache, "MOST_BYTES", old.stat().st_size + 10)
    candles.ingest(other, make_frame(400, symbol=other.symbol, timeframe="12h"), provenance="file")
    candles.read(other, "12h")
    assert len(files()) == 1
    assert old not in files()
    assert not leftover.exists()


def test_it_agrees_with_itself_while_others_write_and_read():
    """Every bar of a version has that version's volume: a mixture would show."""
    market, failures, done = stored(200), [], threading.Event()
    Candle.objects.filter(market=market).update(volume=0.0)

    def look() -> None:
        try:
            while not done.is_set():
                volumes = {row[-1] for row in by_cache(market)}
                assert len(volumes) == 1, volumes
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(1, 25):
        Candle.objects.filter(market=market).update(volume=float(version))
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert {row[-1] for row in by_cache(market)} == {24.0}
