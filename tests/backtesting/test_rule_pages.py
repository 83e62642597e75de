"""A rule's backtest from the page, and from a search's combination."""

import re

import pytest
from django.urls import reverse

from backtesting.models import BacktestRun
from signals import rules
from tests.backtesting.searched import make_finished, make_search
from tests.signals import scenes
from tests.signals.scenes import BTC

pytestmark = pytest.mark.django_db
NEW = reverse("backtests:rule_new", args=["sma-cross"])


def words(reply) -> str:
    main = reply.content.decode().split("<main")[1].split("</main>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main))


@pytest.fixture
def market(db):
    return scenes.make_market(BTC, bars=4_000)


def form(**more):
    facts = {
        "symbols": [BTC], "capital": "1000", "risk_profile": "medium", "fast": "10", "slow": "40", "stop_atr": "1.5", "tp1_atr": "1.5",
        "tp2_atr": "2.75", "tp3_atr": "4.5", "trail_atr": "1.25", "hold_hours": "48", "path": "pessimistic", "detail": "", "entry": "market",
        "opposite": "keep", "sizing": "risk",
    }  # fmt: skip
    return facts | more


@pytest.mark.parametrize("slug", list(rules.STRATEGIES))
def test_it_offers_every_rule_with_its_parameters(market, alice, client_for, slug):
    page = client_for(alice).get(reverse("backtests:rule_new", args=[slug]))
    assert page.status_code == 200
    assert "Longest holding time" in words(page)
    assert "Path inside a bar" in words(page)


def test_it_knows_no_other_rule_and_needs_a_market(alice, client_for):
    assert client_for(alice).get(reverse("backtests:rule_new", args=["moon"])).status_code == 404
    assert "No candles yet" in words(client_for(alice).get(NEW))


def test_it_starts_a_run(market, alice, client_for):
    reply = client_for(alice).post(NEW, form(opposite="reverse", participation_pct="10"))
    run = BacktestRun.objects.get()
    assert (reply.status_code, reply["Location"]) == (302, reverse("backtests:detail", args=[run.pk]))
    assert (run.user, run.strategy, run.model) == (alice, "sma-cross", None)
    assert (run.strategy_params["fast"], run.strategy_params["slow"], run.strategy_params["hold_hours"]) == (10, 40, 48)
    assert (run.engine["opposite"], run.engine["participation_pct"], run.engine["path"]) == ("reverse", 10.0, "pessimistic")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"fast": "50"}, "fewer bars than the slow one"),
        ({"fast": ""}, "Give a value"),
        ({"fast": "x"}, "Give a number"),
        ({"slow": "99999"}, "choose one from 3 to 1000"),
        ({"tp1_atr": "3"}, "nearer than the second"),
        ({"path": "lucky"}, "Select a valid choice"),
        ({"limit_offset": "99"}, "99.0 cannot be used"),
        ({"symbols": []}, "Choose at least one market"),
        ({"start": "2031-01-01"}, "start earlier"),
    ],
)
def test_it_says_at_the_form_what_is_wrong_and_stores_nothing(market, alice, client_for, more, text):
    reply = client_for(alice).post(NEW, form(**more))
    assert reply.status_code == 422
    assert text in words(reply)
    assert not BacktestRun.objects.exists()


def test_it_names_the_field_once(market, alice, client_for):
    reply = client_for(alice).post(NEW, form(limit_offset="99", capital="1000"))
    assert reply.context["form"].errors == {"limit_offset": ["99.0 cannot be used; give a number from 0.01 to 5"]}
    reply = client_for(alice).post(NEW, form(capital="1"))
    (said,) = reply.context["form"].errors["capital"]
    assert said.startswith("1 USDT cannot buy")


def test_it_runs_a_combination_of_a_search(market, alice, bob, client_for):
    span = {"start_ms": scenes.START_MS, "end_ms": scenes.START_MS + 3_000 * scenes.BAR_MS}
    search = make_finished(alice, walk=False, **span)
    address = reverse("backtests:search_run", args=[search.pk, 3])
    assert "Backtest of number 1" in words(client_for(alice).get(reverse("backtests:search", args=[search.pk])))
    assert client_for(bob).post(address).status_code == 404
    assert client_for(alice).get(address).status_code == 405
    reply = client_for(alice).post(address)
    run = BacktestRun.objects.get()
    assert reply["Location"] == reverse("backtests:detail", args=[run.pk])
    assert (run.strategy_params["fast"], run.strategy_params["slow"]) == (10, 40)
    assert (run.requested_start_ms, run.requested_end_ms, run.symbols, float(run.capital)) == (*span.values(), [BTC], 1000.0)
    assert client_for(alice).post(reverse("backtests:search_run", args=[search.pk, 6])).status_code == 404


def test_it_says_why_a_combination_cannot_be_run(alice, client_for):
    search = make_search(alice)
    assert client_for(alice).post(reverse("backtests:search_run", args=[search.pk, 0])).status_code == 404
    reply = client_for(alice).post(reverse("backtests:search_run", args=[make_finished(alice).pk, 0]), follow=True)
    assert "has no candles" in reply.content.decode()
    assert not BacktestRun.objects.exists()
