"""Each figure of trades against numbers worked out by hand."""

import numpy as np
import pytest

from backtesting import metrics


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


def test_it_says_what_a_sample_is_worth():
    assert "nothing can be said" in metrics.sample_note(0)
    assert "too few" in metrics.sample_note(29)
    assert "small sample" in metrics.sample_note(99)
    assert metrics.sample_note(100) == "100 trades."
    assert metrics.total_return_pct(150.0, 100.0) == 50.0


def test_it_compares_the_mean_win_with_the_mean_loss():
    assert metrics.payoff_ratio(np.array([3.0, 5.0, -1.0, -3.0, 0.0])) == 2.0
    assert metrics.payoff_ratio(np.array([3.0])) is None
    assert metrics.payoff_ratio(np.array([-3.0, 0.0])) is None


def test_it_measures_results_by_what_the_stop_put_at_risk():
    got = metrics.r_multiples(
        np.array([20.0, -10.0, 5.0]), np.array([2.0, 1.0, 1.0]), np.array([100.0, 50.0, 10.0]), np.array([95.0, 60.0, 10.0])
    )
    assert got == pytest.approx([2.0, -1.0])
    assert metrics.system_quality(np.array([2.0, -1.0])) == pytest.approx(0.5 / np.sqrt(4.5) * np.sqrt(2))
    assert metrics.system_quality(np.tile([2.0, -1.0], 200)) == pytest.approx(10 * 0.5 / np.std(np.tile([2.0, -1.0], 200), ddof=1))
    assert metrics.system_quality(np.array([1.0])) is None
    assert metrics.system_quality(np.array([1.0, 1.0])) is None


def test_it_counts_the_longest_row_of_losses():
    assert metrics.longest_losing_streak(np.array([-1.0, 2.0, -1.0, 0.0, -1.0, -2.0, 1.0])) == 3
    assert metrics.longest_losing_streak(np.array([1.0, 0.0])) == 0
    assert metrics.longest_losing_streak(np.zeros(0)) is None


def test_it_says_how_long_positions_live():
    hour = metrics.HOUR_MS
    assert metrics.holding_hours(np.array([0, hour, hour]), np.array([hour, 3 * hour, 10 * hour])) == (4.0, 2.0)
    assert metrics.holding_hours(np.zeros(0, np.int64), np.zeros(0, np.int64)) is None


def test_it_turns_the_account_over_so_often_a_year():
    traded = np.array([300.0, 500.0]), np.array([350.0, 490.0])
    assert metrics.turnover_a_year(*traded, 100.0, 73 * metrics.DAY_MS) == pytest.approx(16.4 * 5)
    assert metrics.turnover_a_year(*traded, 100.0, 0) is None
    assert metrics.turnover_a_year(*traded, 0.0, 1) is None


def test_it_says_where_the_gross_result_went():
    costs = metrics.cost_breakdown(np.array([10.0, -4.0]), np.array([1.0, 1.0]), np.array([0.5, 0.5]), np.array([2.0, -1.0]))
    assert costs == (10.0, 2.0, 1.0, 1.0, 6.0)
    assert metrics.cost_share(costs, costs.fees) == 0.2
    assert metrics.bearable_costs(costs) == 2.5
    lost = metrics.cost_breakdown(np.array([-4.0]), np.array([1.0]), np.zeros(1), np.zeros(1))
    assert metrics.cost_share(lost, lost.fees) is None
    assert metrics.bearable_costs(lost) is None
    assert metrics.bearable_costs(metrics.cost_breakdown(np.array([5.0]), *(np.zeros(1) for _ in range(3)))) is None


def test_it_sets_the_edge_of_a_trade_beside_its_cost():
    assert metrics.edge_and_cost_pct(np.array([2.0, -1.0]), np.array([100.0, 50.0]), np.array([0.1, 0.1])) == pytest.approx((0.0, 0.15))
    assert metrics.edge_and_cost_pct(np.zeros(0), np.zeros(0), np.zeros(0)) is None


def test_it_leaves_the_best_trades_out():
    pnl = np.array([5.0, -1.0, 9.0, 2.0])
    assert metrics.without_best(pnl, 1) == 6.0
    assert metrics.without_best(pnl, 2) == 1.0
    assert metrics.without_best(pnl, 9) == 0.0
    assert metrics.without_best(pnl[:0], 5) is None
