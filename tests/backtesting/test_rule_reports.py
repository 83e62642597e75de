"""The pages of a rule's run say what decided, and promise no model."""

import pytest
from django.urls import reverse

from backtesting import sharing
from tests.backtesting import rows
from tests.backtesting.test_pages import words

pytestmark = pytest.mark.django_db
LABEL = "Moving average cross (fast average 20, slow average 50)"


@pytest.fixture
def run(alice):
    made = rows.make_finished(alice, rows.make_model())
    made.model, made.strategy, made.strategy_params = None, "sma-cross", {"fast": 20, "slow": 50}
    made.metrics["sample"]["signals"] = 0
    made.save()
    return made


def test_it_names_the_rule_on_every_page(run, alice, client, client_for):
    other = rows.make_finished(alice, rows.make_model(version=2, scope="other"))
    mine = client_for(alice)
    assert LABEL in words(mine.get(reverse("backtests:list")))
    assert LABEL in words(mine.get(reverse("backtests:detail", args=[run.pk])))
    assert LABEL in words(client.get(reverse("backtests:shared", args=[sharing.create(run).token])))
    reply = mine.get(reverse("backtests:compare"), {"run": [run.pk, other.pk]})
    assert {row["label"]: row["values"] for row in reply.context["settings_rows"]}["decided by"] == [LABEL, "model version 2"]


def test_it_offers_no_champion_and_blames_no_model(run, alice, client_for):
    page = words(client_for(alice).get(reverse("backtests:detail", args=[run.pk])))
    assert "Run again" in page
    assert "today's champion" not in page
    assert "The rule decided nothing in this span." in page
