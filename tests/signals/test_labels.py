"""Labels replay the plan bar by bar; the tables say what must come out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.costs import CostModel
from exchanges.exits import ExitPlan, opening_state, step
from exchanges.ports import CandleFrame, FundingFrame
from signals import labels
from signals.features import plan_atr
from signals.plan import PlanConfig, levels
from signals.ports import LONG, SHORT
from tests.signals.series import START_MS, candle_table, make_series, picked

FREE = CostModel(maker_bps=0.0, taker_bps=0.0, slippage_bps=0.0, funding_bps_per_hour=0.0)
PLAN = PlanConfig(stop_atr=1.5, tp1_atr=1.5, tp2_atr=2.75, tp3_atr=4.5, trail_atr=1.25, max_hold_ms=4 * 900_000)
# With ATR 10 and a deciding close of 100: long stop 85, TP 115 / 127.5 / 145; short stop 115, TP 85 / 72.5 / 55.


def outcome(table: str, costs: CostModel = FREE, plan: PlanConfig = PLAN) -> labels.Outcomes:
    frame = candle_table(table)
    return labels.outcomes(frame, np.full(len(frame), 10.0), plan, costs)


def test_a_stop_is_a_miss_for_long_and_the_same_fall_a_hit_for_short() -> None:
    out = outcome(
        """
        100 101  99 100
        100 102  98  99
         99  99  84  84.5
         84  84  70  71
         71  71  50  52
        """
    )
    assert out.tp1_hit[0].tolist() == [0, 1]
    assert out.end_index[0].tolist() == [2, 4]
    assert out.result_atr[0, LONG] == pytest.approx(-1.5)
    assert out.result_atr[0, SHORT] == pytest.approx(0.3 * 1.5 + 0.4 * 2.75 + 0.3 * 4.5)


def test_stop_and_take_profit_in_one_bar_count_as_the_stop() -> None:
    out = outcome(
        """
        100 101 99 100
        100 120 80 110
        110 110 110 110
        """
    )
    assert out.tp1_hit[0].tolist() == [0, 0]
    assert out.end_index[0].tolist() == [1, 1]


def test_a_take_profit_that_is_only_touched_is_not_hit() -> None:
    out = outcome(
        """
        100 101 99 100
        100 115 99 110
        110 111 109 110
        110 111 109 110
        110 111 109 110
        107 108 106 107
        """
    )
    assert out.tp1_hit[0, LONG] == 0
    assert out.end_index[0, LONG] == 5  # the time stop: open of the first bar at or after four bars
    assert out.result_atr[0, LONG] == pytest.approx(0.7)


def test_after_tp1_the_rest_leaves_at_break_even_or_better() -> None:
    out = outcome(
        """
        100 101  99 100
        100 116 100 115
        115 115  99 100
        100 100 100 100
        """
    )
    assert out.tp1_hit[0, LONG] == 1
    assert out.end_index[0, LONG] == 2
    # trail: best 116 - 12.5 = 103.5 counts from the next bar on
    assert out.result_atr[0, LONG] == pytest.approx(0.3 * 1.5 + 0.7 * 0.35)


def test_a_gap_beyond_the_stop_fills_at_the_open() -> None:
    out = outcome(
        """
        100 101 99 100
        100 101 99 100
        80 81 79 80
        80 80 80 80
        """
    )
    assert out.result_atr[0, LONG] == pytest.approx(-2.0)


def test_entry_is_the_next_open_and_its_own_bar_can_already_stop_it() -> None:
    out = outcome(
        """
        100 101 99 100
        105 106 84 90
        90 91 89 90
        """
    )
    assert out.end_index[0, LONG] == 1
    assert out.result_atr[0, LONG] == pytest.approx((85 - 105) / 10)


@pytest.mark.parametrize("opening", [84.0, 85.0, 115.0, 120.0])
def test_an_open_beyond_stop_or_tp1_is_no_entry(opening: float) -> None:
    out = outcome(f"100 101 99 100\n{opening} {opening} {opening} {opening}\n100 101 99 100")
    assert out.tp1_hit[0].tolist() == [-1, -1]
    assert out.end_index[0].tolist() == [-1, -1]
    assert np.isnan(out.result_atr[0]).all()


def test_nothing_is_entered_across_a_gap_and_what_is_held_over_one_ends_after_it() -> None:
    frame = candle_table("100 101 99 100\n" * 8)
    gapped = picked(frame, [0, 1, 2, 4, 5, 6, 7])  # the bar after row 2 is missing
    out = labels.outcomes(gapped, np.full(7, 10.0), PLAN, FREE)
    assert out.end_index[:4, LONG].tolist() == [4, 5, -1, -1]
    assert out.tp1_hit[2].tolist() == [-1, -1]


def test_a_position_still_open_at_the_end_of_the_data_is_unknown() -> None:
    out = outcome("100 101 99 100\n100 116 100 115\n115 116 114 115")
    assert out.tp1_hit[0, LONG] == -1
    assert out.tp1_hit[2].tolist() == [-1, -1]
    assert np.isnan(out.net_pct[0, LONG])


def test_rows_without_an_atr_are_unknown() -> None:
    frame = candle_table("100 101 99 100\n" * 9)
    atr = np.array([np.nan, 0.0, *[10.0] * 7])
    out = labels.outcomes(frame, atr, PLAN, FREE)
    assert out.tp1_hit[:3, LONG].tolist() == [-1, -1, 0]


def test_net_result_takes_fees_by_liquidity_slippage_and_funding() -> None:
    costs = CostModel(maker_bps=2.0, taker_bps=5.0, slippage_bps=3.0, funding_bps_per_hour=4.0)
    out = outcome("100 101 99 100\n100 101 99 100\n99 99 84 84.5\n84 84 84 84", costs)
    # long: taker and slippage twice, funding for one bar of a quarter of an hour on the whole position
    assert out.net_pct[0, LONG] == pytest.approx(-15.0 - (5 + 3 + 5 + 3 + 4 * 0.25) / 100)
    assert out.result_atr[0, LONG] == pytest.approx(-1.5)


def test_asked_rows_are_replayed_and_the_others_left_unknown() -> None:
    frame = make_series(3_000)
    atr = plan_atr(frame, PlanConfig())
    whole = labels.outcomes(frame, atr, PlanConfig(), CostModel())
    some = labels.outcomes(frame, atr, PlanConfig(), CostModel(), rows=np.array([2_500, 2_600]))
    assert some.tp1_hit[[2_500, 2_600]].tolist() == whole.tp1_hit[[2_500, 2_600]].tolist()
    assert (some.tp1_hit[2_501:2_600] == labels.UNKNOWN).all()


def test_labels_are_what_the_exit_step_does_on_real_looking_candles() -> None:
    frame, config, costs = make_series(3_000, seed=5), PlanConfig(), CostModel()
    atr = plan_atr(frame, config)
    out = labels.outcomes(frame, atr, config, costs)
    checked = 0
    for i in range(2_300, 2_900, 13):
        for column, side in ((LONG, 1), (SHORT, -1)):
            plan = levels(side, frame.close[i], atr[i], config)
            entry = costs.slipped(frame.open[i + 1], buys=side > 0)
            deadline = int(frame.timestamp[i + 1]) + config.max_hold_ms
            exits = ExitPlan(side, entry, plan.stop, plan.tp1, plan.tp2, plan.tp3, *config.shares, plan.trail, 0.0, deadline)
            state, moved, hit, end = opening_state(exits), 0.0, 0, -1
            for j in range(i + 1, len(frame)):
                bar = (frame.open[j], frame.high[j], frame.low[j], frame.close[j])
                state, count, *fills = step(exits, state, int(frame.timestamp[j]), *bar)
                for fill in fills[:count]:
                    moved += fill.share * side * (fill.price - frame.open[i + 1])
                    hit = max(hit, int(fill.reason == 2))
                if state.remaining <= 1e-12:
                    end = j
                    break
            expected = (hit, end) if end >= 0 else (-1, -1)
            assert (out.tp1_hit[i, column], out.end_index[i, column]) == expected
            if end >= 0:
                assert out.result_atr[i, column] == pytest.approx(moved / atr[i])
                checked += 1
    assert checked > 60


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), size=st.floats(0.3, 6.0), dropped=st.lists(st.integers(1, 58), max_size=4))
def test_it_passes_over_quiet_bars_without_changing_anything(seed: int, size: float, dropped: list[int]) -> None:
    """The compiled replay looks for the first touch; the exit step, asked at every bar, says the same."""
    rng = np.random.default_rng(seed)
    close = 100.0 + np.cumsum(rng.normal(0.0, size, 60))
    opened = np.concatenate(([100.0], close[:-1])) + rng.normal(0.0, size / 4, 60)
    high, low = np.maximum(opened, close) + rng.exponential(size, 60), np.minimum(opened, close) - rng.exponential(size, 60)
    lines = "\n".join(f"{o} {h} {low_} {c}" for o, h, low_, c in zip(opened, high, low, close, strict=True))
    frame = picked(candle_table(lines), np.setdiff1d(np.arange(60), dropped))
    config = PlanConfig(max_hold_ms=20 * 900_000)
    unit = np.full(len(frame), 4.0)
    out = labels.outcomes(frame, unit, config, CostModel())
    plan = (config.stop_atr, config.tp1_atr, config.tp2_atr, config.tp3_atr, config.trail_atr, *config.shares)
    for i in range(len(frame)):
        for column, side in ((LONG, 1), (SHORT, -1)):
            assert (out.tp1_hit[i, column], out.end_index[i, column]) == stepped(frame, i, side, plan, config.max_hold_ms)


def stepped(frame, i: int, side: int, plan: tuple[float, ...], max_hold_ms: int) -> tuple[int, int]:
    """(tp1_hit, end_index) by exits.step at every bar, with an ATR of 4."""
    stop_atr, tp1_atr, tp2_atr, tp3_atr, trail_atr, *shares = plan
    close = float(frame.close[i])
    stop, *targets = close - side * 4.0 * stop_atr, *(close + side * 4.0 * far for far in (tp1_atr, tp2_atr, tp3_atr))
    if i + 1 >= len(frame) or frame.timestamp[i + 1] - frame.timestamp[i] != 900_000 or min(stop, *targets) <= 0.0:
        return -1, -1
    entry = CostModel().slipped(float(frame.open[i + 1]), buys=side > 0)
    if side * (entry - stop) <= 0.0 or side * (targets[0] - entry) <= 0.0:
        return -1, -1
    exits = ExitPlan(side, entry, stop, *targets, *shares, 4.0 * trail_atr, 0.0, int(frame.timestamp[i + 1]) + max_hold_ms)
    state, hit = opening_state(exits), 0
    for j in range(i + 1, len(frame)):
        bar = (float(frame.open[j]), float(frame.high[j]), float(frame.low[j]), float(frame.close[j]))
        state, count, *fills = step(exits, state, int(frame.timestamp[j]), *bar)
        hit = max(hit, *(int(fill.reason == 2) for fill in fills[:count]), 0)
        if state.remaining <= 1e-12:
            return hit, j
    return -1, -1


def test_a_label_does_not_depend_on_what_comes_after_its_end() -> None:
    frame, config, costs = make_series(3_000, seed=6), PlanConfig(), CostModel()
    atr = plan_atr(frame, config)
    out = labels.outcomes(frame, atr, config, costs)
    cut = 2_700
    short = labels.outcomes(frame.slice(0, cut), atr[:cut], config, costs)
    ended = (out.end_index[:cut] >= 0) & (out.end_index[:cut] < cut)
    assert (short.tp1_hit[ended] == out.tp1_hit[:cut][ended]).all()
    assert (short.tp1_hit[~ended] == -1).all()


def test_the_time_stop_counts_hours_not_bars() -> None:
    frame = candle_table("100 101 99 100\n" * 30)
    gapped = picked(frame, np.r_[0:3, 20:30])
    out = labels.outcomes(gapped, np.full(13, 10.0), PLAN, FREE)
    assert out.end_index[0, LONG] == 3  # the first bar after the gap is past the deadline
    assert int(gapped.timestamp[3]) - START_MS > PLAN.max_hold_ms


def test_volatility_barriers_replay_the_same_plan_in_another_unit() -> None:
    frame, costs = make_series(3_000, seed=8), CostModel()
    config = PlanConfig(unit="volatility", stop_atr=2.0, tp1_atr=2.0, tp2_atr=4.0, tp3_atr=6.0, trail_atr=2.0)
    unit = plan_atr(frame, config)
    out = labels.outcomes(frame, unit, config, costs)
    by_atr = labels.outcomes(frame, plan_atr(frame, PlanConfig()), PlanConfig(), costs)
    known = out.end_index[:, LONG] >= 0
    assert known.sum() > 1_000
    assert (out.end_index != by_atr.end_index).any()
    stopped = known & (out.result_atr[:, LONG] < -1.9)
    assert stopped.sum() > 50
    # At the stop two deviations are lost, whatever the price, and fees, slippage and funding come on top.
    lost = 2.0 * unit[stopped] / frame.close[stopped] * 100.0
    assert (out.net_pct[stopped, LONG] < -lost * 0.95).all()
    assert (out.net_pct[stopped, LONG] < out.result_atr[stopped, LONG] * unit[stopped] / frame.open[1:][stopped[:-1]] * 100.0).all()


def test_uniqueness_is_the_mean_share_of_a_label_in_its_bars() -> None:
    # Bars:  0 1 2 3 4 5 ; labels [0,2], [2,3], [4,5] as in the book's section 4.4
    weight = labels.uniqueness(np.array([0, 2, 4]), np.array([2, 3, 5]))
    assert weight == pytest.approx([(1 + 1 + 0.5) / 3, (0.5 + 1) / 2, 1.0])


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=40))
def test_uniqueness_agrees_with_a_plain_count(spans: list[tuple[int, int]]) -> None:
    start = np.array([first for first, _ in spans])
    end = start + np.array([length for _, length in spans])
    plain = [np.mean([1.0 / ((start <= t) & (end >= t)).sum() for t in range(a, b + 1)]) for a, b in zip(start, end, strict=True)]
    assert labels.uniqueness(start, end) == pytest.approx(plain)


def test_uniqueness_refuses_an_end_before_its_start() -> None:
    assert labels.uniqueness(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)).size == 0
    with pytest.raises(ValueError, match="end at or after its start"):
        labels.uniqueness(np.array([3]), np.array([2]))


def standing(bars: int) -> CandleFrame:
    """A market whose price does not move."""
    frame, price = make_series(bars), np.full(bars, 100.0)
    return CandleFrame(frame.symbol, frame.timeframe, frame.timestamp, price, price, price, price, frame.volume)


def test_funding_is_paid_at_its_boundaries_by_the_side_that_owes_it() -> None:
    flat = standing(14)
    plan = PlanConfig(stop_atr=1.5, tp1_atr=1.5, tp2_atr=2.75, tp3_atr=4.5, trail_atr=1.25, max_hold_ms=8 * 900_000)
    opened = int(flat.timestamp[1])
    at = np.array([opened, opened + 900_000, opened + 4 * 900_000 + 5, opened + 9 * 900_000], dtype=np.int64)
    rates = FundingFrame(at, np.array([0.5, 0.001, 0.0004, 0.5]))
    out = labels.outcomes(flat, np.full(14, 10.0), plan, FREE, funding=rates, rows=np.array([0]))
    assert out.end_index[0].tolist() == [9, 9]
    # The first falls due when nobody has held yet, the last after the time stop.
    assert out.net_pct[0] == pytest.approx([-0.14, 0.14])


def test_hours_that_no_rate_stands_for_cost_either_side_the_default() -> None:
    flat = standing(80)
    plan = PlanConfig(max_hold_ms=40 * 900_000)
    costs = CostModel(maker_bps=0.0, taker_bps=0.0, slippage_bps=0.0, funding_bps_per_hour=2.0)
    nothing = FundingFrame(np.empty(0, np.int64), np.empty(0))
    out = labels.outcomes(flat, np.full(80, 10.0), plan, costs, funding=nothing, rows=np.array([20]))
    assert out.net_pct[20] == pytest.approx([-0.2, -0.2])
