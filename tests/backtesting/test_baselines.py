"""Random entries under the same plan: what is kept of the strategy's own, and what a strategy has to beat."""

import numpy as np
import pytest

from backtesting import baselines, kernel

BAR_MS = 900_000


def make_bars(*closes):
    """One symbol for each list of closes; every bar opens where the one before it closed."""
    series = []
    for column in closes:
        close = np.array(column, float)
        opened = np.concatenate((close[:1], close[:-1]))
        n = close.shape[0]
        prices = opened, np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999, close
        series.append(kernel.Series(np.arange(n) * BAR_MS, *prices, np.full(n, 1e6)))
    return kernel.join(series)


def make_entries(bars, sides, unit=1.0):
    """sides: {row: side}, over all rows of all symbols; the rank of an entry is its row."""
    side = np.zeros(bars.at.shape[0], np.int8)
    for row, each in sides.items():
        side[row] = each
    return kernel.entries_of(bars, side, np.broadcast_to(np.asarray(unit, float), side.shape).copy(), np.arange(side.shape[0], dtype=float))


def test_it_keeps_numbers_sides_ranks_and_distances_and_turns_all_markets_alike():
    bars = make_bars(np.full(100, 50.0), np.full(200, 70.0))
    entries = make_entries(bars, {3: 1, 5: -1, 90: 1, 100: -1, 299: 1})
    found = baselines.turned(bars, entries, seed=1)
    assert found.starts.shape == (baselines.MOST_RUNS, 2)
    turns = set()
    for start, stop in zip(found.starts.tolist(), found.stops.tolist(), strict=True):
        own = slice(start[0], stop[0])
        by_rank = dict(zip(found.rank[own].tolist(), zip(found.row[own].tolist(), found.side[own].tolist(), strict=True), strict=True))
        turn = (by_rank[3.0][0] - 3) % 100
        assert by_rank == {3.0: ((3 + turn) % 100, 1), 5.0: ((5 + turn) % 100, -1), 90.0: ((90 + turn) % 100, 1)}
        assert found.row[own].tolist() == sorted(found.row[own].tolist())
        other = slice(start[1], stop[1])
        away = {rank: row - 100 for rank, row in zip(found.rank[other].tolist(), found.row[other].tolist(), strict=True)}
        assert away[100.0] in (2 * turn, 2 * turn + 1), "the second market has twice the bars"
        assert away[299.0] == (away[100.0] + 199) % 200
        turns.add(turn)
    assert min(turns) >= 2
    assert max(turns) < 98
    assert len(turns) > 40


def test_an_entry_without_a_unit_is_left_out():
    bars = make_bars(np.full(100, 50.0))
    unit = np.where(np.arange(100) < 60, 0.0, 1.0)
    found = baselines.turned(bars, make_entries(bars, {70: 1, 80: -1}, unit), seed=1)
    assert (found.row >= 60).all()
    assert set((found.stops - found.starts).ravel().tolist()) == {0, 1, 2}


def test_it_turns_the_same_way_for_the_same_seed_and_bears_no_entries():
    bars = make_bars(np.full(100, 50.0))
    entries = make_entries(bars, {70: 1, 80: -1})
    assert baselines.turned(bars, entries, seed=1).row.tolist() == baselines.turned(bars, entries, seed=1).row.tolist()
    assert baselines.turned(bars, entries, seed=1).row.tolist() != baselines.turned(bars, entries, seed=2).row.tolist()
    nothing = baselines.turned(bars, make_entries(bars, {}), seed=1)
    assert nothing.row.shape == (0,)
    assert (nothing.stops == 0).all()


def test_it_ranks_a_strategy_among_those_that_know_nothing():
    found = baselines.judge(np.array([90.0, 95.0, 100.0, 110.0]), np.array([3, 4, 4, 5]), 100.0, 105.0)
    assert (found.runs, found.beaten, found.p_value, found.trades) == (4, 0.75, 2 / 5, 4.0)
    assert (found.low_pct, found.middle_pct, found.high_pct) == pytest.approx((-9.25, -2.5, 8.5))
    assert baselines.judge(np.array([100.0, 100.0]), np.array([0, 1]), 100.0, 105.0) is None
    assert baselines.judge(np.zeros(0), np.zeros(0, np.int64), 100.0, 105.0) is None


def test_knowing_the_moments_beats_chance_and_knowing_nothing_does_not():
    """A market that jumps now and then: one strategy is in before the jumps, one at any time."""
    rng = np.random.default_rng(4)
    jumps = np.sort(rng.choice(np.arange(30, 1_950), 39, replace=False))
    steps = np.full(2_000, -0.0006)
    steps[jumps] = 0.03
    bars = make_bars(100.0 * np.exp(np.cumsum(steps)))
    specs, rules = [kernel.Spec(0.001, 0.01, 0.0, 20, 0.0, 0.0)], kernel.Rules(1_000.0, max_drawdown_pct=99.0, max_hold_ms=20 * BAR_MS)
    found = []
    for rows in (jumps - 2, np.sort(rng.choice(1_950, 39, replace=False))):
        entries = make_entries(bars, dict.fromkeys(rows.tolist(), 1))
        result = kernel.simulate(bars, entries, specs, rules)
        found.append(baselines.random_moments(bars, entries, specs, rules, result, seed=1))
    assert found[0].p_value == pytest.approx(1 / 101)
    assert found[1].p_value > 0.05
    nothing = make_entries(bars, {})
    assert baselines.random_moments(bars, nothing, specs, rules, kernel.simulate(bars, nothing, specs, rules), seed=1) is None
