"""What trading costs, in basis points of notional."""

import pytest

from exchanges.costs import CostModel


def test_it_has_the_required_defaults():
    costs = CostModel()
    assert (costs.maker_bps, costs.taker_bps, costs.slippage_bps, costs.funding_bps_per_hour) == (2.0, 5.0, 3.0, 1.0)


def test_it_charges_by_liquidity():
    costs = CostModel()
    assert costs.fee_rate(maker=True) == pytest.approx(0.0002)
    assert costs.fee_rate(maker=False) == pytest.approx(0.0005)


def test_it_slips_against_whoever_takes():
    costs = CostModel()
    assert costs.slipped(10_000.0, buys=True) == pytest.approx(10_003.0)
    assert costs.slipped(10_000.0, buys=False) == pytest.approx(9_997.0)


def test_it_adds_up_a_round_trip_with_funding():
    costs = CostModel()
    # Winning: taker 5 + slippage 3 + maker 2 + 48 hours of 1 bp. Losing: twice taker and slippage, and the funding.
    assert costs.ladder_cost_pct(hours=48) == pytest.approx(0.58)
    assert costs.stop_cost_pct(hours=48) == pytest.approx(0.64)
    assert costs.ladder_cost_pct(hours=0) == pytest.approx(0.10)


@pytest.mark.parametrize("name", ["maker_bps", "taker_bps", "slippage_bps", "funding_bps_per_hour"])
@pytest.mark.parametrize("value", [-0.1, 500.1, float("nan"), float("inf")])
def test_it_refuses_a_rate_that_cannot_be(name, value):
    with pytest.raises(ValueError, match=f"{name} must be between 0 and 500"):
        CostModel(**{name: value})
