import numpy as np
import pytest

from signals.plan import PlanConfig, atr_pct, levels


def test_it_places_the_levels_of_a_long_at_multiples_of_the_atr():
    plan = levels(1, 100.0, 2.0, PlanConfig(stop_atr=1.5, tp1_atr=1.0, tp2_atr=2.0, tp3_atr=4.0, trail_atr=0.5))
    assert plan == (100.0, 97.0, 102.0, 104.0, 108.0, 1.0)


def test_it_mirrors_the_levels_of_a_short():
    plan = levels(-1, 100.0, 2.0, PlanConfig(stop_atr=1.5, tp1_atr=1.0, tp2_atr=2.0, tp3_atr=4.0, trail_atr=0.5))
    assert plan == (100.0, 103.0, 98.0, 96.0, 92.0, 1.0)


@pytest.mark.parametrize(
    ("side", "entry", "atr"),
    [
        (1, 100.0, 0.0),
        (1, 100.0, -1.0),
        (1, 1.0, 1.0),
        (-1, 1.0, 0.5),
        (1, float("nan"), 1.0),
        (1, 100.0, float("nan")),
        (1, float("inf"), 1.0),
    ],
)
def test_it_refuses_a_plan_with_an_impossible_level(side, entry, atr):
    with pytest.raises(ValueError, match="every level must be a positive price"):
        levels(side, entry, atr, PlanConfig())


def test_it_weighs_the_ladder_by_the_shares():
    assert PlanConfig(tp1_atr=1.0, tp2_atr=2.0, tp3_atr=3.0).ladder_atr == pytest.approx(0.3 * 1 + 0.4 * 2 + 0.3 * 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tp1_atr": 3.0, "tp2_atr": 2.0}, "ordered"),
        ({"tp1_atr": 0.0}, "ordered"),
        ({"stop_atr": 0.0}, "positive"),
        ({"trail_atr": -1.0}, "positive"),
        ({"unit": "percent"}, "unit must be one of atr, volatility, not 'percent'"),
        ({"atr_period": 1}, "atr_period must be at least 2"),
        ({"shares": (0.5, 0.5, 0.5)}, "add up to 1"),
        ({"shares": (0.0, 0.5, 0.5)}, "positive and add up to 1"),
    ],
)
def test_it_refuses_an_impossible_ladder(wrong, message):
    with pytest.raises(ValueError, match=message):
        PlanConfig(**wrong)


def test_it_counts_the_holding_bound_in_hours():
    assert PlanConfig().max_hold_hours == 48.0


def test_it_expresses_the_atr_in_percent_of_price():
    assert atr_pct(np.array([2.0, np.nan]), np.array([100.0, 50.0])).tolist()[0] == 2.0
