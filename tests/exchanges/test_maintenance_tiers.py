"""Maintenance tiers of a market: what may be entered, the deductions that follow, and that live and backtest go by the same."""

from itertools import pairwise

import pytest
from django.core.exceptions import ValidationError

from backtesting import arrays
from exchanges import candles
from exchanges.models.market import check_tiers
from exchanges.risk.liquidation import price_by_tiers, rows_of
from exchanges.risk.tiers import Tier, joined

STEPS = [[0, 0.4], [50_000, 0.5], [600_000, 1]]


def test_its_deductions_join_the_tiers():
    tiers = joined([(0, 0.004), (50_000, 0.005), (600_000, 0.01)])
    assert [tier.deduction for tier in tiers] == pytest.approx([0.0, 50.0, 3050.0])
    for before, after in pairwise(tiers):
        assert after.floor * before.rate - before.deduction == pytest.approx(after.floor * after.rate - after.deduction)


def test_a_larger_position_is_liquidated_sooner():
    rows = rows_of(joined([(0, 0.004), (50_000, 0.005), (600_000, 0.01)]))
    small, large = (price_by_tiers(rows, 0, 3, 1, 100.0, qty, 10) for qty in (10.0, 20_000.0))
    assert small == pytest.approx((1000 - 100) / (10 * 0.996))
    # 2,000,000 of notional: 200,000 of margin, 1 % less 3,050 at 1.8 million.
    assert large == pytest.approx((2_000_000 - 200_000 - 3050) / (20_000 * 0.99))
    assert price_by_tiers(rows_of([]), 0, 0, 1, 100.0, 1.0, 10) == 0.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"0": 1}, "pairs"),
        ([[0]], "pairs"),
        ([[0, "1"]], "pairs"),
        ([[0, True]], "pairs"),
        ([[10, 1]], "begin at a notional of 0"),
        ([[0, 0]], "more than 0"),
        ([[0, 100]], "less than 100"),
        ([[0, 1], [0, 2]], "begin higher"),
        ([[0, 1], [10, 1]], "ask for more"),
    ],
)
def test_it_takes_no_tiers_that_are_none(value, text):
    with pytest.raises(ValidationError, match=text):
        check_tiers(value)


@pytest.mark.django_db
def test_a_market_has_the_tiers_it_was_given_or_one():
    market = candles.find_market("BTC/USDT:USDT")
    assert market.tiers == (Tier(0.0, market.maintenance_margin_pct / 100.0),)
    market.maintenance_tiers = STEPS
    market.full_clean()
    assert [tier.rate for tier in market.tiers] == [0.004, 0.005, 0.01]
    assert arrays.specs([market])[0].tiers == market.tiers
    assert candles.find_market("BTC/USDT").tiers == ()
