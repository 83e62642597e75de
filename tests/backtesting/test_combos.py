"""Which combinations there are, which is the best, over which windows: by hand."""

import numpy as np
import pytest

from backtesting.combos import ranking, space, windows
from signals.plan import PlanConfig
from signals.rules import UnfitParameter, UnknownRule

DAY = windows.DAY_MS
nan = float("nan")


# --- what may be varied


def test_it_lays_out_all_combinations_that_go_together() -> None:
    found = space.parse("sma-cross", {"fast": {"low": 10, "high": 30, "step": 10}, "slow": {"low": 20, "high": 30, "step": 10}})
    assert found.product == 6
    assert found.combinations()[:, :2].tolist() == [[10, 20], [10, 30], [20, 30]]
    assert found.combinations()[0, 2:].tolist() == [1.5, 1.5, 2.75, 4.5, 1.25, 48]
    assert [axis.name for axis in found.varied] == ["fast", "slow"]
    assert found.longest_hold_ms == 48 * 3_600_000


def test_it_steps_without_adding_rounding() -> None:
    axis = space.parse("bollinger-reversion", {"deviations": {"low": 1.0, "high": 2.05, "step": 0.1}}).varied[0]
    assert axis.values.tolist() == [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0]


def test_it_varies_the_plan_too_and_keeps_its_ladder_in_order() -> None:
    found = space.parse(
        "sma-cross", {"fast": 5, "tp1_atr": {"low": 1, "high": 3, "step": 1}, "hold_hours": {"low": 24, "high": 48, "step": 24}}
    )
    rows = [found.values(row) for row in found.combinations()]
    assert [(row["tp1_atr"], row["hold_hours"]) for row in rows] == [(1.0, 24), (1.0, 48), (2.0, 24), (2.0, 48)]
    plan = space.plan_of(rows[2])
    assert plan == PlanConfig(tp1_atr=2.0, max_hold_ms=24 * 3_600_000)


def test_it_reads_back_what_it_wrote() -> None:
    found = space.parse("rsi-reversion", {"period": 7, "oversold": {"low": 20, "high": 40}})
    assert space.parse("rsi-reversion", found.to_json()) == found
    assert found.varied[0].values.tolist() == [20.0, 25.0, 30.0, 35.0, 40.0]


@pytest.mark.parametrize(
    ("fast", "slow", "edges"),
    [(10, 30, ["fast"]), (20, 30, ["fast"]), (15, 30, []), (15, 20, ["slow"]), (15, 1000, []), (10, 20, ["fast", "slow"])],
)
def test_it_tells_what_lies_at_the_edge_of_its_range(fast, slow, edges) -> None:
    """1,000 is the widest average there is: nothing lies beyond."""
    found = space.parse("sma-cross", {"fast": {"low": 10, "high": 20, "step": 5}, "slow": {"low": 20, "high": 1000, "step": 10}})
    values = found.values([fast, slow, *(axis.low for axis in found.axes[2:])])
    assert [axis.name for axis in found.at_the_edge(values)] == edges


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"speed": 1}, "speed", "no such parameter"),
        ({"fast": {"low": 30, "high": 10}}, "fast", "the range from 30 to 10 is empty"),
        ({"fast": {"low": 10}}, "fast", "high is missing"),
        ({"fast": {"low": 10, "high": 20, "step": 0}}, "fast", "step must be more than 0"),
        ({"stop_atr": {"low": 1, "high": 2, "step": 5e-324}}, "stop_atr", "at most 10,000 steps wide"),
        ({"fast": {"low": 10, "high": 20, "step": 1.5}}, "fast", "the step 1.5 is none; choose a whole number of more than 0"),
        ({"fast": {"low": 10, "high": 20, "step": -1}}, "fast", "the step -1 is none; choose a whole number of more than 0, up to 200"),
        ({"fast": {"low": 10, "high": 20, "stride": 1}}, "fast", "stride is unknown"),
        ({"fast": {"low": 10, "high": 900}}, "fast", "900 is out of range"),
        ({"fast": {"low": 50, "high": 90}}, "fast", "fewer bars than the slow one"),
        ({"tp1_atr": 5}, "tp1_atr", "nearer than the second"),
        ({"stop_atr": None}, "stop_atr", "None is not a number"),
    ],
)
def test_it_says_which_range_cannot_be_used(given, field, words) -> None:
    with pytest.raises(UnfitParameter, match=words) as caught:
        space.parse("sma-cross", given)
    assert caught.value.field == field


def test_it_does_not_lay_out_what_nobody_could_search() -> None:
    wide = {name: {"low": 0.5, "high": 10, "step": 0.05} for name in ("stop_atr", "trail_atr", "tp1_atr")}
    with pytest.raises(UnfitParameter, match="6,967,871 combinations are too many"):
        space.parse("sma-cross", wide).combinations()
    with pytest.raises(UnknownRule):
        space.parse("moon", {})


# --- windows


