"""Each figure against numbers worked out by hand."""

import numpy as np
import pytest

from backtesting import metrics

DAY = metrics.DAY_MS


def test_it_counts_shares_with_an_honest_interval():
    assert metrics.hit_rate(3, 4) == 0.75
    assert metrics.hit_rate(0, 0) is None
    assert metrics.wilson(0, 0) is None
    # The textbook case 1 of 10: 1.79 % to 40.42 %.
    assert metrics.wilson(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    assert metrics.wilson(10, 10).high == pytest.approx(1.0)


def test_it_divides_gains_by_losses_or_says_nothing():
    assert metrics.profit_factor(np.array([3.0, -1.0, 1.0, -1.0])) == 2.0
    assert metrics.profit_factor(np.array([1.0, 2.0])) is None
    assert metrics.profit_factor(np.zeros(0)) is None


def test_it_expects_in_percent_of_notional():
    pnl, notional = np.array([2.0, -1.0]), np.array([100.0, 50.0])
    assert metrics.expectancy_pct(pnl, notional) == 0.0
    low, high = metrics.expectancy_interval(pnl, notional, 2.0)
    assert (low, high) == pytest.approx((-3.9199, 3.9199), abs=1e-3)  # deviation 2.828, two trades
    assert metrics.expectancy_pct(np.zeros(0), np.zeros(0)) is None
    assert metrics.expectancy_interval(pnl[:1], notional[:1], 1.0) is None


def test_it_takes_the_last_equity_of_each_day():
    times = np.array([0, DAY // 2, DAY, DAY + 1, 3 * DAY])
    got = metrics.daily_returns(times, np.array([100.0, 110.0, 120.0, 121.0, 60.5]), 100.0)
    assert got == pytest.approx([0.1, 0.1, 0.0, -0.5])  # the day without a bar is a day, too
    assert metrics.daily_returns(np.zeros(0, np.int64), np.zeros(0), 100.0).shape == (0,)


def test_a_used_up_account_loses_everything_once_and_nothing_afterwards():
    got = metrics.daily_returns(np.arange(4) * DAY, np.array([50.0, -20.0, -30.0, 5.0]), 100.0)
    assert got == pytest.approx([-0.5, -1.0, 0.0, 0.0])


def test_it_annualises_by_the_root_of_365():
    returns = np.array([0.01, 0.03])
    assert metrics.sharpe(returns) == pytest.approx(0.02 / np.sqrt(0.0002) * np.sqrt(365))
    assert metrics.sharpe(np.array([0.01, 0.01])) is None
    assert metrics.sharpe(np.array([0.01])) is None
    assert metrics.sortino(np.array([0.02, -0.01])) == pytest.approx(0.005 / np.sqrt(0.0001 / 2) * np.sqrt(365))
    assert metrics.sortino(returns) is None


def test_its_sharpe_ratio_says_how_little_a_short_span_tells():
    rng = np.random.default_rng(5)
    ratios = [metrics.sharpe(rng.normal(0.0005, 0.01, 365)) for _ in range(2_000)]
    low, high = metrics.sharpe_interval(rng.normal(0.0005, 0.01, 365))
    assert (high - low) / 2 == pytest.approx(1.96 * np.std(ratios), rel=0.05)
    week = metrics.sharpe_interval(np.array([0.01, -0.005, 0.02, 0.0, 0.01, -0.01, 0.015]))
    assert week.low < 0.0 < week.high
    assert metrics.sharpe_interval(np.array([0.01, 0.01])) is None


def test_it_measures_falls_from_the_peak_and_how_long_they_last():
    times, equity = np.arange(6) * DAY, np.array([90.0, 120.0, 60.0, 90.0, 119.0, 130.0])
    assert metrics.drawdown_pct(equity, 100.0) == pytest.approx([10.0, 0.0, 50.0, 25.0, 100 / 120, 0.0])
    assert metrics.max_drawdown_pct(equity, 100.0) == 50.0
    assert metrics.max_drawdown_days(times, equity, 100.0) == 2.0  # from day 2 to day 4
    assert metrics.max_drawdown_days(times[:5], equity[:5], 100.0) == 2.0
    assert metrics.max_drawdown_pct(np.zeros(0), 100.0) is None


def test_it_holds_equal_parts_from_each_symbols_first_open():
    early = metrics.History(np.array([0, 1, 2]), np.array([10.0, 11.0, 12.0]), np.array([11.0, 12.0, 20.0]))
    late = metrics.History(np.array([1, 2]), np.array([4.0, 5.0]), np.array([5.0, 2.0]))
    assert metrics.buy_and_hold(np.array([0, 1, 2]), [early, late], 100.0) == pytest.approx([55 + 50, 60 + 62.5, 100 + 25])


def test_it_says_what_a_sample_is_worth():
    assert "nothing can be said" in metrics.sample_note(0)
    assert "too few" in metrics.sample_note(29)
    assert "small sample" in metrics.sample_note(99)
    assert metrics.sample_note(100) == "100 trades."
    assert metrics.total_return_pct(150.0, 100.0) == 50.0
