"""The list of a run's trades: any order, filters by what a trade is, and files of what is shown."""

import csv
import io

import pyarrow.parquet as pq
import pytest
from django.urls import reverse

from tests.backtesting import rows
from tests.backtesting.test_pages import words
from tests.signals.scenes import BTC, ETH

pytestmark = pytest.mark.django_db
DAY_MS = rows.DAY_MS
TRADES = (
    {"symbol": BTC, "side": "long", "exit_reason": "tp1", "pnl": 2.0, "entry_ms": rows.START_MS, "exit_ms": rows.START_MS + 3 * DAY_MS},
    {"symbol": ETH, "side": "long", "exit_reason": "stop", "pnl": -1.0, "entry_ms": rows.START_MS + DAY_MS, "exit_ms": rows.START_MS + 2 * DAY_MS},
    {"symbol": BTC, "side": "short", "exit_reason": "stop", "pnl": 0.5, "entry_ms": rows.START_MS + 2 * DAY_MS - 1, "exit_ms": rows.START_MS + 2 * DAY_MS},
    {"symbol": ETH, "side": "short", "exit_reason": "end_of_data", "pnl": 0.0, "entry_ms": rows.START_MS + 2 * DAY_MS, "exit_ms": rows.START_MS + 4 * DAY_MS},
)  # fmt: skip
LIST = {"HX-Request": "true", "HX-Target": "trades"}


@pytest.fixture
def run(alice):
    made = rows.make_finished(alice, rows.make_model(), symbols=[BTC, ETH])
    made.metrics["sample"]["trades"] = len(TRADES)
    made.save()
    for number, facts in enumerate(TRADES, start=1):
        rows.make_trade(made, number, **facts).save()
    return made


@pytest.fixture
def url(run):
    return reverse("backtests:detail", args=[run.pk])


def shown(client, url, **query):
    return [trade.number for trade in client.get(url, query).context["page"]]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [1, 2, 3, 4]),
        ({"symbol": BTC}, [1, 3]),
        ({"side": "short"}, [3, 4]),
        ({"reason": "stop"}, [2, 3]),
        ({"result": "won"}, [1, 3]),
        ({"result": "lost"}, [2, 4]),
        ({"since": "2025-01-02"}, [2, 3, 4]),
        ({"until": "2025-01-02"}, [1, 2, 3]),
        ({"since": "2025-01-02", "until": "2025-01-02", "side": "short"}, [3]),
        ({"symbol": ETH, "side": "long", "result": "won"}, []),
        ({"sort": "-pnl"}, [1, 3, 4, 2]),
        ({"sort": "symbol"}, [1, 3, 2, 4]),
        ({"sort": "-exit_ms"}, [4, 1, 2, 3]),
        ({"sort": "held"}, [3, 2, 4, 1]),
        ({"sort": "exit_reason", "side": "short"}, [4, 3]),
    ],
)
def test_it_narrows_and_orders(run, url, alice, client_for, query, numbers):
    assert shown(client_for(alice), url, **query) == numbers


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "password"},
        {"sort": "run__user"},
        {"symbol": "NOPE"},
        {"symbol": "\x00"},
        {"side": "up"},
        {"reason": "boredom"},
        {"result": "drawn"},
        {"since": "yesterday"},
        {"until": "2025-13-40"},
        {"page": "x"},
    ],
)
def test_it_ignores_what_it_does_not_know(run, url, alice, client_for, query):
    assert shown(client_for(alice), url, **query) == [1, 2, 3, 4]


def test_it_takes_the_ends_of_the_calendar(run, url, alice, client_for):
    assert shown(client_for(alice), url, since="0001-01-01", until="9999-12-31") == [1, 2, 3, 4]
    assert shown(client_for(alice), url, until="0001-01-01") == []


