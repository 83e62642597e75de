"""The count of bars by month, which triggers keep, and PostgreSQL's partitions."""

import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges import candles
from exchanges.models import Candle, CandleMonth, MarkCandle, Market
from tests.exchanges.frames import make_frame, replaced, rows

pytestmark = pytest.mark.django_db
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="partitions are PostgreSQL's")
HOUR_MS = 3_600_000
JANUARY_MS = 1_704_067_200_000  # 2024-01-01
MONTHS = [int(datetime(2024, month, 1, tzinfo=UTC).timestamp() * 1000) for month in range(1, 13)]


@pytest.fixture
def btc(db) -> Market:
    return candles.find_market("BTC/USDT:USDT")


def counted(price: str = "last") -> list[tuple]:
    """Months as a plain look at every row finds them."""
    found: dict[tuple, list[int]] = {}
    model = Candle if price == "last" else MarkCandle
    for market_id, timeframe, at in model.objects.values_list("market_id", "timeframe", "timestamp"):
        start = datetime.fromtimestamp(at / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        found.setdefault((market_id, timeframe, int(start.timestamp() * 1000)), []).append(at)
    return sorted((*key, len(times), max(times)) for key, times in found.items())


def kept(price: str = "last") -> list[tuple]:
    return sorted(CandleMonth.objects.filter(price=price).values_list("market_id", "timeframe", "month_ms", "bars", "last_ms"))


def revisions() -> dict[tuple, int]:
    return {tuple(key): revision for *key, revision in CandleMonth.objects.values_list("market_id", "month_ms", "revision")}


spans = st.tuples(st.integers(0, 90), st.integers(1, 40))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ingest"), spans),
        st.tuples(st.just("mark"), spans),
        st.tuples(st.just("delete"), spans),
        st.tuples(st.just("update"), spans),
        st.tuples(st.just("move"), spans),
        st.tuples(st.just("create"), spans),
        st.tuples(st.just("forget"), spans),
    ),
    max_size=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_it_counts_the_bars_of_every_month_whoever_writes_them(btc, steps):
    """12-hour bars of three markets over two months; a span is (first bar, number of bars)."""
    markets = list(Market.objects.filter(venue=btc.venue).order_by("pk")[:2])
    for number, (what, (first, count)) in enumerate(steps):
        apply(markets[number % 2], what, first, count, seed=number)
        assert kept() == counted()
        assert kept("mark") == counted("mark")
    for market in markets:
        candles.forget(market)
    assert not CandleMonth.objects.exists()


def apply(market: Market, what: str, first: int, count: int, *, seed: int) -> None:
    """One write of some kind, by the product, the ORM or bare SQL."""
    frame = make_frame(count, timeframe="12h", start_ms=JANUARY_MS + first * 12 * HOUR_MS, seed=seed)
    span = Candle.objects.filter(market=market, timestamp__range=(int(frame.timestamp[0]), int(frame.timestamp[-1])))
    if what == "ingest":
        candles.ingest(market, frame, provenance="file")
    elif what == "mark":
        candles.ingest(market, replaced(frame, volume=np.zeros(count)), provenance="file", price="mark")
    elif what == "delete":
        span.delete()
    elif what == "update":
        span.update(volume=seed + 0.5)
    elif what == "move":  # to another timeframe, and a day away into what may be another month
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE exchanges_candle SET timeframe = '1d', timestamp = timestamp + 86400001 WHERE market_id = %s AND timestamp = %s",
                [market.pk, int(frame.timestamp[0])],
            )
    elif what == "create":
        at = int(frame.timestamp[0]) + seed + 1
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT candles_ensure_months('exchanges_candle', %s, %s)", [at, at])
        Candle.objects.create(market=market, timeframe="12h", timestamp=at, open=1, high=2, low=1, close=2, volume=0)
    else:
        candles.forget(market)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(what=st.sampled_from(["delete", "update", "move", "create"]), first=st.integers(0, 90))
def test_it_draws_a_new_revision_for_each_month_that_changed_and_no_other(btc, what, first):
    candles.forget(btc)
    candles.ingest(btc, make_frame(120, timeframe="12h"), provenance="file")
    before, bars = revisions(), dict(Candle.objects.values_list("pk", "volume"))
    apply(btc, what, first, 1, seed=3)
    now = dict(Candle.objects.values_list("pk", "volume"))
    changed = {key for key in bars.keys() | now.keys() if bars.get(key) != now.get(key)}
    touched = {(market_id, max(month for month in MONTHS if month <= at)) for market_id, _timeframe, at in changed}
    after = revisions()
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == touched


def test_it_leaves_the_revision_of_bars_that_are_stored_again(btc):
    candles.ingest(btc, make_frame(200), provenance="file")
    before = revisions()
    for frame in (make_frame(200), make_frame(200).slice(0, 20)):
        candles.ingest(btc, frame, provenance="file")
    assert revisions() == before


