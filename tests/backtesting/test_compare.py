"""Runs side by side: which ones, what differs, and what the reader is warned of."""

import pytest
from django.urls import reverse

from tests.backtesting import rows
from tests.backtesting.test_pages import words
from tests.signals.scenes import BTC, ETH

pytestmark = pytest.mark.django_db
EMPTY = "Choose two to six finished backtests"


@pytest.fixture
def model():
    return rows.make_model()


@pytest.fixture
def compare(alice, client_for):
    client = client_for(alice)
    return lambda *ids: client.get(reverse("backtests:compare"), {"run": [getattr(each, "pk", each) for each in ids]})


def test_it_puts_runs_in_the_order_that_was_asked_for(alice, model, compare):
    first, second = (rows.make_finished(alice, model) for _ in range(2))
    reply = compare(second, first, second)
    assert reply.context["runs"] == [second, first]
    assert "2 backtests side by side" in words(reply)


@pytest.mark.parametrize("ids", [[], ["x"], ["0"], ["9" * 40], ["-1"], ["²"]])
def test_it_asks_for_two_runs_that_it_knows(alice, model, compare, ids):
    mine = rows.make_finished(alice, model)
    assert EMPTY in words(compare(*ids))
    assert EMPTY in words(compare(mine, *ids))


def test_it_leaves_out_what_is_not_mine_or_not_done(alice, bob, model, compare):
    mine, foreign, waiting = rows.make_finished(alice, model), rows.make_finished(bob, model), rows.make_run(alice, model)
    assert EMPTY in words(compare(mine, foreign, waiting))
    also = rows.make_finished(alice, model)
    assert compare(mine, foreign, waiting, also).context["runs"] == [mine, also]


def test_it_shows_six_at_most(alice, model, compare):
    runs = [rows.make_finished(alice, model) for _ in range(7)]
    reply = compare(*runs)
    assert reply.context["runs"] == runs[:6]
    assert "Only the first 6 are shown" in words(reply)


def test_it_tells_settings_that_differ_from_those_that_do_not(alice, model, compare):
    one = rows.make_finished(alice, model, params={"plan": {"stop_atr": 1.5, "shares": [0.3, 0.7]}, "seed": 0}, data_hash="a" * 32)
    other = rows.make_finished(alice, model, params={"plan": {"stop_atr": 2.0, "shares": [0.3, 0.7]}}, data_hash="a" * 32, capital=250)
    context = compare(one, other).context
    assert [(row["label"], row["values"]) for row in context["settings_rows"]] == [
        ("capital", ["1000.00 USDT", "250.00 USDT"]),
        ("plan: stop atr", ["1.5", "2"]),
        ("seed", ["0", "–"]),
    ]
    same = {row["label"]: row["values"][0] for row in context["same_rows"]}
    assert (same["plan: shares"], same["data"], same["code"], same["markets"]) == ("0.3, 0.7", "a" * 12, "not kept", BTC)


def test_it_begins_every_curve_at_a_hundred(alice, model, compare):
    one, other = rows.make_finished(alice, model), rows.make_finished(alice, model, capital=500)
    curves = compare(one, other).context["curves"]
    assert [value for _, value in curves[0]["rows"]] == [100.0, 99.0, 101.0]
    assert [value for _, value in curves[1]["rows"]] == [200.0, 198.0, 202.0]
    assert curves[0]["rows"][0][0] == rows.START_MS


def test_it_warns_of_what_cannot_be_compared(alice, model, compare):
    one, other = rows.make_finished(alice, model), rows.make_finished(alice, model, symbols=[ETH])
    other.metrics["span"]["end_ms"] += rows.DAY_MS
    other.save()
    assert compare(one, other).context["warnings"] == [
        "The spans differ: a figure of one time says little about another time.",
        "The markets differ.",
        "Every market here is simulated: nothing of it says what a real market would bring.",
        "The best of 2 is flattered by its luck: the more runs are compared, the less its lead means.",
    ]
    real = [rows.make_finished(alice, model, provenance="venue") for _ in range(2)]
    assert len(compare(*real).context["warnings"]) == 1


def test_it_marks_each_simulated_run_and_warns_of_it(alice, model, compare):
    real, simulated = rows.make_finished(alice, model, provenance="venue"), rows.make_finished(alice, model)
    page = words(compare(real, simulated))
    assert f"Figure Backtest {real.pk} Backtest {simulated.pk} SIMULATED " in page
    assert "Simulated and real markets stand side by side" in page
    assert page.count("SIMULATED") == 1


def test_it_shows_a_figure_that_only_one_run_has(alice, model, compare):
    one, other = rows.make_finished(alice, model), rows.make_finished(alice, model)
    del other.metrics["metrics"]["sortino"]
    other.save()
    assert "Sortino, daily, a year 1.50 –" in words(compare(one, other))


def test_the_list_offers_finished_runs_for_comparison(alice, model, client_for):
    done, waiting = rows.make_finished(alice, model), rows.make_run(alice, model)
    page = client_for(alice).get(reverse("backtests:list")).content.decode()
    assert f'name="run" value="{done.pk}"' in page
    assert f'name="run" value="{waiting.pk}"' not in page


def test_it_asks_the_database_as_often_for_six_as_for_two(alice, model, compare, django_assert_max_num_queries):
    runs = [rows.make_finished(alice, model) for _ in range(6)]
    with django_assert_max_num_queries(8):
        compare(*runs)
