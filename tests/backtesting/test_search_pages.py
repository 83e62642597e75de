"""Pages and API of searches in every state, on rows made by hand."""

import json
import re

import numpy as np
import pytest
from django.urls import reverse

from backtesting.combos import space
from backtesting.engine import Engine
from backtesting.forms_engine import LABELS
from backtesting.models import ParameterSearch, TrialBatch
from backtesting.searches import trials
from tests.backtesting.searched import GRID, make_finished, make_results, make_search
from tests.signals import scenes
from tests.signals.scenes import BTC

pytestmark = pytest.mark.django_db
POLL = {"HX-Request": "true"}
NEW = reverse("backtests:search_new")
RULE = reverse("backtests:rule_new", args=["sma-cross"])


def words(reply) -> str:
    """What stands on the page, without tags."""
    main = reply.content.decode().split("<main")[1].split("</main>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main))


def detail(search) -> str:
    return reverse("backtests:search", args=[search.pk])


@pytest.fixture
def market(db):
    return scenes.make_market(BTC, bars=4_000)  # 41 days


def form(**more):
    facts = {
        "symbols": [BTC], "capital": "1000", "risk_profile": "medium", "objective": "sharpe", "least_trades": "5", "method": "grid",
        "walk": "none", "train_days": "180", "test_days": "60", "fast_low": "4", "fast_high": "12", "fast_step": "4", "slow_low": "20",
        "slow_high": "40", "slow_step": "10", "stop_atr_low": "1.5", "tp1_atr_low": "1.5", "tp2_atr_low": "2.75", "tp3_atr_low": "4.5",
        "trail_atr_low": "1.25", "hold_hours_low": "48",
    }  # fmt: skip
    return facts | more


# --- the form


def test_it_offers_each_strategy_with_its_usual_ranges(market, alice, client_for):
    page = client_for(alice).get(NEW)
    assert 'name="fast_low" value="5"' in page.content.decode()
    assert "90 combinations" in words(page)  # 10 x 10 less the 10 that do not go together
    offered, of_a_run = (set(re.findall(r'name="(\w+)"', each.content.decode())) for each in (page, client_for(alice).get(RULE)))
    assert set(LABELS) <= offered & of_a_run
    page = client_for(alice).get(f"{NEW}?strategy=rsi-reversion")
    assert 'name="oversold_high" value="40"' in page.content.decode()
    assert client_for(alice).get(f"{NEW}?strategy=moon").status_code == 200


def test_it_says_that_there_is_nothing_to_search_on(alice, client_for):
    assert "No candles yet" in words(client_for(alice).get(NEW))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("fast_low=4&fast_high=12&fast_step=4&slow_low=20", "3 combinations"),
        ("fast_low=4&slow_low=20", "1 combination "),
        ("fast_low=12&fast_high=4", "the range from 12 to 4 is empty"),
        ("fast_low=moon", "is not a whole number"),
        ("fast_low=2&fast_high=190&fast_step=1&slow_low=200&slow_high=500&slow_step=1", "more than 20000, so only a search that learns"),
    ],
)
def test_it_counts_while_the_form_is_changed(alice, client_for, query, text):
    reply = client_for(alice).get(reverse("backtests:search_count") + f"?strategy=sma-cross&{query}", headers=POLL)
    assert reply.status_code == 200
    assert text in re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", reply.content.decode()) + " ")


def test_it_starts_a_search(market, alice, client_for):
    settings = {"opposite": "reverse", "path": "adaptive", "sizing": "notional", "notional_pct": "25", "participation_pct": "10"}
    reply = client_for(alice).post(NEW, form(**settings))
    search = ParameterSearch.objects.get()
    assert search.engine == Engine.parse(settings).to_json()
    told = words(client_for(alice).get(detail(search)))
    assert "Simulated with: path inside a bar adaptive: the side nearer to the open first, opposite decision closes the position" in told
    assert (reply.status_code, reply["Location"]) == (302, detail(search))
    assert (search.user, search.wanted, search.method, float(search.capital)) == (alice, 9, "grid", 1000.0)
    assert search.space["fast"] == {"low": 4, "high": 12, "step": 4}
    assert search.space["stop_atr"]["low"] == search.space["stop_atr"]["high"] == 1.5


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"fast_low": "60", "fast_high": ""}, "fewer bars than the slow one"),
        ({"fast_low": ""}, "Fast average: give a value"),
        ({"slow_step": "x"}, "Slow average: give a number"),
        ({"tp1_atr_low": "3"}, "nearer than the second"),
        ({"walk": "rolling"}, "fewer than 2 windows"),
        ({"capital": "0"}, "Enter at least 1"),
        ({"symbols": []}, "Choose at least one market"),
        ({"method": "tpe", "trials": "5"}, "greater than or equal to 10"),
        ({"notional_pct": "5000"}, "give a number from 0.1 to 1000"),
        ({"impact": "x"}, "Give a number"),
        ({"detail": "1m"}, "None of the chosen markets has 1m candles"),
        ({"start": "2031-01-01"}, "no 15m candles in this span"),
    ],
)
def test_it_says_at_the_form_what_is_wrong_and_stores_nothing(market, alice, client_for, more, text):
    reply = client_for(alice).post(NEW, form(**more))
    assert reply.status_code == 422
    assert text in words(reply)
    assert not ParameterSearch.objects.exists()


