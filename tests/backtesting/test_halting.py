"""A run that the drawdown limit ends early, on markets small enough to reckon by hand."""

import numpy as np
import pytest
from django.urls import reverse

from backtesting import reporting
from backtesting.honesty.again import simulated
from backtesting.honesty.halting import stopped_ms
from tests.backtesting import rows
from tests.backtesting.tables import BAR_MS, FREE, START_MS, make_bars, make_entries, make_rules, make_specs

STOPPED = (100.0, 101.0, 97.0, 100.0)
"""Opens at 100 and reaches the stop at 98: 2 % of the equity is lost."""
WON = (100.0, 107.0, 99.0, 100.0)


def scene(table, entries, **rules):
    bars, given = make_bars(table), make_rules(signal_bars=0, max_margin_pct=50.0, **rules)
    decided, specs = make_entries(bars, dict.fromkeys(entries, 1)), make_specs(**FREE)
    return simulated(bars, decided, specs, given)


def test_it_names_the_bar_from_which_on_the_drawdown_limit_refused_everything():
    done = scene([STOPPED] * 8, range(8), max_drawdown_pct=5.0)
    assert done.result.trades.entered.tolist() == [1, 2, 3]  # 0.98 to the third is under 0.95
    assert done.result.refused == {"drawdown": 4}
    assert stopped_ms(done) == START_MS + 4 * BAR_MS


def test_a_run_that_no_limit_ended_was_not_stopped():
    assert stopped_ms(scene([STOPPED] * 8, range(8), max_drawdown_pct=50.0, max_daily_loss_pct=50.0)) is None
    assert stopped_ms(scene([STOPPED] * 8, range(3), max_drawdown_pct=5.0)) is None, "nothing was refused after the limit was reached"
    assert stopped_ms(scene([STOPPED] * 8, range(8), max_drawdown_pct=50.0, max_daily_loss_pct=5.0)) is None, "the next day trades again"


def test_a_fall_that_an_open_position_made_up_for_did_not_stop_it():
    """Down by 6 % at a close with the position open, up again before it is left."""
    table = [WON, (100.0, 101.0, 99.0, 100.0), (100.0, 100.0, 93.0, 94.0), (94.0, 100.0, 94.0, 100.0), *[(100.0, 101.0, 99.0, 100.0)] * 3]
    done = scene(table, [0, 2, 4], sizing=1, notional_pct=100.0, stop=20.0, tp1=20.0, tp2=40.0, tp3=60.0, max_drawdown_pct=5.0)
    assert done.result.refused["drawdown"] == 1
    assert float(done.result.equity.min()) == pytest.approx(940.0)
    assert stopped_ms(done) is None


def test_it_counts_from_the_highest_equity_not_from_the_capital():
    done = scene([WON, WON, *[STOPPED] * 7], range(9), max_drawdown_pct=5.0)
    assert np.argmax(done.result.equity) == 1
    assert done.result.trades.entered.tolist() == [1, 2, 3, 4]
    assert stopped_ms(done) == START_MS + 5 * BAR_MS


def test_the_sentence_says_when_and_why():
    assert reporting.stopped_sentence(1_677_801_600_000, 25.0) == (
        "Entered nothing after 3 Mar 2023: the drawdown limit of 25 % was reached; the days after it count as days without a change."
    )


@pytest.mark.django_db
def test_the_report_says_so_beside_its_headline(alice, client_for):
    run = rows.make_finished(alice, rows.make_model())
    address = reverse("backtests:detail", args=[run.pk])
    assert "Entered nothing" not in client_for(alice).get(address).content.decode()
    run.metrics["sample"]["stopped"] = reporting.stopped_sentence(1_677_801_600_000, 25.0)
    run.save()
    assert "Entered nothing after 3 Mar 2023: the drawdown limit of 25 % was reached" in client_for(alice).get(address).content.decode()
