"""The least equity that buys a venue's smallest order, on numbers worked out by hand, and against the sizing itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.risk.minimum import least_equity, smallest_order
from exchanges.risk.profiles import PROFILES
from exchanges.risk.sizing import fixed_fractional


@pytest.mark.parametrize(
    ("price", "step", "notional", "expected"),
    [
        (100.0, 0.1, 5.0, 10.0),  # one step is worth 10
        (100.0, 0.01, 5.0, 5.0),  # five steps of 1
        (100.0, 0.03, 5.0, 6.0),  # two steps of 3
        (100_000.0, 0.001, 100.0, 100.0),
        (0.5, 1.0, 0.0, 0.5),  # no minimum but one step
        (3124.9999999999854, 1e-5, 5.0, 161 * 0.03125),  # 160 steps are worth a hair less than 5
    ],
)
def test_the_smallest_order_is_whole_steps(price, step, notional, expected):
    assert smallest_order(price, step_size=step, min_notional=notional) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("profile", "leverage", "cost", "expected"),
    [
        ("low", 20, 0.5, 20.0),  # margin 5 % at 5x: a quarter of equity
        ("medium", 20, 0.5, 5.0),  # margin 10 % at 10x: all of it
        ("medium", 2, 0.5, 25.0),  # the market allows 2x: a fifth
        ("medium", 20, 8.0, 20.0),  # a loser costs 8 %, 2 % may be lost: a quarter
        ("high", 1, 0.0, 50.0),  # nothing is borrowed: a tenth
    ],
)
def test_the_least_equity_follows_margin_leverage_and_costs(profile, leverage, cost, expected):
    least = least_equity(100.0, PROFILES[profile], step_size=0.01, min_notional=5.0, max_leverage=leverage, stop_cost_pct=cost)
    assert least == pytest.approx(expected)


@given(
    price=st.floats(0.01, 100_000.0),
    step=st.sampled_from([1e-5, 1e-3, 0.1, 1.0]),
    notional=st.sampled_from([0.0, 5.0, 100.0]),
    leverage=st.integers(1, 50),
    name=st.sampled_from(sorted(PROFILES)),
    cost=st.floats(0.05, 5.0),
)
def test_below_it_the_sizing_opens_nothing_and_at_it_a_near_stop_something(price, step, notional, leverage, name, cost):
    profile = PROFILES[name]
    least = least_equity(price, profile, step_size=step, min_notional=notional, max_leverage=leverage, stop_cost_pct=cost)

    def opened(equity, stop):
        cap = min(profile.max_leverage, leverage)
        risk = (profile.risk_per_trade_pct, profile.max_margin_pct, cap, cost, step, notional)
        return fixed_fractional.py_func(equity, price, stop, *risk).qty

    assert opened(least * 0.999, price * (1 - 1e-9)) == 0.0
    assert opened(least * 1.001, price * (1 - 1e-9)) > 0.0