# --- a search


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("queued", "Waiting for a worker"),
        ("running", "Trying 1 to 6 of 6"),
        ("failed", "The search failed. No candles. What it tried is kept: 3 of 6."),
        ("cancelled", "cancelled after 3 of 6 combinations"),
    ],
)
def test_it_says_how_an_unfinished_search_stands(alice, client_for, status, text):
    search = make_search(alice, status=status, stage="Trying 1 to 6 of 6", tried=3, error="No candles." if status == "failed" else "")
    assert text in words(client_for(alice).get(detail(search)))
    reply = client_for(alice).get(detail(search), headers=POLL)
    assert ("HX-Refresh" in reply) is (status in ("failed", "cancelled"))


def test_it_shows_what_was_found(alice, client_for):
    page = words(client_for(alice).get(detail(make_finished(alice))))
    for text in (
        "Out of sample", "Chance of any skill", "Chance of overfitting (PBO)", "Walk-forward efficiency", "6 different tries of this strategy over this time: 6 here",
        "The best in sample", "The best lies at the edge of what was tried: slow average. Something better", "+4.00 %", "What lies around the best", "5 combinations differ from the best",
    ):  # fmt: skip
        assert text in page


def test_it_shows_a_search_without_a_walk_forward_test_and_without_a_best(alice, client_for):
    search = make_finished(alice, walk=False)
    assert "Every figure comes from bars that the best was chosen on" in words(client_for(alice).get(detail(search)))
    search.result |= {"top": [], "deflated": None, "overfit": None, "around": None, "eligible": 0}
    search.save()
    page = words(client_for(alice).get(detail(search)))
    assert "No best" in page
    assert page.count("not defined There is no best to judge: no combination had enough trades and a defined objective.") == 2
    search.result |= {"top": make_finished(alice, walk=False).result["top"]}
    search.save()
    page = words(client_for(alice).get(detail(search)))
    assert "not defined Too few days with a result." in page
    assert "not defined Too few days: it needs 32." in page


def test_it_maps_the_parameters_that_were_asked_for(alice, client_for):
    search = make_finished(alice)
    page = words(client_for(alice).get(detail(search)))
    assert "Fast average across, Slow average down" in page
    assert "20 1.00 3.00 -2.00 40 2.00 4.00 best 0.50" in page
    turned = words(client_for(alice).get(detail(search) + "?x=slow&y=fast"))
    assert "5 1.00 2.00 10 3.00 4.00 best 15 -2.00 0.50" in turned
    assert client_for(alice).get(detail(search) + "?x=moon&y=moon").status_code == 200


def test_it_says_that_a_wide_map_is_thinned_and_shows_the_best(alice, client_for):
    wide = {"fast": {"low": 2, "high": 98, "step": 1}, "slow": {"low": 100, "high": 120, "step": 20}}
    found = space.parse("sma-cross", wide)
    table = found.combinations()
    net = -np.abs(table[:, 0] - 51)
    search = make_finished(alice)
    search.space = found.to_json()
    search.save()
    TrialBatch.objects.filter(search=search).delete()
    trials.batch(search, 0, table, make_results(net)).save()
    page = words(client_for(alice).get(detail(search)))
    assert "97 columns and 2 rows are too many to read: 34 and 2 of them are shown, the best one's among them." in page.replace(
        "&#x27;", "'"
    )
    assert page.count(" best ") >= 1
    assert "0.00 best" in page


def test_it_lists_my_searches_alone(alice, bob, client_for):
    make_finished(alice)
    make_search(bob)
    page = words(client_for(alice).get(reverse("backtests:searches")))
    assert page.count("Moving average cross") == 1
    assert "6 of 6 holds" in page
    ParameterSearch.objects.all().delete()
    assert "No searches yet" in words(client_for(alice).get(reverse("backtests:searches")))


def test_it_is_cancelled_and_taken_up_again(alice, bob, client_for, settings):
    search = make_search(alice, status="running")
    cancel, resume = (reverse(f"backtests:search_{verb}", args=[search.pk]) for verb in ("cancel", "resume"))
    assert client_for(bob).post(cancel).status_code == 404
    assert client_for(alice).get(cancel).status_code == 405
    assert client_for(alice).post(cancel)["Location"] == detail(search)
    search.refresh_from_db()
    assert search.status == "cancelled"
    assert "Go on" in words(client_for(alice).get(detail(search)))
    for _ in range(3):
        make_search(alice)
    page = client_for(alice).post(resume, follow=True)
    assert "3 of your searches are still waiting or running" in page.content.decode()
    search.refresh_from_db()
    assert search.status == "cancelled"


