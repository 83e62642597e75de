"""The literal figures of the two papers."""

from math import sqrt

import numpy as np
import pytest

from signals import deflated
from signals.deflated import Moments

HEDGE_FUND = Moments(sharpe=0.458, skewness=-2.448, kurtosis=10.164, n=24)
STRATEGY = Moments(sharpe=2.5 / sqrt(250), skewness=-3.0, kurtosis=10.0, n=1250)


def test_the_probabilistic_ratio_is_that_of_the_papers_hedge_fund() -> None:
    """Bailey and Lopez de Prado 2012, section 'Numerical example': 24 months, ratio 0.458 a month."""
    assert deflated.probabilistic_sharpe(HEDGE_FUND) == pytest.approx(0.913, abs=5e-4)
    assert deflated.probabilistic_sharpe(HEDGE_FUND._replace(skewness=0.0, kurtosis=3.0)) == pytest.approx(0.982, abs=5e-4)


def test_the_deflated_ratio_is_that_of_the_papers_strategy() -> None:
    """Bailey and Lopez de Prado 2014, section 'A numerical example': annual ratio 2.5 over 5 years of daily returns, 100 trials whose annual
    ratios have a variance of 1/2."""
    variance = 0.5 / 250
    assert deflated.expected_maximum(100, variance) == pytest.approx(0.1132, abs=5e-5)
    assert deflated.deflated_sharpe(STRATEGY, trials=100, variance=variance) == pytest.approx(0.9004, abs=5e-5)
    assert deflated.deflated_sharpe(STRATEGY, trials=46, variance=variance) == pytest.approx(0.9505, abs=5e-4)
    normal = STRATEGY._replace(skewness=0.0, kurtosis=3.0)
    assert deflated.deflated_sharpe(normal, trials=88, variance=variance) == pytest.approx(0.9505, abs=5e-4)


def test_one_trial_deflates_nothing_and_more_trials_always_deflate_more() -> None:
    assert deflated.deflated_sharpe(STRATEGY, trials=1) == deflated.probabilistic_sharpe(STRATEGY)
    chances = [deflated.deflated_sharpe(STRATEGY, trials=trials) for trials in (1, 2, 10, 100, 10_000)]
    assert chances == sorted(chances, reverse=True)
    with pytest.raises(ValueError, match="at least one trial"):
        deflated.expected_maximum(0, 1.0)


def test_the_expected_maximum_is_that_of_simulated_trials_without_skill() -> None:
    best = np.random.default_rng(1).normal(0.0, 0.3, (20_000, 50)).max(axis=1)
    assert deflated.expected_maximum(50, 0.09) == pytest.approx(best.mean(), rel=0.02)


def test_the_best_of_fifty_coins_is_not_believed() -> None:
    rng = np.random.default_rng(4)
    chances, fooled = [], 0
    for _ in range(200):
        tried = rng.normal(0.0, 0.01, (50, 250))
        best = tried[np.argmax(tried.mean(axis=1) / tried.std(axis=1))]
        seen = deflated.moments(best)
        assert seen is not None
        chances.append(deflated.deflated_sharpe(seen, trials=50))
        fooled += deflated.probabilistic_sharpe(seen) > 0.95
    assert fooled > 180
    assert np.mean(np.array(chances) > 0.95) < 0.06


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_the_best_of_correlated_trials_whose_worse_half_was_cut_short_is_not_believed(rho: float) -> None:
    """The measured variance alone would believe it more often than it promises: the better half lies close together."""
    rng = np.random.default_rng(6)
    runs, trials, days = 300, 100, 250
    prudent = alone = 0
    for _ in range(runs):
        returns = np.sqrt(rho) * rng.normal(size=(1, days)) + np.sqrt(1.0 - rho) * rng.normal(size=(trials, days))
        ratios = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
        seen = deflated.moments(returns[np.argmax(ratios)])
        assert seen is not None
        measured = float(np.sort(ratios)[trials // 2 :].var(ddof=1))
        alone += deflated.deflated_sharpe(seen, trials=trials, variance=measured) > 0.95
        prudent += deflated.deflated_sharpe(seen, trials=trials, variance=deflated.prudent_variance(days, measured)) > 0.95
    assert prudent <= alone
    assert prudent / runs <= 0.02
    if rho:
        assert alone / runs > 0.05


def test_a_measured_variance_counts_when_it_is_above_chance() -> None:
    assert deflated.chance_variance(1250) == pytest.approx(1.0 / 1249)
    assert deflated.prudent_variance(1250, None) == deflated.chance_variance(1250)
    assert deflated.prudent_variance(1250, 0.5 / 250) == 0.5 / 250
    assert deflated.prudent_variance(1250, 1e-6) == deflated.chance_variance(1250)


def test_moments_are_those_of_scipy() -> None:
    from scipy import stats

    returns = np.random.default_rng(2).standard_t(5, 500) * 0.01 + 0.001
    seen = deflated.moments(returns)
    assert seen is not None
    assert seen.skewness == pytest.approx(stats.skew(returns))
    assert seen.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))
    assert seen.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert deflated.moments(returns[:9]) is None
    assert deflated.moments(np.zeros(50)) is None


def test_the_least_length_is_the_one_at_which_the_chance_is_reached() -> None:
    needed = deflated.least_returns(STRATEGY, confidence=0.95)
    assert needed is not None
    assert deflated.probabilistic_sharpe(STRATEGY._replace(n=round(needed))) == pytest.approx(0.95, abs=1e-3)
    assert deflated.least_returns(STRATEGY._replace(sharpe=-0.1)) is None
