"""The page of the parity report: the summary, the causes, whose positions it shows, and its file."""

import csv

import pytest
from django.urls import reverse

from backtesting.models import BacktestRun, BacktestTrade
from exchanges import candles, execution
from exchanges.models import Candle
from tests.backtesting.lived import BAR_MS, ETH, LADDER, START_MS, bars, live_on, open_long
from tests.signals.scenes import make_signal
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


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ({"days": "many"}, "days", "Choose 7, 30, 90 or 365 days, or give two days of your own."),
        ({"start": "2025-01-03", "end": "2025-01-01"}, "end", "The last day must not be before the first: swap them, or leave one out."),
        ({"start": "yesterday"}, "start", "Give a day like 2025-01-31."),
        ({"start": "0001-01-01"}, "start", "There is nothing before 2009-01-03."),
        ({"end": "9999-12-31"}, "end", "Give a day before 2100-01-01."),
        ({"account": "mine"}, "account", "Choose an account from the list."),
    ],
)
def test_what_cannot_be_asked_is_said_at_its_field_and_in_place_of_the_file(alice, client_for, query, field, sentence):
    open_long(alice)
    client = client_for(alice)

    told, file = client.get(reverse("backtests:parity"), query), client.get(reverse("backtests:parity_csv"), query)

    assert (told.status_code, file.status_code) == (422, 422)
    assert f'id="id_{field}_error"><li>{sentence}</li>' in told.content.decode()
    assert file.content.decode() == f"{field}: {sentence}"


@pytest.mark.parametrize("query", [{"account": "999"}, {"account": "9" * 40}, {"run": "999"}, {"run": "x"}])
def test_what_is_not_there_is_not_found(alice, client_for, query):
    assert client_for(alice).get(reverse("backtests:parity"), query).status_code == 404


def test_it_takes_days_of_ones_own(alice, client_for):
    open_long(alice)
    live_on(LADDER[2:])

    assert "1 of 1" in page(client_for(alice), start="2025-01-01", end="2025-01-01")
    before = page(client_for(alice), start="2024-12-01", end="2024-12-31")
    assert "None was opened from 1 Dec 2024 to 31 Dec 2024. The newest one is of 1 Jan 2025." in before
    assert "?start=2025-01-01&amp;end=2025-01-01" in before


def test_a_span_whose_candles_are_gone_is_told_apart(alice, client_for, recent):
    open_long(alice)
    live_on(LADDER[2:])
    Candle.objects.all().delete()

    told = page(client_for(alice))

    assert "The simulation does not enter: the bar after the decision is not stored." in told


def test_it_keeps_a_stranger_out_and_lets_staff_choose(alice, bob, sam, client_for, recent):
    position = open_long(alice)
    live_on(LADDER[2:])

    assert client_for(bob).get(reverse("backtests:parity"), {"account": position.account_id}).status_code == 404
    assert client_for(bob).get(reverse("backtests:parity_csv"), {"account": position.account_id}).status_code == 404
    assert "No position to compare" in page(client_for(sam))
    assert "1 of 1" in page(client_for(sam), account=position.account_id)


def test_it_gives_the_positions_as_a_file(alice, client_for, recent):
    open_long(alice)
    live_on(LADDER[2:])
    Candle.objects.filter(timestamp=START_MS + 4 * BAR_MS).update(high=2019.0, close=2010.0)

    reply = client_for(alice).get(reverse("backtests:parity_csv"))
    rows = list(csv.DictReader(reply.getvalue().decode().splitlines()))

    assert [(row["side"], row["entry_recorded"], row["causes"]) for row in rows] == [("long", "2000.6", "candles")]
    assert rows[0]["exits_recorded"].startswith("tp1 ")
    assert " @ 2020 2025-01-01T01:00; trail " in rows[0]["exits_recorded"]
    assert " @ 2020 2025-01-01T01:15; end_of_data " in rows[0]["exits_simulated"]


def finished(user, position, **changes) -> BacktestRun:
    """A run over the day, with one trade that is the position's."""
    run = BacktestRun.objects.create(
        user=user, strategy="ml-ensemble", venue_slug="binance", symbols=[ETH], timeframe="15m", capital=1000, risk_profile="medium",
        status="done", start_ms=START_MS, end_ms=START_MS + 86_400_000,
    )  # fmt: skip
    facts = {
        "symbol": ETH, "side": "long", "signal_ms": START_MS + BAR_MS, "entry_ms": START_MS + 2 * BAR_MS, "exit_ms": START_MS + 5 * BAR_MS,
        "entry_price": 2000.6, "exit_price": 2010.0, "qty": 2 * float(position.qty_opened), "leverage": 1, "stop": 1960.0, "tp1": 2020.0,
        "tps_hit": 1, "exit_reason": "trail", "fees": 0.0, "funding": 0.0, "pnl": 1.0, "pnl_pct": 1.0,
    }  # fmt: skip
    BacktestTrade.objects.create(run=run, number=1, **facts | changes)
    return run


def test_it_holds_a_run_against_the_positions_of_its_owner(alice, bob, client_for):
    market = candles.find_market(ETH)
    candles.ingest(market, bars(LADDER[:2]), provenance="file")
    signal = make_signal(market, bar_ms=START_MS + BAR_MS, entry=2000.0, step=20.0)
    open_long(alice, origin=f"signal:{signal.pk}")
    position = live_on(LADDER[2:])
    run = finished(alice, position)

    told = page(client_for(alice), run=run.pk)

    assert f"Parity with backtest {run.pk}" in told
    assert '<dt>In both, and went alike</dt><dd class="num">1 of 1</dd>' in told
    assert "Sized by another equity or profile" in told
    assert "0.5 times." in told
    assert client_for(bob).get(reverse("backtests:parity"), {"run": run.pk}).status_code == 404


def test_a_run_without_positions_says_what_to_do(alice, client_for):
    position = open_long(alice, origin="signal:1")
    run = finished(alice, position)

    told = page(client_for(alice), run=run.pk)

    assert "This strategy opened no position of yours on these markets in the span of the run." in told
    assert "In both" not in told


def test_pages_lead_to_it_where_there_is_something_to_compare(alice, bob, client_for):
    position = open_long(alice)
    link = reverse("backtests:parity")
    addresses = [reverse("positions:list"), reverse("positions:detail", args=[position.pk])]

    assert all(link in client_for(alice).get(address).content.decode() for address in addresses)
    assert link not in client_for(bob).get(reverse("positions:list")).content.decode()
    assert link not in client_for(bob).get(reverse("strategies:list")).content.decode()
    live_on(LADDER[2:])
    assert link in client_for(alice).get(reverse("positions:history")).content.decode()
