"""Resampling against what can be enumerated, against scipy, and against how often intervals cover the truth."""

import numpy as np
import pytest
from scipy import stats

from backtesting import metrics
from backtesting.metrics import resampling


def test_its_blocks_begin_anywhere_follow_on_and_are_as_long_as_asked():
    rows = resampling.stationary_rows(np.random.default_rng(1), 400, 100, 5.0)
    assert rows.shape == (400, 100)
    follows = np.mean((rows[:, 1:] - rows[:, :-1]) % 100 == 1)
    assert follows == pytest.approx(0.8 + 0.2 / 100, abs=0.01)
    assert np.bincount(rows.ravel(), minlength=100).min() > 300  # of 400, each day as often as every other


def test_its_corrected_interval_is_scipys():
    sample = np.random.default_rng(2).exponential(1.0, 40)
    found = stats.bootstrap((sample,), np.mean, n_resamples=4_000, method="BCa", rng=np.random.default_rng(3))
    left_out = (sample.sum() - sample) / (sample.size - 1)
    got = resampling.bca(float(sample.mean()), found.bootstrap_distribution, left_out)
    assert got == pytest.approx((found.confidence_interval.low, found.confidence_interval.high), abs=5e-4)
    plain = np.quantile(found.bootstrap_distribution, (0.025, 0.975))
    assert got.high > plain[1] + 0.01, "a skewed sample moves the interval to its long side"


def test_it_draws_the_trades_of_a_day_together():
    rng = np.random.default_rng(4)
    day = np.repeat(np.arange(50), 20)
    pnl = rng.normal(0.0, 1.0, 50)[day] + rng.normal(0.0, 0.1, 1000)
    notional = np.full(1000, 100.0)
    together, apart = metrics.trade_intervals(pnl, notional, day), metrics.trade_intervals(pnl, notional, np.arange(1000))
    assert (together.clusters, apart.clusters) == (50, 1000)
    assert together.total.high - together.total.low > 3.5 * (apart.total.high - apart.total.low)  # about the root of 20
    assert together.expectancy_pct == pytest.approx([end / 1000 for end in together.total], rel=1e-9)


def test_its_intervals_cover_the_truth_about_as_often_as_they_say():
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        pnl = rng.exponential(1.0, 60) - 0.5
        low, high = metrics.trade_intervals(pnl, np.full(60, 100.0), np.arange(60), resamples=500).expectancy_pct
        covered += low <= 0.5 <= high
    assert 0.89 <= covered / 200 <= 0.98


def test_it_gives_no_interval_where_resamples_have_no_loss_or_trades_are_few():
    pnl = np.append(np.ones(19), -1.0)
    found = metrics.trade_intervals(pnl, np.full(20, 100.0), np.arange(20))
    assert found.profit_factor is None  # a third of the resamples lose nothing
    assert found.won.low < 0.95 <= found.won.high
    assert metrics.trade_intervals(pnl[:9], np.ones(9), np.arange(9)) == (None, None, None, None, 9)
    assert metrics.trade_intervals(pnl[:0], pnl[:0], np.zeros(0, np.int64)).clusters == 0
    equal = metrics.trade_intervals(np.ones(20), np.full(20, 100.0), np.arange(20))
    assert (equal.total, equal.won) == ((20.0, 20.0), (1.0, 1.0))


def test_its_intervals_of_days_agree_with_the_formula_and_with_themselves():
    returns = np.random.default_rng(6).normal(0.001, 0.01, 730)
    found = metrics.day_intervals(returns)
    assert found.sharpe == pytest.approx(metrics.sharpe_interval(returns), abs=0.25)
    assert found.cagr_pct.low < metrics.cagr_pct(returns) < found.cagr_pct.high
    assert 0.0 < found.max_drawdown_pct.low < found.max_drawdown_pct.high < 100.0
    assert found.block_days == 9.0
    assert found == metrics.day_intervals(returns)
    assert metrics.day_intervals(returns[:29]).sharpe is None
    assert metrics.day_intervals(np.zeros(50)) == (None, None, None, 3.7)


def test_it_takes_results_as_parts_of_the_balance_before_them():
    assert metrics.fractions(np.array([10.0, -11.0, -150.0, 5.0]), 100.0) == pytest.approx([0.1, -0.1, -1.0, 0.0])


def test_reordered_trades_end_where_they_ended_and_fall_as_their_order_lets_them():
    # Of the three orders of a doubling and two halvings one falls by 50 %, two by 75 %.
    found = metrics.drawdown_bands(np.array([-0.5, 1.0, -0.5]))
    assert found.seen_drawdown_pct == 50.0
    assert found.shuffled.max_drawdown_pct == (50.0, 75.0, 75.0)
    assert found.shuffled.deeper == pytest.approx(2 / 3, abs=0.04)
    assert found.shuffled.ruin == 1.0
    assert found.shuffled.trade.tolist() == [1, 2, 3]
    assert found.shuffled.equity[2] == pytest.approx([0.5, 0.5, 0.5])


def test_drawn_trades_may_be_luckier_or_worse_than_those_that_were_made():
    # Three draws, two of three trades halve: none 1/27, one 6/27, two 12/27 (8 behind each other), three 8/27.
    found = metrics.drawdown_bands(np.array([-0.5, 1.0, -0.5])).drawn
    assert found.max_drawdown_pct == (50.0, 75.0, 87.5)
    assert found.deeper == pytest.approx(16 / 27, abs=0.04)
    assert found.paths == 2_000
    assert found.equity[2] == pytest.approx([0.125, 0.5, 2.0])


def test_it_thins_the_curve_and_counts_those_who_lost_half():
    found = metrics.drawdown_bands(np.tile([0.02, -0.01], 200), points=10)
    assert found.drawn.trade.tolist()[0] == 1
    assert found.drawn.trade.tolist()[-1] == 400
    assert found.drawn.equity.shape == (10, 3)
    assert found.drawn.ruin == 0.0
    assert metrics.drawdown_bands(np.array([0.1])) is None
    assert metrics.drawdown_bands(np.full(5_000, 0.0001)).drawn.paths == 500


def test_its_chunks_add_up():
    assert [rows for _, rows in resampling._chunks(1, 2_000, 1_500)] == [133] * 15 + [5]
    assert [rows for _, rows in resampling._chunks(1, 2, 5_000_000)] == [1, 1]
