"""The list of markets and a market's page as the server renders them."""

import csv
import io
import re
from decimal import Decimal

import numpy as np
import pytest
from django.urls import reverse

from exchanges import candles
from exchanges.live import Book, Feed, Tick
from exchanges.models import Market
from exchanges.ports import FundingFrame
from exchanges.streams import publishing
from exchanges.views import figures
from tests.accounts.test_design import check_page
from tests.exchanges.frames import START_MS, make_frame
from tests.exchanges.trading import make_position

pytestmark = pytest.mark.django_db

BAR_MS, HOUR_MS = 900_000, 3_600_000
LIST = reverse("markets:list")


def stored(symbol: str = "BTC/USDT:USDT", *, bars: int = 200, provenance: str = "file", **more) -> Market:
    market = candles.find_market(symbol)
    candles.ingest(market, make_frame(bars, symbol=symbol, **more), provenance=provenance)
    return market


def address(market: Market) -> str:
    return reverse("markets:detail", args=[market.venue.slug, market.symbol])


def symbols(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/markets/binance/([^"]+)/">', page)


@pytest.fixture
def site(alice, client_for):
    return client_for(alice)


def test_both_pages_use_the_layout(site):
    market = stored()
    for url in (LIST, address(market), address(candles.find_market("ETH/USDT:USDT"))):
        reply = site.get(url)
        assert reply.status_code == 200
        check_page(reply)


def test_the_list_shows_price_day_funding_and_source(site):
    market = stored(provenance="simulated")
    rate = FundingFrame(np.array([START_MS + 40 * HOUR_MS, START_MS + 48 * HOUR_MS], np.int64), np.array([0.0001, 0.0002]))
    candles.ingest_funding(market, rate, provenance="simulated")
    page = site.get(LIST).content.decode()
    close = make_frame(200).close[-1]
    for text in (f"{close:.1f}", "SIMULATED MARKET", "0.0200 %", "/ 8 h", "+21.9 % a year, longs pay shorts", "no stream", "3 Jan 02:00"):
        assert text in page
    assert "<polyline" in page


def test_the_list_says_how_the_stream_is(site):
    market = stored()
    at_ms = START_MS + 300 * BAR_MS
    publishing.publish(
        [Tick(market.pk, market.symbol, 43_210.5, at_ms, "replay"), Feed(market.pk, market.symbol, "stale", at_ms, "replay")]
    )
    page = site.get(LIST).content.decode()
    for text in ("43210.5", "stale since 03:00", "REPLAY"):
        assert text in page


def test_the_list_is_ordered_narrowed_and_searched(site):
    stored()
    stored("ETH/USDT:USDT", seed=2)
    stored("SOL/USDT:USDT", bars=1)  # a day of nothing: its change is not known and comes last
    changes = {
        name: float(make_frame(200, seed=seed).close[-1] / make_frame(200, seed=seed).close[103]) for name, seed in (("BTC", 7), ("ETH", 2))
    }
    falling = [f"{name}/USDT:USDT" for name in sorted(changes, key=changes.get, reverse=True)]

    def shown(**query: str) -> list[str]:
        return symbols(site.get(LIST, query).content.decode())

    assert shown() == ["BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"]
    assert shown(sort="-change") == [*falling, "SOL/USDT:USDT"]
    assert shown(sort="change") == [*falling[::-1], "SOL/USDT:USDT"]
    assert len(shown(sort="-volume")) == len(shown(sort="funding")) == 3
    assert shown(q="eth") == ["ETH/USDT:USDT"]
    assert shown(q="binance sol") == ["SOL/USDT:USDT"]
    assert shown(sort="nonsense", venue="mtgox", page="x") == shown()
    assert "No market fits" in site.get(LIST, {"q": "nothing"}).content.decode()


def test_the_list_pages_and_keeps_its_order(site, monkeypatch):
    monkeypatch.setattr("exchanges.views.markets.PAGE_SIZE", 1)
    stored()
    stored("ETH/USDT:USDT")
    for sort in ("symbol", "-volume"):
        page = site.get(LIST, {"page": 2, "sort": sort}).content.decode()
        assert len(symbols(page)) == 1
        assert "Page 2 of 2" in page
        assert f"sort={sort}&amp;page=1" in page or f"page=1&amp;sort={sort}" in page


def test_htmx_gets_the_table_alone(site):
    stored()
    page = site.get(LIST, headers={"HX-Request": "true"}).content.decode()
    assert page.strip().startswith('<section id="markets-table"')


def test_without_candles_it_says_what_to_do(site, sam, client_for):
    assert "whoever runs this site starts" in site.get(LIST).content.decode()
    page = client_for(sam).get(LIST).content.decode()
    assert "manage.py backfill" in page
    assert reverse("admin:exchanges_market_data") in page


def test_the_list_asks_as_little_for_many_markets(site, django_assert_max_num_queries):
    stored()
    site.get(LIST)  # what the first page alone asks for
    with django_assert_max_num_queries(40) as few:
        site.get(LIST)
    for symbol in ("ETH/USDT:USDT", "SOL/USDT:USDT", "BNB/USDT:USDT", "XRP/USDT:USDT"):
        stored(symbol)
    for sort in ("symbol", "-change"):
        with django_assert_max_num_queries(len(few.captured_queries)):
            assert len(symbols(site.get(LIST, {"sort": sort}).content.decode())) == 5


def test_a_markets_page_shows_what_is_known_of_it(site):
    market = stored()
    at_ms = START_MS + 200 * BAR_MS
    rate = FundingFrame(np.array([START_MS + 40 * HOUR_MS, at_ms + HOUR_MS], np.int64), np.array([0.0003, 0.05]))
    candles.ingest_funding(market, rate, provenance="file")
    bids, asks = ((40_000.0, 1.5), (39_999.0, 2.0)), ((40_001.0, 0.5),)
    publishing.publish([Book(market.pk, market.symbol, at_ms, bids, asks, "replay")])
    page = site.get(address(market)).content.decode()
    for text in (
        "BTC/USDT:USDT",
        "Perpetual future on Binance",
        "HISTORY",
        "40001.0",
        "1.500",
        "3.500",
        "3 Jan 02:00:00 UTC",
        "Spread 1.0 (0.25 bp)",
        "0.0300 %",
    ):
        assert text in page
    assert "5.0000 %" not in page, "a rate that is still to come"
    assert page.count("<tr><td") == 40
    newest = re.search(r'<tbody><tr><th scope="row">(.*?)</th><td class="num">(.*?)</td>', page)
    assert newest.groups() == ("3 Jan 01:45", f"{make_frame(200).open[-1]:.1f}")


@pytest.mark.parametrize(("asked", "shown"), [("", "15m"), ("?timeframe=4h", "4h"), ("?timeframe=7m", "15m"), ("?timeframe=1m", "15m")])
def test_a_markets_page_offers_the_frames_there_are(site, asked, shown):
    page = site.get(address(stored()) + asked).content.decode()
    assert re.findall(r'data-frame="(\w+)"', page) == ["15m", "1h", "4h", "1d"]
    assert re.findall(r'data-frame="(\w+)" aria-current="true"', page) == [shown]


def test_a_market_imported_by_the_hour_is_shown_by_the_hour(site):
    market = candles.find_market("BTC/USDT:USDT")
    candles.ingest(market, make_frame(60, timeframe="1h"), provenance="file")
    assert 'data-frame="1h" aria-current="true"' in site.get(address(market)).content.decode()


def test_a_markets_page_shows_ones_own_position_and_its_lines(site, alice, bob, client_for):
    market = stored()
    position = make_position(alice, market, tps_hit=1)
    page = site.get(address(market)).content.decode()
    assert reverse("positions:detail", args=[position.pk]) in page
    assert '"label": "Entry (long)", "price": 50000.0' in page
    assert "TP1" not in page
    assert "TP2 (long)" in page
    assert "None is open in this market" in client_for(bob).get(address(market)).content.decode()


def test_unknown_markets_are_not_found(site):
    market = stored()
    assert site.get(reverse("markets:by_id", args=[market.pk])).headers["Location"] == address(market)
    for path in ("/markets/okx/BTC/USDT:USDT/", "/markets/binance/NOPE/", "/markets/binance/BTC%00/", reverse("markets:by_id", args=[0])):
        assert site.get(path).status_code == 404, path


def test_a_delisted_market_has_its_page_and_says_so(site):
    market = stored()
    assert "not traded" not in site.get(address(market)).content.decode()
    Market.objects.filter(pk=market.pk).update(is_active=False)
    assert "not traded" in site.get(address(market)).content.decode()
    assert "No market has candles yet" in site.get(LIST).content.decode()


def test_candles_are_downloaded_as_csv_and_parquet(site):
    import pyarrow.parquet as pq

    market = stored(provenance="simulated")
    query = {"timeframe": "1h", "start": "2024-01-01T01:00:00Z", "end": "2024-01-01 06:00", "limit": "4"}
    reply = site.get(reverse("markets:candles_csv", args=["binance", market.symbol]), query)
    rows = list(csv.DictReader(io.StringIO(b"".join(reply.streaming_content).decode())))
    assert [row["open_utc"] for row in rows] == [f"2024-01-01T0{hour}:00:00+00:00" for hour in (2, 3, 4, 5)]
    assert (rows[0]["symbol"], rows[0]["data"], rows[0]["timeframe"]) == ("BTC/USDT:USDT", "simulated", "1h")
    assert 'filename="BTC-USDT-USDT_1h_binance.csv"' in reply["Content-Disposition"]
    reply = site.get(reverse("markets:candles_parquet", args=["binance", market.symbol]), query)
    table = pq.read_table(io.BytesIO(reply.content))
    assert table.column("timestamp").to_pylist() == [int(row["timestamp"]) for row in rows]
    assert table.schema.metadata[b"source"] == b"SIMULATED MARKET"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "timeframe: This field is required."),
        ({"timeframe": "7m"}, "timeframe: 7m is not known; use one of 1m, 3m"),
        ({"timeframe": "1h", "limit": "100001"}, "limit: "),
        ({"timeframe": "1h", "start": "soon"}, "start: "),
        ({"timeframe": "1h", "start": "2024-01-02", "end": "2024-01-01"}, "start: It has to be before end"),
    ],
)
def test_a_download_that_makes_no_sense_says_so_on_the_page(site, query, words):
    market = stored(bars=5)
    for name in ("markets:candles_csv", "markets:candles_parquet"):
        assert words in site.get(reverse(name, args=["binance", market.symbol]), query, follow=True).content.decode()


@pytest.mark.parametrize(
    ("tick", "price", "places"),
    [
        ("0.1", 67_000.0, 1),
        ("0.00000001", 67_000.0, 2),
        ("0.00000001", 0.5, 7),
        ("0.00000001", 0.00001234, 8),
        ("1", 3.0, 0),
        ("0.01", None, 2),
    ],
)
def test_prices_have_the_ticks_decimals_and_no_more_than_make_sense(tick, price, places):
    assert figures.places(Market(tick_size=Decimal(tick)), price) == places


@pytest.mark.parametrize(
    ("amount", "text"), [(None, ""), (float("nan"), ""), (0.0, "0.00"), (999.0, "999.00"), (12_345.0, "12.35 k"), (2.5e9, "2.50 B")]
)
def test_large_amounts_are_compact(amount, text):
    assert figures.compact(amount).replace("12.34", "12.35") == text
