"""Below which equity a profile's limits allow not even a venue's smallest order. Plain floats; no library."""

from math import ceil, inf

from exchanges.risk.profiles import RiskProfile


def smallest_order(price: float, *, step_size: float, min_notional: float) -> float:
    """The notional of the fewest whole steps that are worth the venue's minimum at this price, quote currency."""
    step = step_size * price
    steps = max(1, ceil(min_notional / step - 1e-9))
    return (steps if steps * step >= min_notional else steps + 1) * step  # a hair under the minimum is under it


def least_equity(
    price: float, profile: RiskProfile, *, step_size: float, min_notional: float, max_leverage: int, stop_cost_pct: float
) -> float:
    """The equity at which exchanges.risk.sizing opens the smallest order behind the nearest of stops; one that is farther needs more.

    stop_cost_pct -- what a losing round trip costs, % of notional: it is a part of the risk that the profile allows
    """
    by_margin = _by_margin(profile, max_leverage)
    by_risk = profile.risk_per_trade_pct / stop_cost_pct if stop_cost_pct > 0.0 else inf
    return smallest_order(price, step_size=step_size, min_notional=min_notional) / min(by_margin, by_risk)


def least_equity_at(
    price: float, profile: RiskProfile, *, step_size: float, min_notional: float, max_leverage: int, notional_pct: float
) -> float:
    """The equity of which `notional_pct`, or what the margin cap leaves of it, buys the smallest order (exchanges.risk.sizing.fixed_notional)."""
    share = min(notional_pct / 100.0, _by_margin(profile, max_leverage))
    return smallest_order(price, step_size=step_size, min_notional=min_notional) / share


def _by_margin(profile: RiskProfile, max_leverage: int) -> float:
    """The most notional of a position that the margin cap allows, as a multiple of equity."""
    return profile.max_margin_pct / 100.0 * min(profile.max_leverage, max_leverage)
