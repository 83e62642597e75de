"""What both ways of asking for a simulation over HTTP say against a body: one sentence and the dotted path of the culprit, whatever was sent."""

import json

import pytest

from backtesting.models import BacktestRun, ParameterSearch
from tests.backtesting.searched import GRID
from tests.signals import scenes
from tests.signals.scenes import BTC

pytestmark = pytest.mark.django_db
SEARCH, RUN = "/api/v1/backtest/search", "/api/v1/backtest/run"
LONG = "x" * 200


@pytest.fixture
def market(db):
    return scenes.make_market(BTC, bars=4_000)


def ask(client, url, more):
    known = {"symbols": [BTC]} | ({"strategy": "sma-cross", "space": GRID} if url == SEARCH else {"strategy": "sma-cross"})
    body = more if isinstance(more, bytes) else json.dumps(known | more)
    reply = client.post(url, body, content_type="application/json")
    return reply.status_code, reply.json().get("field"), reply.json()["detail"]


@pytest.mark.parametrize(
    ("url", "more", "field", "words"),
    [
        (SEARCH, b"{}", "strategy", "strategy: is missing; give it"),
        (SEARCH, b"[]", "body", "The body must be an object, not a list"),
        (SEARCH, b"null", "body", "The body must be an object, not null"),
        (SEARCH, b"", "body", "The body is missing; give it"),
        (SEARCH, {"moon": 1}, "moon", "moon: is not known here; leave it out, or correct its spelling"),
        (SEARCH, {LONG: 1}, "x" * 60, "x: is not known here"),
        (SEARCH, {"space": None}, "space", "space: must be an object, not null"),
        (SEARCH, {"space": {"fast": "x"}}, "space.fast", "space.fast: must be a number or an object, not 'x'"),
        (SEARCH, {"space": {"fast": [[[[]]]]}}, "space.fast", "must be a number or an object, not a list"),
        (SEARCH, {"space": {"fast": {"low": 1}}}, "space.fast.high", "space.fast.high: is missing; give it"),
        (SEARCH, {"space": {"fast": {"low": {}, "high": 2}}}, "space.fast.low", "space.fast.low: must be a number, not an object"),
        (SEARCH, {"space": {"fast": {"low": 1, "high": 2, LONG: 3}}}, "space.fast." + "x" * 60, "is not known here"),
        (SEARCH, {"space": {str(n): 1 for n in range(21)}}, "space", "space: must be shorter: at most 20"),
        (SEARCH, {"space": {LONG: 4}}, "x" * 60, "has no such parameter"),
        (SEARCH, {"symbols": [BTC, 7]}, "symbols.1", "symbols.1: must be text, not 7"),
        (SEARCH, {"symbols": [LONG * 5_000]}, "symbols", "is not listed on"),
        (SEARCH, {"symbols": ["₿/💰"]}, "symbols", "'₿/💰' is not listed on"),
        (
            SEARCH,
            {"objective": "fame"},
            "objective",
            "must be 'sharpe', 'net_profit', 'profit_factor', 'calmar' or 'expectancy', not 'fame'",
        ),
        (SEARCH, {"trials": 10.5}, "trials", "trials: must be a whole number, not 10.5"),
        (SEARCH, {"method": "tpe", "trials": 10**4000}, "trials", "trials: must be a whole number from 10 to 2,000"),
        (SEARCH, {"train_days": 10**400}, "train_days", "train_days: must be a whole number from 1 to 3,650"),
        (SEARCH, {"start": "1.1.2025"}, "start", "start: must be a day such as 2025-01-31, not '1.1.2025'"),
        (SEARCH, {"engine": []}, "engine", "engine: must be an object, not a list"),
        (SEARCH, {"engine": {"path": {"a": [LONG]}}}, "path", "is not known; use pessimistic"),
        (SEARCH, {"strategy": LONG * 1_000}, "strategy", "is unknown"),
        (SEARCH, {"risk_profile": LONG * 1_000}, "risk_profile", "is unknown"),
        (RUN, b"{}", "symbols", "symbols: is missing; give it"),
        (RUN, {"capital": True}, "capital", "capital: must be a number, not true"),
        (RUN, {"capital": None}, "capital", "capital: must be a number, not null"),
        (RUN, {"capital": 10**400}, "capital", "capital: must be a number"),
        (RUN, {"capital": float("nan")}, "capital", "capital: "),
        (RUN, {"strategy_params": {"fast": {"low": 1}}}, "fast", "takes one value, not a range"),
        (RUN, {"strategy": LONG}, "strategy", "strategy: must be shorter: at most 40 characters"),
        (RUN, {"strategy_params": {LONG: 1}}, "x" * 60, "has no such parameter"),
        (RUN, {"symbols": [BTC] * 201}, "symbols", "symbols: must be shorter: at most 200"),
    ],
)
def test_it_says_in_a_sentence_what_cannot_be_used(market, alice, client_for, url, more, field, words):
    status, culprit, detail = ask(client_for(alice), url, more)
    assert (status, culprit) == (422, field)
    assert words in detail
    assert len(detail) < 400
    assert "validator" not in detail
    assert "Input should" not in detail
    assert not BacktestRun.objects.exists()
    assert not ParameterSearch.objects.exists()


@pytest.mark.parametrize("url", [SEARCH, RUN])
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[" * 100_000, 400), (b'{"capital": ' + b"9" * 5_000 + b"}", 400), (b"\xff", 400), (b'"' + b"x" * 1_100_000 + b'"', 413)],
)
def test_it_answers_what_it_cannot_read(alice, client_for, url, body, status):
    assert ask(client_for(alice), url, body)[0] == status


def test_it_takes_the_last_of_two_equal_names(market, alice, client_for):
    body = json.dumps({"strategy": "sma-cross", "space": GRID, "symbols": [BTC], "capital": 0})[:-1] + ', "capital": 1000}'
    assert client_for(alice).post(SEARCH, body, content_type="application/json").status_code == 202
    assert float(ParameterSearch.objects.get().capital) == 1000.0


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("limit=moon", "limit", "limit: must be a whole number, not 'moon'"),
        ("limit=0", "limit", "limit: must be 1 or more, not '0'"),
        ("offset=" + "9" * 30, "offset", "offset: must be 1000000 or less"),
        ("offset=" + "9" * 5_000, "offset", "offset: must be a whole number"),
    ],
)
def test_it_says_what_is_wrong_with_an_address(alice, client_for, query, field, words):
    reply = client_for(alice).get(f"/api/v1/backtest/1/trades?{query}")
    assert (reply.status_code, reply.json()["field"]) == (422, field)
    assert words in reply.json()["detail"]
    assert len(reply.json()["detail"]) < 200
