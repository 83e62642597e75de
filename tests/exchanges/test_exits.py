"""The one exit step: candle tables with the expected exits written out, through the compiled function and the plain one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges import exits
from exchanges.exits import ExitPlan, ExitState

HOUR = 3_600_000
LONG = ExitPlan(1, 100.0, 90.0, 110.0, 120.0, 130.0, 0.3, 0.4, 0.3, 8.0, 0.0, 48 * HOUR)
SHORT = ExitPlan(-1, 100.0, 110.0, 90.0, 80.0, 70.0, 0.3, 0.4, 0.3, 8.0, 0.0, 48 * HOUR)
STEPS = [pytest.param(exits.step, id="compiled"), pytest.param(exits.step.py_func, id="plain")]

# name: (bars, [(bar, reason, price, share)], stop at the end)
TABLES = {
    "the stop comes before a target in the same bar": ([(100, 135, 89, 120)], [(0, "stop", 90, 1.0)], 90),
    "a gap beyond the stop fills at the open": ([(85, 86, 80, 84)], [(0, "stop", 85, 1.0)], 90),
    "a touch of the stop is enough": ([(100, 101, 90, 95)], [(0, "stop", 90, 1.0)], 90),
    "a touch of a target is not": ([(100, 110, 99, 105)], [], 90),
    "one tick through a target is": ([(100, 110.01, 99, 105)], [(0, "tp1", 110, 0.3)], 102.01),
    "three targets in one bar": ([(100, 131, 99, 130)], [(0, "tp1", 110, 0.3), (0, "tp2", 120, 0.4), (0, "tp3", 130, 0.3)], 90),
    "two targets in a later bar": ([(100, 111, 99, 110), (110, 131, 109, 130)], [(0, "tp1", 110, 0.3), (1, "tp2", 120, 0.4), (1, "tp3", 130, 0.3)], 103),
    "a target a bar": ([(100, 111, 99, 110), (110, 121, 109, 120), (120, 131, 119, 130)], [(0, "tp1", 110, 0.3), (1, "tp2", 120, 0.4), (2, "tp3", 130, 0.3)], 113),
    "a gap beyond a target still fills at the target": ([(115, 116, 112, 113)], [(0, "tp1", 110, 0.3)], 108),
    "after TP1 the stop trails the best price": ([(100, 110.5, 99, 105), (105, 106, 103, 104)], [(0, "tp1", 110, 0.3)], 102.5),
    "the trail of a bar counts from the next bar on": ([(100, 118, 99, 100.5), (109, 112, 109, 110)], [(0, "tp1", 110, 0.3), (1, "trail", 109, 0.7)], 110),
    "the trail never goes back": ([(100, 118, 99, 117), (117, 117.5, 111, 116)], [(0, "tp1", 110, 0.3)], 110),
    "without TP1 the stop does not move": ([(100, 109, 95, 105), (105, 109.5, 95, 100)], [], 90),
}  # fmt: skip
# A bar that ends at its high pins the trail: 118 - 8 = 110.


def play(step, plan, rows, bar_ms=HOUR, start_ms=0):
    state, found = exits.opening_state.py_func(plan), []
    for number, row in enumerate(rows):
        state, count, *fills = step(plan, state, start_ms + number * bar_ms, *map(float, row))
        found += [(number, exits.REASONS[fill.reason], pytest.approx(fill.price), pytest.approx(fill.share)) for fill in fills[:count]]
    return found, state


def mirrored(rows):
    return [(200 - o, 200 - low, 200 - high, 200 - c) for o, high, low, c in rows]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", TABLES)
def test_it_leaves_a_long_as_the_table_says(step, name):
    rows, expected, stop = TABLES[name]
    found, state = play(step, LONG, rows)
    assert found == expected
    assert state.stop == pytest.approx(stop)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", TABLES)
def test_it_leaves_a_short_as_the_mirrored_table_says(step, name):
    rows, expected, stop = TABLES[name]
    found, state = play(step, SHORT, mirrored(rows))
    assert found == [(bar, reason, pytest.approx(200 - price), share) for bar, reason, price, share in expected]
    assert state.stop == pytest.approx(200 - stop)


@pytest.mark.parametrize("step", STEPS)
def test_it_leaves_at_the_open_of_the_first_bar_at_the_deadline(step):
    found, state = play(step, LONG, [(100, 101, 99, 100), (104, 131, 80, 100)], start_ms=47 * HOUR)
    assert found == [(1, "time", 104, 1.0)]
    assert state.remaining == 0


@pytest.mark.parametrize("step", STEPS)
def test_it_is_at_break_even_after_tp1_at_least(step):
    _, state = play(step, LONG._replace(trail=15.0), [(100, 110.5, 99, 105)])
    assert state.stop == 100


@pytest.mark.parametrize("step", STEPS)
def test_it_is_liquidated_before_a_stop_that_is_further_away(step):
    plan = LONG._replace(liquidation=92.0)
    assert play(step, plan, [(100, 101, 89, 95)])[0] == [(0, "liquidation", 92, 1.0)]


@pytest.mark.parametrize("step", STEPS)
def test_it_is_stopped_before_a_liquidation_that_is_further_away(step):
    plan = LONG._replace(liquidation=85.0)
    assert play(step, plan, [(100, 101, 84, 95)])[0] == [(0, "stop", 90, 1.0)]


@pytest.mark.parametrize("step", STEPS)
def test_it_does_nothing_with_a_flat_position(step):
    state, count, *_ = step(LONG, ExitState(0.0, 90.0, 3, 130.0), 0, 100.0, 200.0, 1.0, 100.0)
    assert (state.remaining, count) == (0.0, 0)


prices = st.floats(70, 130, allow_nan=False)
bar = st.tuples(prices, prices, st.floats(0, 5), st.floats(0, 5)).map(
    lambda p: (p[0], max(p[0], p[1]) + p[2], min(p[0], p[1]) - p[3], p[1])
)


@given(st.lists(bar, min_size=1, max_size=60))
def test_it_keeps_shares_whole_and_the_stop_moving_one_way(rows):
    state, stop, left = exits.opening_state.py_func(LONG), LONG.stop, 0.0
    for number, row in enumerate(rows):
        state, count, *fills = exits.step.py_func(LONG, state, number * HOUR, *row)
        left += sum(fill.share for fill in fills[:count])
        assert left + state.remaining == pytest.approx(1.0)
        assert state.stop >= stop
        assert all(fill.price <= max(row) for fill in fills[:count])  # never better than the market was
        stop = state.stop


@given(st.lists(bar, min_size=1, max_size=40))
def test_it_treats_both_sides_alike(rows):
    long, after_long = play(exits.step.py_func, LONG, rows)
    short, after_short = play(exits.step.py_func, SHORT, mirrored(rows))
    assert [row[:2] for row in long] == [row[:2] for row in short]
    assert [row[2].expected + other[2].expected for row, other in zip(long, short, strict=True)] == pytest.approx([200.0] * len(long))
    assert [row[3].expected for row in long] == pytest.approx([row[3].expected for row in short])
    assert after_long.stop + after_short.stop == pytest.approx(200.0)


@given(st.lists(bar, min_size=1, max_size=40))
def test_it_is_the_same_compiled(rows):
    assert play(exits.step, LONG, rows) == play(exits.step.py_func, LONG, rows)


SLICERS = [pytest.param(exits.slice_qty, id="compiled"), pytest.param(exits.slice_qty.py_func, id="plain")]


@pytest.mark.parametrize("slice_qty", SLICERS)
@pytest.mark.parametrize(
    ("opened", "least", "slices"),
    [
        (1.0, 0.0, [0.3, 0.4, 0.3]),
        (0.252, 0.0, [0.075, 0.101, 0.076]),  # 0.0756 stays 0.177; 0.1008 stays 0.076
        (0.003, 0.0, [0.0, 0.002, 0.001]),  # a slice under one step leaves with the next one
        (0.002, 0.0, [0.0, 0.001, 0.001]),
        (0.001, 0.0, [0.0, 0.0, 0.001]),
        (1.0, 0.3, [0.3, 0.4, 0.3]),  # exactly the minimum is enough
        (1.0, 0.31, [0.0, 0.0, 1.0]),  # 0.3 is too little to sell, and after 0.7 too little would stay
        (1.0, 0.35, [0.0, 0.0, 1.0]),
        (1.0, 2.0, [0.0, 0.0, 1.0]),
    ],
)
def test_it_slices_in_whole_steps_and_merges_what_is_too_small(slice_qty, opened, least, slices):
    left, found = opened, []
    for remaining in (0.7, 0.3, 0.0):
        found.append(slice_qty(opened, left, remaining, 0.001, least))
        left -= found[-1]
    assert found == pytest.approx(slices)


@given(
    steps=st.integers(1, 5000),
    step=st.sampled_from([0.001, 0.1, 1.0, 10.0]),
    shares=st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted),
    least_steps=st.integers(0, 60),
)
def test_it_slices_the_whole_quantity_and_leaves_no_dust(steps, step, shares, least_steps):
    opened, left, least = steps * step, steps * step, least_steps * step
    for share_left in (1 - shares[0] / 100, 1 - shares[1] / 100, 0.0):
        qty = exits.slice_qty.py_func(opened, left, share_left, step, least)
        assert qty == pytest.approx(round(qty / step) * step)
        assert 0.0 <= qty <= left + step * 1e-6
        if share_left > 0.0 and qty > 0.0:
            assert qty >= least - step * 1e-6
            assert left - qty >= max(least, share_left * opened) - step * 1e-6  # never more than its share, nor dust behind it
        if least == 0.0 and share_left > 0.0:
            assert left - qty < share_left * opened + step  # and within one step of the plan
        left -= qty
    assert left == pytest.approx(0.0, abs=step * 1e-6)


WALKS = [pytest.param(exits.walk, id="compiled"), pytest.param(exits.walk.py_func, id="plain")]
PLAN = LONG._replace(trail=3.0)


def walked(walk, bar, path, *, plan=PLAN, mark=None, state=None, at=0):
    """[(reason, price, share)] of one bar (open, high, low) and the stop after it; the same for a short in the mirror."""
    o, high, low = map(float, bar)
    mark_high, mark_low = map(float, mark or (high, low))
    state = state or exits.opening_state.py_func(plan)
    after, count, *fills = walk(plan, state, at, o, high, low, mark_high, mark_low, path)
    found = [(exits.REASONS[fill.reason], pytest.approx(fill.price), pytest.approx(fill.share)) for fill in fills[:count]]
    mirror = plan._replace(
        side=-1, stop=200 - plan.stop, tp1=200 - plan.tp1, tp2=200 - plan.tp2, tp3=200 - plan.tp3,
        liquidation=200 - plan.liquidation if plan.liquidation else 0.0,
    )  # fmt: skip
    reflected = state._replace(stop=200 - state.stop, best=200 - state.best)
    other, count, *fills = walk(mirror, reflected, at, 200 - o, 200 - low, 200 - high, 200 - mark_low, 200 - mark_high, path)
    assert [(exits.REASONS[fill.reason], pytest.approx(200 - fill.price), pytest.approx(fill.share)) for fill in fills[:count]] == found
    assert other.stop == pytest.approx(200 - after.stop)
    return found, after.stop


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize(
    ("bar", "path", "expected"),
    [
        # From 100 both the stop at 90 and TP1 at 110 are reached; TP1 is 11 away, the low 12.
        ((100, 111, 88), exits.PESSIMISTIC, [("stop", 90, 1.0)]),
        ((100, 111, 88), exits.OPTIMISTIC, [("tp1", 110, 0.3), ("trail", 90, 0.7)]),
        ((100, 111, 88), exits.ADAPTIVE, [("tp1", 110, 0.3), ("trail", 108, 0.7)]),  # the stop trails 3 behind 111, and the fall meets it
        ((100, 113, 88), exits.ADAPTIVE, [("stop", 90, 1.0)]),  # the low is nearer
        ((100, 112, 88), exits.ADAPTIVE, [("stop", 90, 1.0)]),  # as near
        ((99.4, 110.7, 88.1), exits.ADAPTIVE, [("stop", 90, 1.0)]),  # as near, whatever binary fractions make of 11.3
        ((100, 125, 88), exits.OPTIMISTIC, [("tp1", 110, 0.3), ("tp2", 120, 0.4), ("trail", 90, 0.3)]),
        ((115, 125, 100), exits.ADAPTIVE, [("tp1", 110, 0.3), ("tp2", 120, 0.4), ("trail", 122, 0.3)]),
        ((100, 131, 50), exits.OPTIMISTIC, [("tp1", 110, 0.3), ("tp2", 120, 0.4), ("tp3", 130, 0.3)]),
        ((89, 131, 88), exits.OPTIMISTIC, [("stop", 89, 1.0)]),  # opened beyond the stop: no path brings the targets first
        ((90, 131, 90), exits.ADAPTIVE, [("stop", 90, 1.0)]),
        ((100, 109, 89), exits.OPTIMISTIC, [("stop", 90, 1.0)]),
    ],
)
def test_it_orders_the_legs_of_a_bar_as_the_path_says(walk, bar, path, expected):
    assert walked(walk, bar, path)[0] == expected


@pytest.mark.parametrize("walk", WALKS)
def test_it_lets_an_optimistic_bar_that_was_not_stopped_move_the_stop(walk):
    assert walked(walk, (100, 111, 99), exits.OPTIMISTIC) == ([("tp1", 110, 0.3)], 108)


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize(
    ("bar", "mark", "liquidation", "expected"),
    [
        ((100, 101, 95), (101, 84), 85, [("liquidation", 85, 1.0)]),  # the mark alone fell to it
        ((100, 101, 89), (101, 84), 85, [("stop", 90, 1.0)]),  # the last price met the stop on its way
        ((100, 101, 84), (101, 96), 85, [("stop", 90, 1.0)]),
        ((100, 101, 91), (101, 94), 92, []),  # the last price alone is no liquidation
        ((100, 101, 89), (101, 94), 92, [("stop", 90, 1.0)]),
        ((100, 101, 95), (101, 92), 92, [("liquidation", 92, 1.0)]),  # a touch is enough
        ((80, 81, 79), (101, 99), 85, [("liquidation", 85, 1.0)]),  # a gap costs no more than the margin
        ((85, 86, 84), (101, 99), 85, [("liquidation", 85, 1.0)]),
        ((87, 88, 86), (101, 99), 85, [("stop", 87, 1.0)]),
    ],
)
def test_it_liquidates_on_the_mark_price_and_beyond_a_gap(walk, bar, mark, liquidation, expected):
    assert walked(walk, bar, exits.PESSIMISTIC, plan=PLAN._replace(liquidation=float(liquidation)), mark=mark)[0] == expected


@pytest.mark.parametrize("walk", WALKS)
def test_it_is_liquidated_and_not_timed_out_where_the_open_is_beyond_the_liquidation_price(walk):
    plan = PLAN._replace(liquidation=85.0)
    assert walked(walk, (80, 81, 79), exits.PESSIMISTIC, plan=plan, at=plan.deadline_ms)[0] == [("liquidation", 85, 1.0)]
    assert walked(walk, (86, 87, 79), exits.PESSIMISTIC, plan=plan, at=plan.deadline_ms)[0] == [("time", 86, 1.0)]


@pytest.mark.parametrize("walk", WALKS)
def test_it_liquidates_what_the_targets_left_on_the_optimistic_path(walk):
    plan = PLAN._replace(stop=80.0, liquidation=85.0)
    assert walked(walk, (100, 111, 84), exits.OPTIMISTIC, plan=plan)[0] == [("tp1", 110, 0.3), ("liquidation", 85, 0.7)]
    assert walked(walk, (100, 111, 84), exits.ADAPTIVE, plan=plan)[0] == [("tp1", 110, 0.3), ("trail", 108, 0.7)]