def test_it_rolls_windows_whose_tests_join() -> None:
    found = windows.windows(0, 100 * DAY, train_days=40, test_days=20, purge_ms=2 * DAY, is_anchored=False)
    assert [tuple(ms // DAY for ms in window) for window in found] == [(0, 40, 42, 62), (20, 60, 62, 82), (40, 80, 82, 100)]


def test_it_begins_windows_with_a_day() -> None:
    found = windows.windows(DAY // 2, 100 * DAY, train_days=40, test_days=20, purge_ms=DAY // 24, is_anchored=False)
    assert [tuple(ms // DAY for ms in window) for window in found] == [(1, 41, 42, 62), (21, 61, 62, 82), (41, 81, 82, 100)]
    assert found[0].train_start_ms == DAY


def test_it_anchors_the_trainings() -> None:
    found = windows.windows(0, 100 * DAY, train_days=40, test_days=20, purge_ms=2 * DAY, is_anchored=True)
    assert [tuple(ms // DAY for ms in window) for window in found] == [(0, 40, 42, 62), (0, 60, 62, 82), (0, 80, 82, 100)]


def test_it_leaves_out_a_last_window_of_less_than_half_its_days() -> None:
    spans = [windows.windows(0, end * DAY, train_days=40, test_days=20, purge_ms=0, is_anchored=False) for end in (89, 90)]
    assert [len(found) for found in spans] == [2, 3]


def test_it_wants_two_windows() -> None:
    with pytest.raises(windows.TooShort, match="60 days hold fewer than 2 windows of 40 days to choose on, 2 between and 20 to judge on"):
        windows.windows(0, 60 * DAY, train_days=40, test_days=20, purge_ms=2 * DAY, is_anchored=False)


# --- the best


def make_results(daily, **more):
    daily = np.array(daily, float)
    c = daily.shape[0]
    facts = {
        "balance": daily[:, -1], "trades": np.full(c, 10), "wins": np.full(c, 6), "gain": np.full(c, 30.0), "loss": np.full(c, 20.0),
        "fall": np.full(c, 0.05), "capital": 100.0,
    }  # fmt: skip
    return ranking.results(daily=daily, **facts | more)


def test_it_takes_figures_from_a_sweep() -> None:
    # returns 10 %, -10 %, 10 %: mean 1/30, deviation sqrt(0.04/3) = 0.11547
    found = make_results([[110, 99, 108.9]], loss=np.array([20.0]))
    assert found.net_pct == pytest.approx([8.9])
    assert found.ratio == pytest.approx([0.0333333 / 0.1154701], rel=1e-5)
    assert found.objective("sharpe") == pytest.approx([0.2886751 * 365**0.5], rel=1e-5)
    assert found.profit_factor.tolist() == [1.5]
    assert found.fall_pct.tolist() == [5.0]
    assert found.expectancy == pytest.approx([0.89])
    assert np.isnan(found.calmar).all()  # three days say nothing about a year


def test_it_annualises_a_month() -> None:
    found = make_results([np.linspace(100, 101, 73)], fall=np.array([0.1]))
    assert found.calmar == pytest.approx([(1.01**5 - 1) * 100 / 10.0])


def test_it_says_nothing_where_nothing_was_risked() -> None:
    found = make_results([[100, 100, 100]], trades=np.array([0]), gain=np.array([0.0]), loss=np.array([0.0]), fall=np.array([0.0]))
    assert np.isnan([found.ratio[0], found.profit_factor[0], found.expectancy[0], found.calmar[0]]).all()
    assert found.net_pct.tolist() == [0.0]


def test_it_counts_days_after_a_ruin_as_days_without_change() -> None:
    # returns -100 %, 0, 0: mean -1/3, deviation sqrt(1/3)
    assert make_results([[0, 0, 0]]).ratio == pytest.approx([-(3**-0.5)])


def test_it_ranks_what_has_enough_trades() -> None:
    value, trades = np.array([1.0, 9.0, nan, 3.0, 3.0]), np.array([50, 5, 50, 50, 50])
    assert ranking.order(value, trades, 30).tolist() == [3, 4, 0]
    assert ranking.order(value, trades, 99).tolist() == []


def test_it_puts_batches_behind_each_other() -> None:
    both = ranking.joined([make_results([[110, 99]]), make_results([[100, 120]])])
    assert both.net_pct == pytest.approx([-1.0, 20.0])


def test_it_maps_two_parameters_over_the_best_of_the_others() -> None:
    x, y = np.array([1, 1, 2, 2, 1.0]), np.array([5, 5, 5, 6, 6.0])
    found = ranking.heat_map(x, y, np.array([0.1, 0.7, nan, 0.3, -0.2]))
    assert (found.x.tolist(), found.y.tolist()) == ([1.0, 2.0], [5.0, 6.0])
    assert found.at.tolist() == [[1, -1], [4, 3]]
    assert np.array_equal(found.best, [[0.7, nan], [-0.2, 0.3]], equal_nan=True)


def test_it_looks_at_what_is_one_step_away() -> None:
    table = np.array([[x, y] for x in (10, 20, 50) for y in (1, 2, 3)], float)
    value = np.array([0.1, -0.3, 0.2, 0.9, 0.5, -7.0, nan, 0.3, -7.0])
    # around (20, 1): (10, 1), (10, 2), (20, 2), (50, 2); (50, 1) has no value
    assert ranking.around(table, value, 3) == ranking.Around(4, 0.75, pytest.approx(0.15))
    assert ranking.around(table, value + 1.0, 3, neutral=1.0).share == 0.75
    assert ranking.around(table[:1], value[:1], 0) == ranking.Around(0, None, None)


def test_it_thins_a_map_without_losing_the_best() -> None:
    """100 columns and 7 rows; every third column would leave out column 50, where the best is."""
    x, y = (axis.ravel().astype(float) for axis in np.meshgrid(np.arange(100), np.arange(7)))
    value = -np.abs(x - 50) - np.abs(y - 5)
    whole = ranking.heat_map(x, y, value)
    drawn = ranking.thinned(whole, 40)
    assert drawn.x.tolist() == sorted({*range(0, 100, 3), 50})
    assert drawn.y.tolist() == list(range(7))
    assert drawn.best.max() == 0.0
    assert drawn.best.shape == drawn.at.shape == (7, 35)
    assert ranking.thinned(ranking.heat_map(x, y, np.full(700, np.nan)), 40).best.shape == (7, 34)
    few = ranking.heat_map(x[:3], y[:3], value[:3])
    assert ranking.thinned(few, 40).x.tolist() == [0.0, 1.0, 2.0]