def test_it_keeps_strangers_out(alice, bob, client, client_for):
    search = make_finished(alice)
    assert client_for(bob).get(detail(search)).status_code == 404
    assert client.get(detail(search)).status_code == 302
    assert client_for(bob).get(detail(search), headers=POLL).status_code == 404


def test_it_hands_out_every_combination(alice, bob, client_for):
    search = make_finished(alice)
    batch = TrialBatch.objects.get(search=search)
    batch.figures["profit_factor"][2] = None
    batch.save()
    address = reverse("backtests:search_csv", args=[search.pk])
    reply = client_for(alice).get(address)
    lines = b"".join(reply.streaming_content).decode().split("\r\n")
    assert lines[0].startswith("fast,slow,stop_atr,tp1_atr,tp2_atr,tp3_atr,trail_atr,hold_hours,trades,wins,net_pct,profit_factor")
    assert lines[1].startswith("5.0,20.0,1.5,1.5,2.75,4.5,1.25,48.0,100,50,1.0,1.2")
    assert lines[3].startswith("10.0,20.0,1.5,1.5,2.75,4.5,1.25,48.0,100,50,3.0,,5.0")
    assert client_for(bob).get(address).status_code == 404


# --- the API


def post(client, body):
    return client.post("/api/v1/backtest/search", json.dumps(body), content_type="application/json")


def test_it_is_started_and_followed_over_the_api(market, alice, bob, client_for):
    body = {"strategy": "sma-cross", "space": GRID, "symbols": [BTC], "capital": 1000}
    reply = post(client_for(alice), body)
    assert reply.status_code == 202
    told = reply.json()
    assert told["combinations"] == 6
    found = client_for(alice).get(told["status_url"]).json()
    assert (found["id"], found["strategy"], found["simulated"]) == (told["id"], "sma-cross", True)
    assert client_for(bob).get(told["status_url"]).status_code == 404
    cancelled = client_for(alice).post(told["status_url"] + "/cancel").json()
    assert cancelled["status"] in ("cancelled", "done")
    assert client_for(bob).post(told["status_url"] + "/cancel").status_code == 404


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"strategy": "moon"}, "strategy"),
        ({"space": {"fast": {"low": 9, "high": 4}}}, "fast"),
        ({"space": {"moon": 4}}, "moon"),
        ({"symbols": ["MOON/USDT:USDT"]}, "symbols"),
        ({"capital": 0}, "capital"),
        ({"risk_profile": "wild"}, "risk_profile"),
        ({"walk": "rolling"}, "train_days"),
        ({"least_trades": 0}, "least_trades"),
        ({"trials": 10}, "trials"),
        ({"engine": {"path": "lucky"}}, "path"),
        ({"engine": {"moon": 1}}, "moon"),
        ({"start": "2031-01-01"}, "symbols"),
        ({"start": "2023-02-01", "end": "2023-02-01"}, "end"),
    ],
)
def test_it_names_the_field_and_stores_nothing(market, alice, client_for, more, field):
    reply = post(client_for(alice), {"strategy": "sma-cross", "space": GRID, "symbols": [BTC]} | more)
    assert (reply.status_code, reply.json()["field"]) == (422, field)
    assert not ParameterSearch.objects.exists()


@pytest.mark.parametrize(
    "more", [{"objective": "fame"}, {"space": {"fast": "x"}}, {"space": {"fast": {"low": 1}}}, {"moon": 1}, {"capital": True}]
)
def test_it_refuses_odd_bodies(market, alice, client_for, more):
    reply = post(client_for(alice), {"strategy": "sma-cross", "space": GRID, "symbols": [BTC]} | more)
    assert reply.status_code == 422
    assert not ParameterSearch.objects.exists()


@pytest.mark.parametrize(("chance", "said"), [(0.0074, "under 1 %"), (0.994, "over 99 %"), (0.428, "43 %")])
def test_a_chance_is_never_said_to_be_none_or_certain(alice, client_for, chance, said):
    search = make_finished(alice)
    search.result["deflated"] = {"probability": chance, "sharpe": 0.1, "by_chance": 0.2}
    search.result["overfit"] = {"probability": chance, "splits": 70, "combinations": 6, "loss": 0.5}
    search.save()
    told = words(client_for(alice).get(detail(search)))
    assert f"(deflated Sharpe) {said} daily ratio" in told
    assert f"(PBO) {said} 70 splits" in told


def test_the_map_says_why_a_cell_is_empty(alice, client_for):
    told = words(client_for(alice).get(detail(make_finished(alice))))
    assert "An empty cell has no combination that goes together, or none with enough trades and a defined objective." in told
