"""What the chart of a run's trades draws: the bars around a trade or of the whole span, markers on the bars that hold them."""

import pytest
from django.urls import reverse

from exchanges.models import Market
from tests.backtesting import rows
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH

pytestmark = pytest.mark.django_db
BAR_MS, HOUR_MS = scenes.BAR_MS, 3_600_000
START_MS = scenes.START_MS


@pytest.fixture
def run(alice):
    """A run over 2,000 stored bars of BTC, and ETH without candles."""
    scenes.make_market(BTC, bars=2_000)
    span = {"start_ms": START_MS, "end_ms": START_MS + 2_000 * BAR_MS}
    made = rows.make_finished(alice, rows.make_model(), symbols=[BTC, ETH], **span)
    at = [(BTC, 500, 510), (ETH, 505, 520), (BTC, 530, 1_000), (BTC, 1_900, 1_901)]
    for number, (symbol, entry, left) in enumerate(at, start=1):
        rows.make_trade(made, number, symbol=symbol, entry_ms=START_MS + entry * BAR_MS, exit_ms=START_MS + left * BAR_MS).save()
    return made


@pytest.fixture
def ask(run, alice, client_for):
    client, url = client_for(alice), reverse("backtests:chart", args=[run.pk])
    return lambda **query: client.get(url, query).json()


def test_it_draws_sixty_bars_around_a_trade(run, ask):
    found = ask(trade=1)
    assert (found["symbol"], found["timeframe"], found["focus"]) == (BTC, "15m", 1)
    opens = [row[0] for row in found["candles"]]
    assert (opens[0], opens[-1], len(opens)) == (START_MS + 440 * BAR_MS, START_MS + 570 * BAR_MS, 131)
    assert all(len(row) == 5 for row in found["candles"])
    assert [trade["number"] for trade in found["trades"]] == [1, 3]
    assert (found["previous"], found["next"]) == (None, 3)


def test_it_takes_longer_bars_for_a_longer_trade(run, ask):
    found = ask(trade=3)  # 470 bars of 15 minutes are 117.5 hours
    assert found["timeframe"] == "1h"
    assert found["candles"][0][0] == -(-(START_MS + 530 * BAR_MS - 60 * HOUR_MS) // HOUR_MS) * HOUR_MS
    entry = next(marker for marker in found["markers"] if marker["trade"] == 3 and marker["kind"] == "entry")
    assert entry["time_ms"] == (START_MS + 530 * BAR_MS) // HOUR_MS * HOUR_MS
    assert (found["previous"], found["next"]) == (1, 4)


def test_it_draws_the_whole_span_with_every_trade(run, ask):
    found = ask(symbol=BTC, whole=1)
    assert (found["timeframe"], found["focus"], found["previous"], found["next"]) == ("1h", None, None, None)
    assert len(found["candles"]) == 500
    assert [trade["number"] for trade in found["trades"]] == [1, 3, 4]
    assert found["text"] == f"{BTC}, the whole span: 3 trades are marked."
    assert found["lines"] == []


def test_it_marks_entry_and_exit_and_draws_the_plan_of_the_chosen_one(run, ask):
    found = ask(trade=1)
    assert [marker for marker in found["markers"] if marker["trade"] == 1] == [
        {"time_ms": START_MS + 500 * BAR_MS, "kind": "entry", "side": "long", "text": "1", "trade": 1},
        {"time_ms": START_MS + 510 * BAR_MS, "kind": "exit", "side": "long", "text": "+0.9 %", "trade": 1},
    ]
    assert [(line["label"], line["price"], line["kind"]) for line in found["lines"]] == [
        ("entry", 100.0, "entry"),
        ("stop", 98.0, "stop"),
        ("TP1", 102.0, "target"),
    ]
    assert found["text"].startswith(f"Trade 1: long {BTC} from 100 (")
    assert found["text"].endswith("UTC), left by stop, +0.92 USDT net.")


@pytest.mark.parametrize(
    "query", [{}, {"trade": "99"}, {"trade": "x"}, {"trade": "-1"}, {"trade": "9" * 30}, {"trade": "²"}, {"symbol": "NOPE"}]
)
def test_it_begins_with_the_first_trade_when_it_does_not_know_better(run, ask, query):
    assert (ask(**query)["symbol"], ask(**query)["focus"]) == (BTC, 1)


def test_it_goes_to_the_first_trade_of_a_market(run, ask):
    assert ask(symbol=ETH)["focus"] == 2


def test_it_tells_the_trades_of_a_market_whose_candles_are_gone(run, ask):
    found = ask(symbol=ETH)
    assert (found["candles"], found["markers"], found["timeframe"]) == ([], [], "")
    assert found["text"].startswith(f"Trade 2: long {ETH}")
    Market.objects.filter(symbol=ETH).update(symbol="GONE/USDT:USDT")
    assert ask(symbol=ETH)["candles"] == []


def test_it_says_when_there_are_too_many_trades_to_mark(run, ask):
    many = [
        rows.make_trade(run, number, entry_ms=START_MS + number * BAR_MS, exit_ms=START_MS + number * BAR_MS) for number in range(5, 205)
    ]
    type(many[0]).objects.bulk_create(many)
    found = ask(symbol=BTC, whole=1)
    assert (len(found["trades"]), found["text"]) == (200, f"{BTC}, the whole span: the first 200 trades are marked.")


def test_it_draws_for_its_owner_alone_and_when_it_is_done(run, alice, bob, client_for):
    assert client_for(bob).get(reverse("backtests:chart", args=[run.pk])).status_code == 404
    waiting = rows.make_run(alice, run.model)
    assert client_for(alice).get(reverse("backtests:chart", args=[waiting.pk])).status_code == 404
