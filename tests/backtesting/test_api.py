"""What the API of backtests does with odd input and odd callers."""

import pytest

from backtesting.models import BacktestRun
from tests.backtesting import rows
from tests.signals import scenes
from tests.signals.scenes import BTC

pytestmark = pytest.mark.django_db
KNOWN = b'"symbols": ["BTC/USDT:USDT"]'


@pytest.fixture
def model(db):
    """A champion whose out-of-sample time is the last 30 of 50 bars."""
    scenes.make_market(BTC, bars=50)
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
