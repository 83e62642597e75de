"""The page of the parity report: the summary, the causes, whose positions it shows, and its file."""

import csv

import pytest
from django.urls import reverse

from exchanges import execution
from exchanges.models import Candle
from tests.backtesting.lived import BAR_MS, LADDER, START_MS, live_on, open_long
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def recent(monkeypatch):
    """Today is the day after the bars."""
    monkeypatch.setattr(clock, "now_ms", lambda: START_MS + 86_400_000)


def page(client, **query) -> str:
    reply = client.get(reverse("backtests:parity"), query)
    assert reply.status_code == 200
    return " ".join(reply.content.decode().split())


def test_it_shows_a_position_that_came_out_the_same(alice, client_for, recent):
    open_long(alice)
    live_on(LADDER[2:])

    told = page(client_for(alice))

    assert "1 of 1" in told
    assert '<span class="badge">same</span>' in told
    assert "What the difference comes from" not in told


def test_it_shows_the_cause_of_a_difference(alice, client_for, recent):
    open_long(alice)
    position = live_on(LADDER[2:4])
    execution.close_position(position, reason="manual")

    assert "Closed by hand" in page(client_for(alice))


def test_it_warns_of_a_difference_without_a_cause(alice, client_for, recent):
    open_long(alice)
    live_on(LADDER[2:])
    Candle.objects.filter(timestamp=START_MS + 3 * BAR_MS).update(low=1950.0)

    assert "1 position differs and nothing stored says why. It comes first below." in page(client_for(alice))


def test_it_says_what_to_do_when_there_is_nothing_to_compare(alice, client_for):
    assert "No position to compare" in page(client_for(alice))


def test_it_takes_an_unknown_window_or_account_for_the_usual_one(alice, client_for, recent):
    open_long(alice)
    live_on(LADDER[2:])

    assert "1 of 1" in page(client_for(alice), days="many", account="999")


def test_it_keeps_a_stranger_out_and_lets_staff_choose(alice, bob, sam, client_for, recent):
    position = open_long(alice)
    live_on(LADDER[2:])

    assert "1 of 1" not in page(client_for(bob), account=position.account_id)
    assert "No position to compare" in page(client_for(sam))
    assert "1 of 1" in page(client_for(sam), account=position.account_id)


def test_it_gives_the_positions_as_a_file(alice, client_for, recent):
    open_long(alice)
    live_on(LADDER[2:])
    Candle.objects.filter(timestamp=START_MS + 4 * BAR_MS).update(high=2019.0, close=2010.0)

    reply = client_for(alice).get(reverse("backtests:parity_csv"))
    rows = list(csv.DictReader(reply.getvalue().decode().splitlines()))

    assert [(row["side"], row["entry_recorded"], row["causes"]) for row in rows] == [("long", "2000.6", "candles")]
