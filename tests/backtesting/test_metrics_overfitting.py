"""Figures of searches against splits worked out by hand and a plain telling of the same procedure."""

from itertools import combinations

import numpy as np
import pytest

from backtesting import metrics
from signals import deflated


def test_who_wins_one_half_and_loses_the_other_is_overfitted():
    good, bad = [0.01, 0.03], [-0.01, -0.03]
    found = metrics.pbo(np.array([good + bad, bad + good]).T, blocks=2)
    # Both splits choose the column that is best inside; outside it is the worse of two, a relative rank of 1/3.
    assert found.logits == pytest.approx([np.log(0.5)] * 2)
    assert (found.probability, found.loss, found.splits) == (1.0, 1.0, 2)
    assert found.inside == pytest.approx(0.02 / np.sqrt(0.0002))
    assert found.outside == pytest.approx(-found.inside)
    assert found.slope is None  # both were as good inside


def test_who_wins_everywhere_is_not():
    days = np.array([0.01, 0.03, 0.02, 0.05])
    found = metrics.pbo(np.stack((days, days - 0.02), axis=1), blocks=2)
    assert found.logits == pytest.approx([np.log(2.0)] * 2)
    assert (found.probability, found.loss) == (0.0, 0.0)
    # Inside 0.02 / 0.01414 and 0.035 / 0.02121, outside the other: the line falls by one.
    assert found.slope == pytest.approx(-1.0)


def plainly(returns, blocks):
    """The procedure of the paper, split by split."""
    size = len(returns) // blocks
    parts = np.split(returns[len(returns) - size * blocks :], blocks)
    logits, inside, outside = [], [], []
    for chosen in combinations(range(blocks), blocks // 2):
        train = np.concatenate([parts[i] for i in chosen])
        test = np.concatenate([parts[i] for i in range(blocks) if i not in chosen])
        seen, later = (half.mean(axis=0) / half.std(axis=0, ddof=1) for half in (train, test))
        best = seen.argmax()
        rank = 1 + sum(later < later[best])
        logits.append(np.log(rank / (returns.shape[1] + 1 - rank)))
        inside.append(seen[best])
        outside.append(later[best])
    return np.array(logits), np.array(inside), np.array(outside)


def test_it_finds_what_a_plain_telling_of_the_procedure_finds():
    returns = np.random.default_rng(7).normal(0.0005, 0.01, (103, 9))
    found = metrics.pbo(returns, blocks=8)
    logits, inside, outside = plainly(returns, 8)
    assert found.splits == 70
    assert found.logits == pytest.approx(logits)
    assert found.probability == np.mean(logits <= 0)
    assert found.slope == pytest.approx(np.polyfit(inside, outside, 1)[0])
    assert found.loss == np.mean(outside < 0)


def test_noise_is_overfitted_about_half_of_the_time_and_skill_hardly_ever():
    chances = [metrics.pbo(np.random.default_rng(seed).normal(0.0, 0.01, (400, 20)), blocks=8).probability for seed in range(40)]
    assert np.mean(chances) == pytest.approx(0.5, abs=0.08)
    skilled = np.random.default_rng(1).normal(0.0, 0.01, (400, 20))
    skilled[:, 4] += 0.004
    assert metrics.pbo(skilled, blocks=8).probability < 0.02


def test_combinations_that_never_trade_have_a_ratio_of_nothing():
    found = metrics.pbo(np.zeros((40, 3)), blocks=4)
    assert found.logits == pytest.approx([0.0] * 6)  # the mean rank of equals is the middle
    assert (found.probability, found.loss, found.slope) == (1.0, 0.0, None)


def test_it_needs_two_combinations_two_days_a_block_and_a_number_of_blocks_that_can_be_halved():
    assert metrics.pbo(np.zeros((100, 1))) is None
    assert metrics.pbo(np.zeros((31, 5))) is None
    for blocks in (0, 3, 22):
        with pytest.raises(ValueError, match="blocks"):
            metrics.pbo(np.zeros((100, 2)), blocks=blocks)


def test_it_bins_the_logits_for_a_chart():
    assert metrics.logit_bins(np.array([-1.0, -0.9, 0.2, 1.0]), bins=2) == [(-1.0, 2), (0.0, 2)]


def test_it_deflates_the_best_by_how_many_were_tried():
    best = np.tile([0.03, -0.01], 100)  # mean 0.01, deviation 0.02005
    ratios = np.array([0.0, 0.2, 0.4])
    found = metrics.deflate(best, ratios)
    assert found.sharpe == pytest.approx(0.01 / np.sqrt(0.0004 * 200 / 199))
    assert found.trials == 3
    assert found.by_chance == pytest.approx(deflated.expected_maximum(3, 0.04))
    # No skew, kurtosis 1: the ratio's variance is 1/199; least number: 1 + (1.6449 / 0.49875)^2.
    assert found.least_returns == pytest.approx(1 + (1.6448536 / found.sharpe) ** 2, abs=1e-5)
    more = metrics.deflate(best, ratios, trials=1_000)
    assert more.trials == 1_000
    assert more.by_chance > found.by_chance
    assert more.probability < found.probability
    alone = metrics.deflate(best, ratios[:1])
    assert (alone.by_chance, alone.trials) == (0.0, 1)
    assert metrics.deflate(best[:5], ratios) is None


def test_it_takes_the_ratios_of_all_trials_at_once():
    returns = np.array([[0.01, 0.0], [0.03, 0.0]])
    assert metrics.daily_ratios(returns) == pytest.approx([0.02 / np.sqrt(0.0002), 0.0])


def test_it_looks_at_the_neighbours_of_the_best():
    grid = np.array([[1.0, -1.0, 0.0, 0.0], [3.0, 10.0, 0.0, 4.0], [np.nan, 2.0, 5.0, 4.0]])
    found = metrics.neighbourhood(grid)
    assert (found.best, found.value, found.neighbours) == ((1, 1), 10.0, 7)
    assert found.profitable == pytest.approx(4 / 7)
    assert found.ratio == pytest.approx(10 / 7 / 10)
    # Of six cells each: (2, 2) has 10 + 0 + 4 + 2 + 5 + 4 = 25.
    assert (found.middle, found.middle_mean) == ((2, 2), pytest.approx(25 / 6))


def test_a_best_in_a_corner_has_three_neighbours_and_one_alone_none():
    found = metrics.neighbourhood(np.array([[-1.0, -2.0], [-3.0, -4.0]]))
    assert (found.best, found.neighbours, found.profitable, found.ratio) == ((0, 0), 3, 0.0, None)
    alone = metrics.neighbourhood(np.array([[np.nan, 2.0]]))
    assert (alone.best, alone.neighbours, alone.profitable, alone.ratio, alone.middle_mean) == ((0, 1), 0, None, None, 2.0)
    assert metrics.neighbourhood(np.full((2, 2), np.nan)) is None


def test_it_compares_what_was_earned_outside_with_inside():
    assert metrics.walk_forward_efficiency(20.0, 10.0) == 0.5
    assert metrics.walk_forward_efficiency(20.0, -10.0) == -0.5
    assert metrics.walk_forward_efficiency(-1.0, 10.0) is None
    assert metrics.walk_forward_efficiency(None, 10.0) is None
