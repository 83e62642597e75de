"""Each figure of falls against numbers worked out by hand."""

import numpy as np
import pytest

from backtesting import metrics

DAY = metrics.DAY_MS


def test_it_measures_falls_from_the_peak_and_how_long_they_last():
    times, equity = np.arange(6) * DAY, np.array([90.0, 120.0, 60.0, 90.0, 119.0, 130.0])
    assert metrics.drawdown_pct(equity, 100.0) == pytest.approx([10.0, 0.0, 50.0, 25.0, 100 / 120, 0.0])
    assert metrics.max_drawdown_pct(equity, 100.0) == 50.0
    assert metrics.max_drawdown_days(times, equity, 100.0) == 2.0  # from day 2 to day 4
    assert metrics.max_drawdown_days(times[:5], equity[:5], 100.0) == 2.0
    assert metrics.max_drawdown_pct(np.zeros(0), 100.0) is None


def test_it_lists_the_deepest_falls_with_their_valley_and_their_end():
    times = np.arange(8) * DAY
    equity = np.array([100.0, 90.0, 95.0, 120.0, 60.0, 121.0, 110.0, 115.0])
    found = metrics.deepest(times, equity, 100.0)
    assert [(fall.start_ms // DAY, fall.valley_ms // DAY, fall.recovered_ms, fall.days) for fall in found] == [
        (4, 4, 5 * DAY, 0.0),
        (1, 1, 3 * DAY, 1.0),
        (6, 6, None, 1.0),
    ]
    assert [fall.depth_pct for fall in found] == pytest.approx([50.0, 10.0, 1100 / 121])
    assert metrics.deepest(times, equity, 100.0, most=1) == found[:1]
    assert metrics.deepest(times[:1], equity[:1], 100.0) == []
    assert metrics.deepest(times[:0], equity[:0], 100.0) == []


def test_its_first_fall_may_be_from_the_capital_and_its_last_at_the_last_bar():
    found = metrics.deepest(np.arange(3) * DAY, np.array([80.0, 100.0, 99.0]), 100.0)
    assert [(fall.start_ms // DAY, fall.recovered_ms) for fall in found] == [(0, DAY), (2, None)]
    assert [fall.depth_pct for fall in found] == pytest.approx([20.0, 1.0])


def test_its_list_agrees_with_the_deepest_and_the_longest():
    rng = np.random.default_rng(3)
    times, equity = np.arange(500) * DAY, 1000.0 + rng.normal(0.0, 5.0, 500).cumsum()
    found = metrics.deepest(times, equity, 1000.0, most=500)
    assert found[0].depth_pct == metrics.max_drawdown_pct(equity, 1000.0)
    assert max(fall.days for fall in found) == metrics.max_drawdown_days(times, equity, 1000.0)
    assert len(found) > 3


def test_it_weighs_falls_by_depth_and_length():
    assert metrics.ulcer_index(np.array([100.0, 90.0, 80.0, 110.0]), 100.0) == pytest.approx(np.sqrt((100 + 400) / 4))
    assert metrics.ulcer_index(np.zeros(0), 100.0) is None


def test_it_divides_what_was_won_by_the_deepest_fall_in_money():
    assert metrics.recovery_factor(np.array([120.0, 100.0, 200.0, 175.0, 150.0]), 100.0) == 1.0  # 50 won, 200 to 150
    assert metrics.recovery_factor(np.array([100.0, 101.0]), 100.0) is None
    assert metrics.recovery_factor(np.zeros(0), 100.0) is None
