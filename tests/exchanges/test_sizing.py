"""Fixed fractional sizing under the caps of the risk profiles."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exchanges.risk.profiles import PROFILES, UnknownRiskProfile, profile
from exchanges.risk.sizing import fixed_fractional
from exchanges.venues.ccxt_venue import market_spec

STEP, MIN_NOTIONAL = 0.001, 5.0
BOTH = [pytest.param(fixed_fractional, id="compiled"), pytest.param(fixed_fractional.py_func, id="plain")]


def size(function, equity=1000.0, entry=3000.0, stop=2940.0, name="medium", cost_pct=0.64, step=STEP, min_notional=MIN_NOTIONAL):
    p = PROFILES[name]
    return function(equity, entry, stop, p.risk_per_trade_pct, p.max_margin_pct, p.max_leverage, cost_pct, step, min_notional)


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize(
    ("name", "qty", "leverage"),
    [
        ("low", 0.083, 5),  # 10 / 2.64 % = 378.8 of risk budget, but 5 % margin * 5 = 250 of notional: 0.0833 coins
        ("medium", 0.252, 8),  # 20 / 2.64 % = 757.6: 0.2525 coins; 756 of notional in 100 of margin
        ("high", 0.378, 12),  # 30 / 2.64 % = 1136.4: 0.3787 coins; 1134 of notional in 100 of margin
    ],
)
def test_it_sizes_each_profile(function, name, qty, leverage):
    result = size(function, name=name)
    assert result.qty == pytest.approx(qty)
    assert result.leverage == leverage
    assert result.margin == pytest.approx(qty * 3000.0 / leverage)


@pytest.mark.parametrize("function", BOTH)
def test_it_sizes_both_sides_alike(function):
    assert size(function, stop=2940.0) == size(function, stop=3060.0)


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize(
    "change",
    [
        {"equity": 0.0},
        {"equity": -5.0},
        {"entry": 0.0},
        {"stop": 3000.0},
        {"equity": 1.0},  # under one step
        {"min_notional": 800.0},
        {"step": 1.0},
    ],
)
def test_it_opens_nothing_where_nothing_fits(function, change):
    assert size(function, **change) == (0.0, 1, 0.0)


@given(
    equity=st.floats(10, 1e6),
    entry=st.floats(0.01, 1e5),
    distance=st.floats(0.001, 0.5),
    side=st.sampled_from([1, -1]),
    name=st.sampled_from(sorted(PROFILES)),
)
def test_it_stays_within_risk_margin_and_leverage(equity, entry, distance, side, name):
    p, step = PROFILES[name], entry / 1e6
    stop = entry * (1 - distance * side)
    result = size(fixed_fractional, equity=equity, entry=entry, stop=stop, name=name, step=step)
    assume(result.qty > 0.0)
    slack, step_value = 1 + 1e-6, step * entry * 1e-6
    assert result.qty * entry * (distance + 0.0064) <= equity * p.risk_per_trade_pct / 100 * slack + step_value
    assert result.margin <= equity * p.max_margin_pct / 100 * slack + step_value
    assert 1 <= result.leverage <= p.max_leverage
    assert result.qty / step == pytest.approx(round(result.qty / step), rel=4e-16, abs=1e-9)
    assert result.qty * entry >= MIN_NOTIONAL
    # The stop comes before liquidation: its distance and 1 % fit into the margin.
    assert result.leverage == 1 or distance + 0.01 <= 1 / result.leverage * slack


@given(equity=st.floats(10, 1e6), distance=st.floats(0.001, 0.3), name=st.sampled_from(sorted(PROFILES)))
def test_it_is_the_same_compiled(equity, distance, name):
    arguments = {"equity": equity, "stop": 3000.0 * (1 - distance), "name": name}
    assert size(fixed_fractional, **arguments) == pytest.approx(size(fixed_fractional.py_func, **arguments))


def test_it_has_the_required_profiles():
    rows = {
        name: (p.risk_per_trade_pct, p.max_leverage, p.max_open_positions, p.max_daily_loss_pct, p.max_drawdown_pct)
        for name, p in PROFILES.items()
    }
    assert rows == {"low": (1.0, 5, 2, 10.0, 25.0), "medium": (2.0, 10, 4, 10.0, 25.0), "high": (3.0, 20, 6, 10.0, 25.0)}


def test_it_names_the_profiles_when_one_is_unknown():
    with pytest.raises(UnknownRiskProfile, match="use one of low, medium, high"):
        profile("wild")


@pytest.mark.parametrize("contract_size", [0.01, 1.0, 10.0, 100.0])
def test_it_sizes_within_one_lot_whatever_a_contract_holds(contract_size):
    """ccxt tells lots in contracts; taken for coins, a position would be a hundred times too coarse, or too large."""
    listed = {
        "symbol": "XRP/USDT:USDT", "base": "XRP", "quote": "USDT", "contractSize": contract_size,
        "precision": {"price": 0.0001, "amount": 1.0}, "limits": {"cost": {"min": 5.0}, "leverage": {"max": 50}},
    }  # fmt: skip
    spec = market_spec(listed, "perpetual")
    assert (spec.step_size, spec.contract_size) == (contract_size, contract_size)
    result = size(fixed_fractional, equity=100_000.0, entry=0.5, stop=0.49, step=spec.step_size)
    wanted = 100_000.0 * 0.02 / (0.02 + 0.0064)
    assert wanted - spec.contract_size * 0.5 <= result.qty * 0.5 <= wanted
    assert (result.qty / spec.contract_size) % 1.0 == pytest.approx(0.0, abs=1e-6)