def test_it_sums_what_is_shown(run, url, alice, client_for):
    page = words(client_for(alice).get(url, {"side": "short"}))
    assert "2 trades fit the filters, 1 won, together 0.50 USDT net" in page
    assert "4 trades, 2 won, together 1.50 USDT net" in words(client_for(alice).get(url))


def test_it_says_what_money_is_counted_in_and_what_is_a_fee(run, url, alice, client_for):
    assert "By Fees USDT P&amp;L USDT Of notional" in words(client_for(alice).get(url))


def test_it_offers_the_reasons_that_occur(run, url, alice, client_for):
    form = client_for(alice).get(url).context["form"]
    assert form.fields["reason"].choices == [("", "Any reason"), ("end_of_data", "end of data"), ("stop", "stop"), ("tp1", "tp1")]


def test_it_says_that_no_trade_fits(run, url, alice, client_for):
    assert "No trade fits" in words(client_for(alice).get(url, {"symbol": ETH, "side": "long", "result": "won"}))


def test_a_heading_asks_for_the_other_order(run, url, alice, client_for):
    def heading(sort, key):
        columns = client_for(alice).get(url, {"sort": sort}).context["columns"]
        return next((column["order"], column["to"]) for column in columns if column["key"] == key)

    assert heading("", "number") == ("ascending", "-number")
    assert heading("", "pnl") == ("", "-pnl")  # of amounts the highest first
    assert heading("-pnl", "pnl") == ("descending", "pnl")
    assert heading("", "symbol") == ("", "symbol")
    assert heading("symbol", "symbol") == ("ascending", "-symbol")


def test_the_list_comes_alone_when_htmx_asks_for_it(run, url, alice, bob, client, client_for):
    reply = client_for(alice).get(url, {"side": "short"}, headers=LIST)
    assert reply.content.decode().lstrip().startswith('<div id="trades"')
    assert [trade.number for trade in reply.context["page"]] == [3, 4]
    assert client_for(bob).get(url, headers=LIST).status_code == 404
    signed_out = client.get(url, headers=LIST)
    assert (signed_out.status_code, "HX-Redirect" in signed_out) == (401, True)


def test_there_is_no_list_of_an_unfinished_run(run, alice, client_for):
    waiting = rows.make_run(alice, run.model)
    assert client_for(alice).get(reverse("backtests:detail", args=[waiting.pk]), headers=LIST).status_code == 404


def test_the_files_hold_what_is_shown(run, alice, client_for):
    client, query = client_for(alice), {"side": "short", "sort": "-number", "page": "7"}
    reply = client.get(reverse("backtests:trades_csv", args=[run.pk]), query)
    table = list(csv.DictReader(io.StringIO(b"".join(reply.streaming_content).decode())))
    assert [row["number"] for row in table] == ["4", "3"]
    reply = client.get(reverse("backtests:trades_parquet", args=[run.pk]), query)
    assert pq.read_table(io.BytesIO(reply.content))["number"].to_pylist() == [4, 3]
    reply = client.get(reverse("backtests:trades_parquet", args=[run.pk]))
    assert pq.read_table(io.BytesIO(reply.content))["number"].to_pylist() == [1, 2, 3, 4]


def test_the_links_to_files_keep_the_filters_and_not_the_page(run, url, alice, client_for):
    page = client_for(alice).get(url, {"side": "short", "page": "1"}).content.decode()
    assert f'href="{reverse("backtests:trades_csv", args=[run.pk])}?side=short"' in page
    assert f'href="{reverse("backtests:trades_csv", args=[run.pk])}">CSV of all' in page


@pytest.mark.parametrize("name", ["trades_csv", "trades_parquet"])
@pytest.mark.parametrize("status", ["queued", "running", "failed", "cancelled"])
def test_a_run_that_is_not_done_has_no_files(alice, client_for, name, status):
    run = rows.make_run(alice, rows.make_model(), status=status)
    assert client_for(alice).get(reverse(f"backtests:{name}", args=[run.pk])).status_code == 404
