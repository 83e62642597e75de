"""Pages of backtests in every state, on rows made by hand."""

import csv
import io
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backtesting.models import BacktestRun, BacktestTrade
from backtesting.views.report import LABELS
from tests.backtesting import rows
from tests.signals import scenes
from tests.signals.scenes import BTC

pytestmark = pytest.mark.django_db
POLL = {"HX-Request": "true"}


def words(reply) -> str:
    """What stands on the page, without tags."""
    main = reply.content.decode().split("<main")[1].split("</main>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main))


def detail(run) -> str:
    return reverse("backtests:detail", args=[run.pk])


@pytest.fixture
def model(db):
    return rows.make_model()


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("queued", "Waiting for a worker"),
        ("running", "Asking the model"),
        ("failed", "The run failed. No candles."),
        ("cancelled", "The run was cancelled; it has no figures."),
    ],
)
def test_it_says_how_a_run_without_figures_stands(model, alice, client_for, status, text):
    run = rows.make_run(alice, model, status=status, stage="Asking the model", error="No candles." if status == "failed" else "")
    page = words(client_for(alice).get(detail(run)))
    assert text in page
    assert ("Run again" in page) is (status in ("failed", "cancelled"))


def test_it_keeps_the_fragment_out_of_the_page_s_cache_entry(model, alice, client_for):
    url = detail(rows.make_run(alice, model))
    page, fragment = client_for(alice).get(url), client_for(alice).get(url, headers=POLL)
    assert "HX-Request" in page["Vary"]
    assert "HX-Request" in fragment["Vary"]
    assert "<html" not in fragment.content.decode()
    restored = client_for(alice).get(url, headers={**POLL, "HX-History-Restore-Request": "true"})
    assert "<html" in restored.content.decode()


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
def test_it_ends_the_polling_when_the_run_is_over(model, alice, client_for, status):
    reply = client_for(alice).get(detail(rows.make_run(alice, model, status=status)), headers=POLL)
    assert (reply.status_code, reply["HX-Refresh"], reply.content) == (200, "true", b"")


def test_it_ends_the_polling_of_strangers_and_of_who_is_signed_out(model, alice, bob, client, client_for):
    url = detail(rows.make_run(alice, model))
    for caller in (client_for(bob), client):
        reply = caller.get(url, headers=POLL)
        assert (reply.status_code, reply["HX-Refresh"], reply.content) == (404, "true", b"")


def test_it_shows_every_figure_with_sample_and_interval(model, alice, client_for):
    hits = {"value": 0.5714, "n": 7, "low": 0.25, "high": 0.84, **rows.SPAN}
    page = words(client_for(alice).get(detail(rows.make_finished(alice, model, figures={"hit_rate_tp1": hits}))))
    assert "Reached TP1 57.14 % 95 %: 25.0 to 84.0 %, n = 7" in page
    for label, _ in LABELS.values():
        assert label in page
    assert "0 trades are too few to judge by" in page
    assert "SIMULATED MARKET" in page


def test_it_says_why_a_figure_is_not_defined(model, alice, client_for):
    nothing = {"value": None, "n": 0, "reason": "no losing trade", **rows.SPAN}
    page = words(client_for(alice).get(detail(rows.make_finished(alice, model, figures={"profit_factor": nothing}))))
    assert "Profit factor not defined no losing trade" in page


@pytest.mark.parametrize(
    ("signals", "text"), [(0, "No bar of this span passed every test"), (8, "There were signals, but none was entered")]
)
def test_it_says_why_there_are_no_trades(model, alice, client_for, signals, text):
    run = rows.make_finished(alice, model)
    run.metrics["sample"]["signals"] = signals
    run.save()
    assert text in words(client_for(alice).get(detail(run)))


def test_it_pages_through_the_trades(model, alice, client_for):
    run = rows.make_finished(alice, model, trades=30)
    client = client_for(alice)
    pages = [client.get(detail(run), {"page": page}).context["page"] for page in ("1", "2", "99", "x")]
    assert [[trade.number for trade in page] for page in pages] == [[*range(1, 26)], [*range(26, 31)], [*range(26, 31)], [*range(1, 26)]]


