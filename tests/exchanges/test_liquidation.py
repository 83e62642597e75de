"""Where a position is liquidated, and what moves together: leaves of the risk rules on literal numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.risk.correlation import correlation, joint_share
from exchanges.risk.liquidation import liquidation_price


def both(function):
    return pytest.mark.parametrize(function.__name__, [pytest.param(function, id="compiled"), pytest.param(function.py_func, id="plain")])


@both(liquidation_price)
def test_it_is_where_the_venues_own_example_puts_it(liquidation_price):
    """Binance, "How to Calculate Liquidation Price of USD-M Futures Contracts", first example: 3,683.979 coins long at 1,456.84 in the tier of
    10 % less 135,365, beside a wallet of 1,535,443.01 of which other positions bind 71,200.81144 and lost 56,354.57138: 1,153.26."""
    margin = 1_535_443.01 - 71_200.81144 - 56_354.57138
    notional = 3683.979 * 1456.84
    assert liquidation_price(1, 1456.84, 3683.979, notional / margin, 0.10, 135_365.0) == pytest.approx(1153.26, abs=0.005)


@both(liquidation_price)
@pytest.mark.parametrize(
    ("side", "leverage", "rate", "deduction", "expected"),
    [
        (1, 10, 0.005, 0.0, 90 / 0.995),  # 10 coins at 100: 100 put in; 900 / (10 x 0.995)
        (-1, 10, 0.005, 0.0, 110 / 1.005),
        (1, 10, 0.02, 10.0, 89 / 0.98),  # 900 - 10
        (-1, 10, 0.02, 10.0, 111 / 1.02),  # the deduction leaves more room on either side
        (1, 1, 0.005, 0.0, 0.0),  # paid in full: the price would have to be 0
        (-1, 1, 0.005, 0.0, 200 / 1.005),
        (1, 10, 0.0, 0.0, 0.0),  # nothing has to be kept
    ],
)
def test_it_is_where_the_margin_left_is_what_must_be_kept(liquidation_price, side, leverage, rate, deduction, expected):
    price = liquidation_price(side, 100.0, 10.0, leverage, rate, deduction)
    assert price == pytest.approx(expected)
    if price:
        assert 1000 / leverage + side * (price - 100) * 10 == pytest.approx(rate * price * 10 - deduction)


@both(correlation)
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # From their means, in fifteenths: 1, -2, 1 and 4, -2, -2. So (4 + 4 - 2) / sqrt((1 + 4 + 1) (16 + 4 + 4)) = 6 / 12.
        ([100, 110, 99, 108.9], [100, 120, 96, 76.8], 0.5),
        ([100, 110, 99, 108.9], [50, 55, 49.5, 54.45], 1.0),  # the same returns at another price
        ([100, 110, 99, 108.9], [100, 90, 99, 89.1], -1.0),
        ([100, 110, 99, 108.9], [7, 7, 7, 7], np.nan),  # what does not move says nothing
        ([100, 110], [100, 90], np.nan),  # nor does a single step
    ],
)
def test_it_correlates_the_returns_of_two_series(correlation, a, b, expected):
    assert correlation(np.array(a, float), np.array(b, float)) == pytest.approx(expected, nan_ok=True)


prices = st.lists(st.tuples(st.floats(1, 200), st.floats(1, 200)), min_size=4, max_size=60)


@given(prices)
def test_it_is_the_textbooks_correlation(rows):
    a, b = (np.array(column) for column in zip(*rows, strict=True))
    x, y = a[1:] / a[:-1] - 1, b[1:] / b[:-1] - 1
    found = correlation(a, b)
    assert np.isnan(found) or -1 - 1e-9 <= found <= 1 + 1e-9
    if x.std() > 1e-6 and y.std() > 1e-6:
        assert found == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)


@both(joint_share)
def test_it_counts_what_moves_together_and_lets_no_hedge_free_anything(joint_share):
    assert joint_share(1, 1, 0.8) == joint_share(-1, -1, 0.8) == joint_share(1, -1, -0.8) == 0.8
    assert joint_share(1, -1, 0.8) == joint_share(1, 1, -0.8) == 0.0


@both(joint_share)
def test_what_is_not_known_counts_whole_whichever_the_sides(joint_share):
    assert [joint_share(*sides, np.nan) for sides in ((1, 1), (1, -1), (-1, 1), (-1, -1))] == [1.0] * 4
