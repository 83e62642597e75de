"""Whether a capital buys anything at all: the venue's smallest order of at least one market, within the profile's limits."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal

from django.conf import settings

from exchanges import candles
from exchanges.models import Market
from exchanges.risk import minimum
from exchanges.risk.profiles import RiskProfile
from traderai.lib.errors import UserError

CENT = Decimal("0.01")


class TooLittle(UserError):
    """No order of any market could be placed with this capital."""


def check(
    capital: Decimal,
    markets: Sequence[Market],
    profile: RiskProfile,
    *,
    hold_hours: float,
    start_ms: int | None,
    end_ms: int | None,
    notional_pct: float | None = None,
) -> None:
    """Raises TooLittle, which names the least capital that would do, when not one market can be bought at its lowest close of the span.

    hold_hours -- for which the plan holds at most: funding is a part of what a losing trade costs
    notional_pct -- of equity, when that sizes a position; None: what its stop would lose does
    """
    needed = []
    for market in markets:
        newest = candles.read(market, settings.BASE_TIMEFRAME, end_ms=end_ms, last=1).close
        if len(newest) and capital >= least_capital(market, float(newest[0]), profile, hold_hours, notional_pct):
            return
        closes = candles.read(market, settings.BASE_TIMEFRAME, start_ms=start_ms, end_ms=end_ms).close
        if not len(closes):
            continue
        least = least_capital(market, float(closes.min()), profile, hold_hours, notional_pct)
        if capital >= least:
            return
        needed.append((least, market))
    if not needed:
        return  # without candles there is no price to judge by, and the span is refused for that
    least, market = min(needed, key=lambda pair: pair[0])
    which = market.symbol if len(markets) == 1 else f"any of the {len(markets)} markets"
    cheapest = "" if len(markets) == 1 else f" ({market.symbol})"
    advice = (
        f"it takes at least {least} {market.quote}{cheapest}, and more where the stop is far: give more, or choose a higher risk profile or other markets"
        if notional_pct is None
        else f"at {notional_pct:g} % of equity a position it takes at least {least} {market.quote}{cheapest}: give more, or choose a larger share, a higher risk profile or other markets"
    )
    raise TooLittle(
        f"capital: {capital} {market.quote} cannot buy the venue's smallest order of {which} within the {profile.name} risk profile; {advice}",
        field="capital",
    )


def least_capital(market: Market, price: float, profile: RiskProfile, hold_hours: float, notional_pct: float | None = None) -> Decimal:
    """In whole cents, rounded up."""
    venue = {"step_size": float(market.step_size), "min_notional": float(market.min_notional)}
    if notional_pct is None:
        least = minimum.least_equity(
            price, profile, **venue, max_leverage=market.max_leverage, stop_cost_pct=market.costs.stop_cost_pct(hours=hold_hours)
        )
    else:
        least = minimum.least_equity_at(price, profile, **venue, max_leverage=market.max_leverage, notional_pct=notional_pct)
    return Decimal(repr(round(least, 8))).quantize(CENT, rounding=ROUND_CEILING)
