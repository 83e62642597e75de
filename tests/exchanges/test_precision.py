"""Prices and quantities at a venue's precision."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges import precision

steps = st.sampled_from([Decimal("0.001"), Decimal("0.1"), Decimal(1), Decimal("0.00000001"), Decimal("0.25"), Decimal(10)])
amounts = st.decimals(min_value=0, max_value=10**9, places=10)


@pytest.mark.parametrize(
    ("qty", "step", "expected"),
    [("0.0019999", "0.001", "0.001"), ("0.0009", "0.001", "0"), ("1.30", "0.25", "1.25"), ("123", "10", "120"), ("5", "1", "5")],
)
def test_it_takes_a_quantity_down_to_the_step(qty, step, expected):
    assert precision.to_step(Decimal(qty), Decimal(step)) == Decimal(expected)


@given(amounts, steps)
def test_it_never_makes_a_quantity_larger_nor_loses_a_whole_step(qty, step):
    floored = precision.to_step(qty, step)
    assert 0 <= qty - floored < step
    assert floored % step == 0
    assert precision.to_step(floored, step) == floored


@given(st.integers(0, 10**6), steps)
def test_it_finds_the_step_a_float_stands_for(count, step):
    assert precision.nearest_step(count * float(step), step) == count * step


@pytest.mark.parametrize(
    ("price", "tick", "expected"),
    [
        ("100.04", "0.1", "100.0"),
        ("100.05", "0.1", "100.0"),
        ("100.15", "0.1", "100.2"),
        ("0.000001", "0.01", "0.01"),
        ("7.3", "0.5", "7.5"),
    ],
)
def test_it_takes_a_price_to_the_nearest_tick_and_never_to_zero(price, tick, expected):
    assert precision.to_tick(Decimal(price), Decimal(tick)) == Decimal(expected)


@pytest.mark.parametrize("function", [precision.to_step, precision.to_tick])
@pytest.mark.parametrize("step", ["0", "-0.1"])
def test_it_refuses_a_step_that_is_not_positive(function, step):
    with pytest.raises(ValueError, match="must be positive"):
        function(Decimal(1), Decimal(step))


def test_it_reads_a_float_as_it_is_printed():
    assert precision.exact(0.1) == Decimal("0.1")
    assert precision.exact(1e-12) == Decimal("1E-12")


def test_it_rounds_money_to_the_ledgers_last_unit_without_drift():
    assert precision.money(Decimal("1.00000000005")) == Decimal("1.0000000000")
    assert precision.money(Decimal("1.00000000015")) == Decimal("1.0000000002")