def test_it_asks_the_database_no_more_for_more_trades(model, alice, client_for, django_assert_max_num_queries):
    run = rows.make_finished(alice, model, trades=30)
    client = client_for(alice)
    with django_assert_max_num_queries(11):
        assert client.get(detail(run)).status_code == 200


def test_it_lists_my_runs_alone_with_figures_where_there_are_some(model, alice, bob, client_for):
    mine = [rows.make_run(alice, model), rows.make_finished(alice, model, start_ms=rows.START_MS, end_ms=rows.START_MS + 3 * rows.DAY_MS)]
    rows.make_run(bob, model)
    reply = client_for(alice).get(reverse("backtests:list"))
    assert [run.pk for run in reply.context["page"]] == [run.pk for run in reversed(mine)]
    assert re.search(r"BTC/USDT:USDT 1 Jan 2025 to 4 Jan 2025 1.5 \+1.50 % Done 1000.00 USDT Medium \d", words(reply))
    assert re.search(r"BTC/USDT:USDT – – Queued 1000.00 USDT Medium \d", words(reply))


def test_the_list_reads_no_curves(model, alice, client_for):
    for _ in range(3):
        rows.make_finished(alice, model)
    with CaptureQueriesContext(connection) as seen:
        reply = client_for(alice).get(reverse("backtests:list"))
    assert all(run.get_deferred_fields() == {"equity", "params", "comparison"} for run in reply.context["page"])
    assert not any('"equity"' in query["sql"] for query in seen if "backtesting_backtestrun" in query["sql"])


def test_it_offers_markets_with_candles_and_the_profile_s_defaults(model, alice, client_for):
    client, url = client_for(alice), reverse("backtests:new")
    assert "No candles yet" in words(client.get(url))
    scenes.make_market(BTC, bars=10)
    alice.profile.simulation_capital, alice.profile.risk_profile = 321, "high"
    alice.profile.save()
    form = client_for(alice).get(url).context["form"]
    assert [symbol for symbol, _ in form.fields["symbols"].choices] == [BTC]
    assert (form["capital"].value(), form["risk_profile"].value()) == (321, "high")
    assert "2025-01-01 00:00 UTC" in form.fields["start"].help_text


def test_it_reruns_nothing_that_cannot_run(model, alice, client_for):
    run = rows.make_run(alice, model, status="failed", error="No candles.")
    reply = client_for(alice).post(reverse("backtests:rerun", args=[run.pk]), follow=True)
    assert "has no candles" in reply.content.decode()
    assert BacktestRun.objects.get() == run


def test_it_removes_a_run_with_its_trades(model, alice, client_for):
    run = rows.make_finished(alice, model, trades=3)
    assert client_for(alice).post(reverse("backtests:delete", args=[run.pk])).status_code == 302
    assert (BacktestRun.objects.count(), BacktestTrade.objects.count()) == (0, 0)


def test_it_writes_no_formula_into_the_csv(model, alice, client_for):
    run = rows.make_finished(alice, model)
    rows.make_trade(run, 1, symbol="=1+1", pnl=-0.5).save()
    reply = client_for(alice).get(reverse("backtests:trades_csv", args=[run.pk]))
    (row,) = csv.DictReader(io.StringIO(b"".join(reply.streaming_content).decode()))
    assert (row["symbol"], row["pnl"], row["data"]) == ("'=1+1", "-0.5", "simulated")
    assert "attachment" in reply["Content-Disposition"]


def test_a_model_s_run_takes_the_settings_of_the_simulation(champion, alice, client_for):
    page = client_for(alice)
    facts = {"symbols": [BTC], "capital": "10000", "risk_profile": "medium"}
    reply = page.post("/backtests/new/", {**facts, "path": "adaptive", "notional_pct": "12.5", "limit_bars": ""})
    run = BacktestRun.objects.get()
    assert reply.status_code == 302
    assert (run.engine["path"], run.engine["notional_pct"], run.engine["limit_bars"], run.strategy) == ("adaptive", 12.5, 4, "ml-ensemble")
    reply = page.post("/backtests/new/", {**facts, "impact": "11"})
    assert reply.status_code == 422
    assert b"from 0 to 10" in reply.content
    assert b"<details open><summary>How it is simulated" in reply.content
    assert BacktestRun.objects.count() == 1
