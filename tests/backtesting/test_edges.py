"""Command, API and pages of backtests."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from backtesting import kernel, runs
from backtesting.models import BacktestRun
from backtesting.views.report import REFUSED
from tests.signals.scenes import BTC, ETH

pytestmark = pytest.mark.django_db


@pytest.fixture
def finished(champion, alice):
    run = runs.start(alice, symbols=[BTC, ETH], capital=1000, risk_profile="medium", queue=False)
    runs.execute(run.pk)
    run.refresh_from_db()
    return run


# --- command


def backtest(*args):
    out = io.StringIO()
    call_command("backtest", *args, stdout=out)
    return out.getvalue()


def test_it_prints_json_with_span_and_sample(champion):
    found = json.loads(backtest("--symbols", f"{BTC},{ETH}", "--capital", "100", "--risk-profile", "medium", "--json"))
    assert found["status"] == "done"
    assert found["label"] == "SIMULATED MARKET"
    assert found["sample"]["symbols"] == [BTC, ETH]
    assert {"hit_rate_tp1", "sharpe", "fees"} <= found["metrics"].keys()
    assert (found["model"]["version"], found["costs"][0]["taker_bps"]) == (champion.version, 5.0)
    assert "Infinity" not in json.dumps(found)
    assert "NaN" not in json.dumps(found)


def test_it_prints_a_table_and_writes_the_trades(champion, tmp_path):
    text = backtest("--symbols", BTC, "--capital", "1000", "--trades", str(tmp_path / "t.parquet"))
    assert "SIMULATED MARKET" in text
    assert "profit_factor" in text
    run = BacktestRun.objects.get()
    assert pq.read_table(tmp_path / "t.parquet").num_rows == run.trades.count()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--symbols", BTC, "--capital", "0"], "capital"),
        (["--symbols", BTC, "--risk-profile", "yolo"], "risk_profile"),
        (["--symbols", "NOPE/USDT:USDT"], "symbol"),
        (["--symbols", ","], "symbols"),
        (["--symbols", BTC, "--start", "yesterday"], "start"),
        (["--symbols", BTC, "--start", "2001-01-01"], "start"),
        (["--symbols", BTC, "--trades", "x.xlsx"], "trades"),
        (["--symbols", BTC, "--trades", "no/such/folder/x.csv"], "trades"),
    ],
)
def test_it_refuses_bad_arguments_in_one_line(champion, args, words):
    with pytest.raises(CommandError) as refused:
        backtest(*args)
    assert str(refused.value).startswith(words)
    assert "\n" not in str(refused.value)
    assert BacktestRun.objects.count() == 0


# --- API


def post(client, body):
    return client.post("/api/v1/backtest/run", json.dumps(body), content_type="application/json")


def test_it_queues_a_run_and_tells_where_to_look(champion, alice, client_for, django_capture_on_commit_callbacks):
    client = client_for(alice)
    with django_capture_on_commit_callbacks(execute=True):
        reply = post(client, {"symbols": [BTC], "capital": 500, "risk_profile": "low"})
    assert reply.status_code == 202, reply.content
    state = client.get(reply.json()["status_url"]).json()
    assert (state["status"], state["simulated"], state["capital"]) == ("done", True, 500.0)
    assert state["metrics"]["span"]["start"]
    url = reply.json()["status_url"]
    assert client.get(url + "/equity").json()["timestamps"]
    assert client.get(url + "/trades", {"limit": 1}).json()["count"] >= 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"symbols": [BTC], "capital": 0}, "capital"),
        ({"symbols": [BTC], "risk_profile": "yolo"}, "risk_profile"),
        ({"symbols": ["NOPE/USDT:USDT"]}, "symbols"),
        ({"symbols": []}, "symbols"),
    ],
)
def test_it_answers_422_naming_the_field(champion, alice, client_for, body, field):
    reply = post(client_for(alice), body)
    assert (reply.status_code, reply.json()["field"]) == (422, field)
    assert BacktestRun.objects.count() == 0


def test_it_refuses_unknown_keys_and_anonymous_callers(champion, alice, client, client_for):
    assert post(client_for(alice), {"symbols": [BTC], "leverage": 100}).status_code == 422
    assert post(client, {"symbols": [BTC]}).status_code == 401
    assert BacktestRun.objects.count() == 0


@pytest.mark.parametrize("tail", ["", "/equity", "/trades"])
def test_it_hides_a_run_from_strangers(finished, bob, client_for, tail):
    assert client_for(bob).get(f"/api/v1/backtest/{finished.pk}{tail}").status_code == 404


# --- pages


@pytest.mark.parametrize("name", ["detail", "trades_csv", "trades_parquet"])
def test_it_shows_a_run_to_its_owner_only(finished, alice, bob, client, client_for, name):
    url = reverse(f"backtests:{name}", args=[finished.pk])
    assert client_for(alice).get(url).status_code == 200
    assert client_for(bob).get(url).status_code == 404
    assert client.get(url).status_code == 302


@pytest.mark.parametrize("name", ["rerun", "delete"])
def test_it_changes_a_run_by_post_and_for_its_owner_only(finished, alice, bob, client_for, name):
    url = reverse(f"backtests:{name}", args=[finished.pk])
    assert client_for(alice).get(url).status_code == 405
    assert client_for(bob).post(url).status_code == 404
    assert BacktestRun.objects.count() == 1
    assert client_for(alice).post(url).status_code == 302
    assert BacktestRun.objects.count() == (2 if name == "rerun" else 0)


def test_it_reports_with_label_sample_and_charts(finished, alice, client_for):
    page = client_for(alice).get(reverse("backtests:detail", args=[finished.pk])).content.decode()
    texts = (
        "SIMULATED MARKET",
        "Out of sample",
        "n = ",
        'data-backtest-chart="equity-benchmark"',
        "Buy and hold",
        "Show data",
        "Not entered:",
    )
    for text in texts:
        assert text in page, text
    curves = json.loads(page.split('id="equity-data" type="application/json">')[1].split("</script>")[0])
    assert len(curves["equity"]) == len(curves["benchmark"]) > 1


def test_it_has_words_for_every_refusal():
    assert {*REFUSED} == {word for word in kernel.REFUSALS if word}


def test_it_downloads_every_trade(finished, alice, client_for):
    reply = client_for(alice).get(reverse("backtests:trades_csv", args=[finished.pk]))
    rows = list(csv.DictReader(io.StringIO(b"".join(reply.streaming_content).decode())))
    assert len(rows) == finished.trades.count()
    assert {row["data"] for row in rows} <= {"simulated"}


def test_it_asks_for_a_run_through_the_form(champion, alice, client_for, django_capture_on_commit_callbacks):
    client = client_for(alice)
    with django_capture_on_commit_callbacks(execute=True):
        reply = client.post(reverse("backtests:new"), {"symbols": [BTC], "capital": "250", "risk_profile": "high"})
    run = BacktestRun.objects.get()
    assert reply["Location"] == reverse("backtests:detail", args=[run.pk])
    assert (run.status, run.user, run.risk_profile) == ("done", alice, "high")


@pytest.mark.parametrize(
    "changes", [{"capital": "0"}, {"risk_profile": "yolo"}, {"symbols": ["NOPE"]}, {"symbols": []}, {"start": "2001-01-01"}]
)
def test_it_answers_a_bad_form_with_422_and_keeps_nothing(champion, alice, client_for, changes):
    reply = client_for(alice).post(reverse("backtests:new"), {"symbols": [BTC], "capital": "1000", "risk_profile": "low", **changes})
    assert reply.status_code == 422
    assert "field__errors" in reply.content.decode() or "form-errors" in reply.content.decode()
    assert BacktestRun.objects.count() == 0


def test_it_shows_progress_until_the_run_is_over(champion, alice, client_for):
    run = runs.start(alice, symbols=[BTC], capital=1000, risk_profile="low", queue=False)
    client, url = client_for(alice), reverse("backtests:detail", args=[run.pk])
    assert 'hx-trigger="every 1s"' in client.get(url).content.decode()
    assert "HX-Refresh" not in client.get(url, headers={"HX-Request": "true"})
    BacktestRun.objects.update(status="failed", error="It broke because of X.")
    assert client.get(url, headers={"HX-Request": "true"})["HX-Refresh"] == "true"
    page = client.get(url).content.decode()
    assert "It broke because of X." in page
    assert "Run again" in page


def test_it_says_that_there_is_no_model_yet(alice, client_for):
    client = client_for(alice)
    assert "No model yet" in client.get(reverse("backtests:list")).content.decode()
    assert "No model yet" in client.get(reverse("backtests:new")).content.decode()