@on_postgresql
def test_it_makes_the_months_it_writes_and_no_other(btc):
    candles.ingest(btc, make_frame(100, timeframe="1d", start_ms=JANUARY_MS - 20 * 86_400_000), provenance="file")
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'exchanges_candle'::regclass ORDER BY 1")
        names = {row[0] for row in cursor.fetchall()}
        assert {f"exchanges_candle_{month}" for month in ("202312", "202401", "202402", "202403")} <= names
        cursor.execute("SELECT count(*) FROM exchanges_candle_202401")
        assert cursor.fetchone() == (31,)
        cursor.execute("DELETE FROM exchanges_candle_202401 WHERE timestamp < %s", [JANUARY_MS + 86_400_000])
        assert kept() == counted()
        cursor.execute("TRUNCATE exchanges_candle_202401")
    assert kept() == counted()


@on_postgresql
def test_it_refuses_a_row_of_a_month_nobody_made(btc):
    with pytest.raises(IntegrityError, match="no partition"), transaction.atomic():
        Candle.objects.create(market=btc, timeframe="1d", timestamp=1_262_304_000_000, open=1, high=1, low=1, close=1, volume=0)


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_it_makes_each_month_once_when_many_write_it_at_the_same_time():
    markets = list(Market.objects.filter(venue__slug="binance").order_by("pk")[:6])
    start = threading.Barrier(len(markets))
    failures = []

    def write(market: Market) -> None:
        try:
            start.wait()
            frame = make_frame(200, timeframe="1d", start_ms=1_388_534_400_000)  # 2014: months of no other test
            candles.ingest(market, frame, provenance="file")
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(market,)) for market in markets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert kept() == counted()
    assert len(kept()) == 6 * 7


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_it_keeps_nobody_waiting_for_a_month_that_an_open_transaction_asked_for():
    """Who makes a month while it holds one market, and then wants another's lock, would else deadlock with that one's writer."""
    btc, eth = candles.find_market("BTC/USDT:USDT"), candles.find_market("ETH/USDT:USDT")
    start_ms = 1_420_070_400_000  # 2015: months of no other test
    written = threading.Event()

    def write() -> None:
        candles.ingest(eth, make_frame(40, symbol=eth.symbol, timeframe="1d", start_ms=start_ms), provenance="file")
        written.set()
        connection.close()

    other = threading.Thread(target=write)
    with transaction.atomic():
        candles.ingest(btc, make_frame(40, timeframe="1d", start_ms=start_ms), provenance="file")
        other.start()
        assert written.wait(10)
        Market.objects.select_for_update().get(pk=eth.pk)
    other.join()
    assert kept() == counted()


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_it_makes_months_in_a_transaction_that_has_locked_the_table():
    btc = candles.find_market("BTC/USDT:USDT")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE exchanges_candle")
        candles.ingest(btc, make_frame(40, timeframe="1d", start_ms=1_451_606_400_000), provenance="file")  # 2016
    assert kept() == counted()


@pytest.mark.django_db(transaction=True)
def test_it_keeps_every_row_when_the_layout_is_taken_back_and_made_again():
    market = candles.find_market("ETH/USDT:USDT")
    frame = make_frame(90, timeframe="1d")
    candles.ingest(market, frame, provenance="file")
    try:
        migrate([("exchanges", "0006_backfill_gaps")])
        assert Candle.objects.count() == 90
    finally:
        migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())  # all apps: going back may have taken others along
    assert rows(candles.read(market, "1d")) == rows(frame)
    assert kept() == counted()
    candles.ingest(market, make_frame(120, timeframe="1d"), provenance="file")
    assert kept() == counted()


def migrate(targets: list[tuple[str, str]]) -> None:
    MigrationExecutor(connection).migrate(targets)


def test_it_finds_the_holes_of_a_series(btc):
    frame = make_frame(100)
    for part in (frame.slice(0, 10), frame.slice(12, 50), frame.slice(51, 100)):
        candles.ingest(btc, part, provenance="file")
    quarter_ms = HOUR_MS // 4
    assert candles.holes(btc, "15m") == [
        (JANUARY_MS + 10 * quarter_ms, JANUARY_MS + 11 * quarter_ms, 2),
        (JANUARY_MS + 50 * quarter_ms, JANUARY_MS + 50 * quarter_ms, 1),
    ]


def test_it_reads_many_markets_as_it_reads_each(btc):
    eth, bnb = candles.find_market("ETH/USDT:USDT"), candles.find_market("BNB/USDT:USDT")
    for seed, market in enumerate((btc, eth)):
        candles.ingest(market, make_frame(50, symbol=market.symbol, seed=seed), provenance="file")
    for bounds in ({}, {"last": 7}, {"start_ms": JANUARY_MS + HOUR_MS, "end_ms": JANUARY_MS + 5 * HOUR_MS}):
        found = candles.read_many([eth, bnb, btc], "15m", **bounds)
        assert [rows(frame) for frame in found] == [rows(candles.read(market, "15m", **bounds)) for market in (eth, bnb, btc)]
        assert [frame.symbol for frame in found] == [eth.symbol, bnb.symbol, btc.symbol]
