"""What the API of backtests does with odd input and odd callers."""

import pytest

from backtesting.models import BacktestRun
from exchanges.models import Market
from tests.backtesting import rows
from tests.signals import scenes
from tests.signals.scenes import BTC

pytestmark = pytest.mark.django_db
KNOWN = b'"symbols": ["BTC/USDT:USDT"]'


@pytest.fixture
def model(db):
    """A champion whose out-of-sample time is the last 30 of 50 bars."""
    scenes.make_market(BTC, bars=50)
    Market.objects.filter(symbol=BTC).update(min_notional=5)
    return rows.make_model(oos_start_ms=scenes.START_MS + 20 * scenes.BAR_MS)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"symbols": ["BTC\\u0000"]}', 422, "not listed"),
        (b'{"symbols": ["\\ud800"]}', 422, "not listed"),
        (b'{"symbols": "BTC"}', 422, "symbols"),
        (b"{%b, " % KNOWN + b'"capital": NaN}', 422, "capital"),
        (b"{%b, " % KNOWN + b'"capital": Infinity}', 422, "capital"),
        (b"{%b, " % KNOWN + b'"capital": true}', 422, "capital"),
        (b"{%b, " % KNOWN + b'"capital": "much"}', 422, "capital"),
        (b"{%b, " % KNOWN + b'"capital": 0.001}', 422, "capital"),
        (b"{%b, " % KNOWN + b'"risk_profile": "\\u0000"}', 422, "risk_profile"),
        (b"{%b, " % KNOWN + b'"start": "0001-01-01"}', 422, "start"),
        (b"{%b, " % KNOWN + b'"start": "9999-12-31"}', 422, "has no 15m candles between"),
        (b"{%b, " % KNOWN + b'"start": "31.12.2025"}', 422, "start"),
        (b"{%b, " % KNOWN + b'"end": "0001-01-01"}', 422, "end"),
        (b"[]", 422, "body"),
        (b"{", 400, "parse"),
    ],
)
def test_it_refuses_odd_bodies_and_stores_nothing(model, alice, client_for, body, status, words):
    reply = client_for(alice).post("/api/v1/backtest/run", body, content_type="application/json")
    assert reply.status_code == status
    assert words in reply.content.decode()
    assert BacktestRun.objects.count() == 0


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"symbols": ["NOPE/USDT:USDT"]}, "symbols", "is not listed"),
        ({"symbols": []}, "symbols", "name at least one"),
        ({"symbols": ["ETH/USDT:USDT"]}, "symbols", "has no candles"),
        ({"start": "2040-01-01"}, "symbols", "has no 15m candles between 2040-01-01"),
        ({"start": "2001-01-01"}, "start", "start there or later"),
        ({"end": "2001-01-01"}, "end", "must be after the start"),
        ({"start": "2040-01-02", "end": "2040-01-01"}, "end", "must be after the start"),
        ({"capital": 0}, "capital", "more than 0"),
        ({"capital": 1.005}, "capital", "more than two decimals"),
        (
            {"capital": 0.5},
            "capital",
            "cannot buy the venue's smallest order of BTC/USDT:USDT within the medium risk profile; it takes at least",
        ),
        ({"risk_profile": "yolo"}, "risk_profile", "use one of low, medium, high"),
    ],
)
def test_it_names_the_field_and_what_to_do(model, alice, client_for, change, field, words):
    reply = client_for(alice).post("/api/v1/backtest/run", {"symbols": [BTC]} | change, content_type="application/json")
    assert (reply.status_code, reply.json()["field"]) == (422, field)
    assert words in reply.json()["detail"]
    assert BacktestRun.objects.count() == 0


def test_it_tells_what_a_run_was_computed_from(alice, client_for):
    model = rows.make_model(version=3)
    first = rows.make_finished(alice, model)
    kept = {"data_hash": "d" * 32, "code_version": "abc", "params": {"seed": 0}, "start_ms": 1, "end_ms": 2}
    run = rows.make_finished(alice, model, repeats=first, comparison={"same": True}, **kept)
    found = client_for(alice).get(f"/api/v1/backtest/{run.pk}").json()
    told = {"seed": 0, "model_version": 3, "repeats": first.pk, "comparison": {"same": True}}
    assert {name: found[name] for name in (*kept, *told)} == kept | told
    found = client_for(alice).get(f"/api/v1/backtest/{first.pk}").json()
    assert (found["data_hash"], found["seed"], found["repeats"], found["comparison"]) == ("", None, None, {})


def test_it_takes_the_defaults_and_whole_numbers(model, alice, client_for):
    for body in (b"{%b}" % KNOWN, b"{%b, " % KNOWN + b'"capital": 100}'):
        assert client_for(alice).post("/api/v1/backtest/run", body, content_type="application/json").status_code == 202
    assert {(float(run.capital), run.risk_profile, run.user) for run in BacktestRun.objects.all()} == {(100.0, "medium", alice)}


def test_it_says_that_there_is_no_champion(alice, client_for):
    scenes.make_market(BTC, bars=50)
    reply = client_for(alice).post("/api/v1/backtest/run", b"{%b}" % KNOWN, content_type="application/json")
    assert (reply.status_code, reply.json()["field"]) == (422, "model")
    assert BacktestRun.objects.count() == 0


@pytest.mark.parametrize("run_id", ["0", "99999999999999999999999", "abc"])
def test_it_finds_no_run_that_is_not_there(alice, client_for, run_id):
    assert client_for(alice).get(f"/api/v1/backtest/{run_id}").status_code == 404


def test_it_tells_how_an_unfinished_run_goes(alice, client_for):
    run = rows.make_run(alice, rows.make_model(), status="running", stage="Simulating", progress=0.8)
    client, url = client_for(alice), f"/api/v1/backtest/{run.pk}"
    found = client.get(url).json()
    assert (found["status"], found["stage"], found["progress"], found["metrics"]) == ("running", "Simulating", 0.8, {})
    assert client.get(url + "/equity").json() == {"timestamps": [], "equity": [], "drawdown_pct": [], "buy_and_hold": []}
    assert client.get(url + "/trades").json() == {"items": [], "count": 0}


def test_it_hands_out_trades_by_limit_and_offset(alice, client_for):
    run = rows.make_finished(alice, rows.make_model(), trades=30)
    client, url = client_for(alice), f"/api/v1/backtest/{run.pk}/trades"
    found = client.get(url, {"limit": 3, "offset": 28}).json()
    assert ([trade["number"] for trade in found["items"]], found["count"]) == ([29, 30], 30)
    for bad in ({"limit": 0}, {"limit": 201}, {"offset": -1}):
        assert client.get(url, bad).status_code == 422


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_it_knows_no_other_methods(alice, client_for, method):
    run = rows.make_finished(alice, rows.make_model())
    assert getattr(client_for(alice), method)(f"/api/v1/backtest/{run.pk}").status_code == 405
    assert BacktestRun.objects.get() == run
