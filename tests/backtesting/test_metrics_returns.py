"""Each figure against numbers worked out by hand."""

import numpy as np
import pytest

from backtesting import metrics

DAY = metrics.DAY_MS


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


def test_it_holds_equal_parts_from_each_symbols_first_open():
    early = metrics.History(np.array([0, 1, 2]), np.array([10.0, 11.0, 12.0]), np.array([11.0, 12.0, 20.0]))
    late = metrics.History(np.array([1, 2]), np.array([4.0, 5.0]), np.array([5.0, 2.0]))
    assert metrics.buy_and_hold(np.array([0, 1, 2]), [early, late], 100.0) == pytest.approx([55 + 50, 60 + 62.5, 100 + 25])


# The nine returns that empyrical's tests are written with, the first of which is no return.
MIXED = np.array([0.01, 0.10, -0.04, 0.02, 0.03, 0.02, 0.01, -0.10])


def test_its_volatility_is_empyricals_by_another_calendar():
    assert metrics.volatility_pct(MIXED) == pytest.approx(91.36465399704637 * np.sqrt(365 / 252))
    assert metrics.volatility_pct(MIXED[:1]) is None


def test_it_compounds_to_a_year_and_keeps_silent_about_one_after_a_few_days():
    a_fifth = np.zeros(73)
    a_fifth[5] = 0.1
    assert metrics.cagr_pct(a_fifth) == pytest.approx(61.051)  # 1.1 to the fifth
    assert metrics.cagr_pct(np.full(365, -0.01)) == pytest.approx((0.99**365 - 1) * 100)
    a_fifth[7] = -1.0
    assert metrics.cagr_pct(a_fifth) == -100.0
    assert metrics.cagr_pct(np.full(29, 0.01)) is None
    assert metrics.cagr_pct(np.full(30, 1e30)) is None
    assert metrics.calmar(61.051, 20.0) == pytest.approx(3.05255)
    assert metrics.calmar(None, 20.0) is None
    assert metrics.calmar(5.0, 0.0) is None
    assert metrics.calmar(5.0, None) is None


def test_it_takes_the_loss_of_the_rare_days_and_the_mean_of_them():
    returns = np.arange(-10, 30) / 100  # 40 days, -10 % to +29 %
    assert metrics.value_at_risk_pct(returns, 0.05) == pytest.approx(9.0)  # the second worst of 40
    assert metrics.expected_shortfall_pct(returns, 0.05) == pytest.approx(9.5)
    assert metrics.value_at_risk_pct(returns[:30], 0.05) == pytest.approx(9.0)  # one day and a half is the second
    assert metrics.expected_shortfall_pct(returns[:30], 0.05) == pytest.approx((10 + 0.5 * 9) / 1.5)
    assert metrics.value_at_risk_pct(returns[:20], 0.05) == pytest.approx(10.0)
    assert metrics.value_at_risk_pct(returns[:19], 0.05) is None
    assert metrics.expected_shortfall_pct(returns, 0.01) is None
    assert metrics.value_at_risk_pct(returns[20:], 0.05) == pytest.approx(-10.0)  # a gain even then
    assert metrics.expected_shortfall_pct(np.full(100, -0.02), 0.01) == pytest.approx(2.0)


def test_it_names_the_best_and_the_worst_day():
    times = np.array([5 * DAY + 7, 6 * DAY, 8 * DAY])
    returns = metrics.daily_returns(times, np.array([110.0, 99.0, 100.0]), 100.0)
    assert metrics.best_day(times, returns) == (5 * DAY, pytest.approx(10.0))
    assert metrics.worst_day(times, returns) == (6 * DAY, pytest.approx(-10.0))
    assert metrics.best_day(times[:0], returns[:0]) is None
    assert metrics.worst_day(times[:0], returns[:0]) is None


def test_it_counts_the_moments_with_a_position():
    assert metrics.exposure_pct(np.array([0, 1, 3, 0])) == 50.0
    assert metrics.exposure_pct(np.zeros(0, np.int64)) is None


def test_it_turns_the_equities_of_a_sweep_into_returns_by_day():
    daily = np.array([[110.0, 99.0], [100.0, 0.0]])
    assert metrics.by_combination(daily, 100.0) == pytest.approx(np.array([[0.1, 0.0], [-0.1, -1.0]]))
