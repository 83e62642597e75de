"""The risk gate's decision, each limit at, under and over its bound."""

from dataclasses import replace

import pytest

from exchanges.ports import EntryPlan
from exchanges.risk import limits
from exchanges.risk.limits import MAX_LAG_MS, Snapshot
from exchanges.risk.profiles import PROFILES

NOW_MS = 1_735_689_600_000
FINE = Snapshot(
    switch="run", account_is_active=True, account_state="active", market_is_active=True, can_short=True, is_own_currency=True, has_unknown=False, has_position=False, open_positions=0,
    equity=1000.0, peak_equity=1000.0, day_start_equity=1000.0, free_margin=1000.0, price=100.0, price_ms=NOW_MS, price_is_stale=False,
)  # fmt: skip
LONG = EntryPlan(100.0, 98.0, 102.0, 104.0, 106.0, 1.5, 48 * 3_600_000, NOW_MS, (0.3, 0.4, 0.3))
SHORT = EntryPlan(100.0, 102.0, 98.0, 96.0, 94.0, 1.5, 48 * 3_600_000, NOW_MS, (0.3, 0.4, 0.3))
MEDIUM = PROFILES["medium"]


def code(decision) -> str:
    assert decision.allowed == (decision.code == "") == (decision.reason == "")
    return decision.code


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"switch": "reduce_only"}, "kill_switch"),
        ({"switch": "stop"}, "kill_switch"),
        ({"account_is_active": False}, "account"),
        ({"account_state": "reduce_only"}, "account"),
        ({"account_state": "halted"}, "account"),
        ({"has_unknown": True}, "unknown_order"),
        ({"equity": 0.0}, "equity"),
        ({"equity": -1.0}, "equity"),
        ({"equity": 900.01}, ""),
        ({"equity": 900.0}, "daily_loss"),
        ({"equity": 500.0, "day_start_equity": 0.0}, "daily_loss"),
        ({"equity": 1000.0, "peak_equity": 1333.0}, ""),
        ({"equity": 1000.0, "peak_equity": 1000.0 / 0.75}, "drawdown"),
        ({"open_positions": 3}, ""),
        ({"open_positions": 4}, "open_positions"),
    ],
)
def test_it_looks_at_the_account_first(change, expected):
    assert code(limits.check_state(replace(FINE, **change), MEDIUM)) == expected


@pytest.mark.parametrize(("name", "allowed"), [("low", 2), ("medium", 4), ("high", 6)])
def test_it_counts_open_positions_by_profile(name, allowed):
    assert code(limits.check_state(replace(FINE, open_positions=allowed - 1), PROFILES[name])) == ""
    assert code(limits.check_state(replace(FINE, open_positions=allowed), PROFILES[name])) == "open_positions"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"market_is_active": False}, "market"),
        ({"has_position": True}, "position"),
        ({"price": None}, "stale_price"),
        ({"price_is_stale": True}, "stale_price"),
        ({"price_ms": NOW_MS + MAX_LAG_MS}, ""),
        ({"price_ms": NOW_MS + MAX_LAG_MS + 1}, "too_late"),
        ({"price": 104.99}, ""),
        ({"price": 105.01}, "deviation"),
        ({"price": 94.99}, "deviation"),
        ({"price": float("nan")}, "stale_price"),
        ({"price": float("inf")}, "stale_price"),
        ({"price": 0.0}, "stale_price"),
        ({"price": -100.0}, "stale_price"),
    ],
)
@pytest.mark.parametrize(("plan", "sign"), [(LONG, 1), (SHORT, -1)], ids=["long", "short"])
def test_it_looks_at_the_market(plan, sign, change, expected):
    assert code(limits.check_plan(replace(FINE, **change), plan, sign)) == expected


def test_it_shorts_only_where_one_can():
    assert code(limits.check_plan(replace(FINE, is_own_currency=False), LONG, 1)) == "currency"
    spot = replace(FINE, can_short=False)
    assert code(limits.check_plan(spot, SHORT, -1)) == "short"
    assert code(limits.check_plan(spot, LONG, 1)) == ""


@pytest.mark.parametrize("field", ["reference_price", "stop", "tp1", "tp2", "tp3"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("plan", "sign"), [(LONG, 1), (SHORT, -1)], ids=["long", "short"])
def test_it_refuses_a_ladder_with_an_impossible_price(plan, sign, field, value):
    assert code(limits.check_plan(FINE, replace(plan, **{field: value}), sign)) == "plan"


@pytest.mark.parametrize(
    "change",
    [
        {"stop": 100.0},
        {"stop": 101.0},
        {"tp1": 100.0},
        {"tp2": 102.0},
        {"tp3": 103.0},
        {"trail_distance": 0.0},
        {"trail_distance": float("inf")},
        {"shares": (0.3, 0.4, 0.4)},
        {"shares": (1.3, -0.6, 0.3)},
        {"shares": (float("nan"), 0.4, 0.3)},
        {"max_hold_ms": 0},
    ],
)
def test_it_refuses_a_plan_that_is_not_in_order(change):
    assert code(limits.check_plan(FINE, replace(LONG, **change), 1)) == "plan"


@pytest.mark.parametrize(("plan", "sign"), [(LONG, -1), (SHORT, 1)])
def test_it_refuses_the_other_sides_plan(plan, sign):
    assert code(limits.check_plan(FINE, plan, sign)) == "plan"


@pytest.mark.parametrize(
    ("qty", "margin", "free", "expected"),
    [(1.0, 100.0, 100.0, ""), (0.0, 0.0, 100.0, "size"), (1.0, 100.01, 100.0, "margin"), (1.0, 1.0, -20.0, "margin")],
)
def test_it_asks_for_a_tradable_size_and_its_margin(qty, margin, free, expected):
    decision = limits.check_size(qty, margin, replace(FINE, free_margin=free))
    assert code(decision) == expected
    if free < 0:
        assert "0.00 is free" in decision.reason
