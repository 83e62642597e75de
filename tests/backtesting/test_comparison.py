"""Paired results by day: when one model is called better than another."""

import numpy as np
import pytest
from scipy import signal, stats

from backtesting.comparison import FAMILY_LEVEL, gate_block_days, level_of, p_by_blocks, paired, student_tail


def days(rng: np.random.Generator, n: int, *, memory: float = 0.4) -> np.ndarray:
    """Daily results that hang together as those of positions do that live for two days."""
    return signal.lfilter([np.sqrt(1.0 - memory**2)], [1.0, -memory], rng.standard_t(4, size=n))


def test_equal_results_differ_by_nothing():
    results = days(np.random.default_rng(1), 200)
    found = paired(results, results)
    assert (found.days, found.mean, found.low, found.high, found.p_value) == (200, 0.0, 0.0, 0.0, 1.0)


def test_nothing_against_nothing_is_no_difference():
    found = paired(np.zeros(60), np.zeros(60))
    assert (found.mean, found.low, found.p_value) == (0.0, 0.0, 1.0)


def test_the_market_that_both_live_in_cancels_out():
    rng = np.random.default_rng(2)
    market = 20.0 * days(rng, 300)
    found = paired(market + 0.2 + 0.5 * days(rng, 300), market)
    assert found.low > 0.0
    assert found.high - found.low < 0.3, "the market alone moves twenty a day"
    assert found.p_value < 0.05


def test_it_is_the_same_every_time_and_mirrors_when_turned_round():
    rng = np.random.default_rng(3)
    new, old = days(rng, 120), days(rng, 120)
    assert paired(new, old) == paired(new, old)
    there, back = paired(new, old), paired(old, new)
    assert there.mean == -back.mean
    assert there.low == pytest.approx(-back.high, abs=1e-12)


def test_models_that_are_equally_good_are_seldom_told_apart():
    """One-sided at 5 %: independent results and results with a memory, in many histories."""
    for memory in (0.0, 0.4):
        won = 0
        for seed in range(70):
            rng = np.random.default_rng(seed)
            found = paired(days(rng, 150, memory=memory), days(rng, 150, memory=memory))
            won += found.low > 0.0 and found.p_value <= 0.05
        assert won / 70 <= 0.1


def test_a_better_model_is_found():
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        old = days(rng, 250)
        found.append(paired(old + 0.5 + 0.8 * days(rng, 250), old).low > 0.0)
    assert np.mean(found) > 0.95


def test_few_days_are_not_believed_sooner():
    """The bootstrap's bound alone is above 0 twice as often as it should be."""
    low, both = 0, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        found = paired(days(rng, 20), days(rng, 20))
        low += found.low > 0.0
        both += found.low > 0.0 and found.p_value <= 0.05
    assert both < low
    assert both / 100 <= 0.09


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 14, 61])
def test_students_tail_is_scipys(df):
    for t in (-1.3, 0.0, 0.7, 2.5, 4.0):
        assert student_tail(t, df) == pytest.approx(stats.t.sf(t, df), abs=1e-9)


def test_blocks_grow_with_the_days():
    assert paired(np.ones(10), np.zeros(10)).block_days == 3.0
    assert paired(np.ones(1_000), np.zeros(1_000)).block_days == 10.0


def test_a_steady_advantage_is_certain():
    found = paired(np.ones(30), np.zeros(30))
    assert (found.mean, found.low, found.p_value) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize(("new", "old"), [(np.ones(3), np.ones(4)), (np.empty(0), np.empty(0))])
def test_it_compares_the_same_days_only(new, old):
    with pytest.raises(ValueError, match="same days"):
        paired(new, old)


# --- challenger after challenger


def test_the_levels_of_all_attempts_add_up_to_the_family_s_level():
    assert [level_of(attempt) for attempt in (1, 2, 5, 20)] == pytest.approx([0.01, 0.05 * 4 / 30, 0.05 * 4 / 72, 0.05 * 4 / (23 * 24)])
    spent = np.cumsum([level_of(attempt) for attempt in range(1, 2_001)])
    assert spent[3] == pytest.approx(FAMILY_LEVEL / 2)
    assert FAMILY_LEVEL * 0.99 < spent[-1] < FAMILY_LEVEL
    with pytest.raises(ValueError, match="from 1"):
        level_of(0)


def neighbours(rng: np.random.Generator, n: int) -> np.ndarray:
    """Heavy-tailed daily results, each of which has half of the day before in it."""
    shocks = rng.standard_t(4, size=n + 1)
    return (shocks[1:] + shocks[:-1]) / np.sqrt(2.0)


def test_twenty_challengers_in_a_row_that_are_no_better_seldom_replace_a_champion():
    """One champion, a challenger every week on a span that grows by seven days: nearly the same bars again and again."""
    runs, first, more = 500, 60, 7
    spent = repeated = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        champion = neighbours(rng, first + 20 * more)
        p_values = []
        for attempt in range(1, 21):
            size = first + (attempt - 1) * more
            difference = neighbours(rng, champion.size)[:size] - champion[:size]
            p_values.append(p_by_blocks(difference, gate_block_days(size)))
        repeated += min(p_values) <= FAMILY_LEVEL
        spent += any(p <= level_of(attempt) for attempt, p in enumerate(p_values, start=1))
    assert spent / runs <= FAMILY_LEVEL + 2.0 * np.sqrt(FAMILY_LEVEL * (1.0 - FAMILY_LEVEL) / runs)
    assert repeated / runs > 0.3, "the same level for each of them lets luck win"


def test_a_challenger_that_is_better_still_wins_after_ten_that_were_not():
    won = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        difference = 0.8 + neighbours(rng, 365) - neighbours(rng, 365)
        won += p_by_blocks(difference, gate_block_days(365)) <= level_of(11)
    assert won / 60 > 0.9
