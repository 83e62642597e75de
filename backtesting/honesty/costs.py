"""Point 8: whether the result bears dearer trading, and how much of the funding is known."""

from collections.abc import Mapping
from typing import Any

from backtesting.honesty.again import Again
from backtesting.honesty.sayings import WARN, Check, counted, judged, said, share

COSTS = 8
MOST_UNKNOWN = 0.01


def costs(paid: Mapping[str, Any], seen: Again) -> Check:
    """paid -- as backtesting.figures.costs_paid has it"""
    name = "Bears twice its costs"
    if paid["cost_pct"] is None:
        return said(COSTS, name, WARN, "", "no trades")
    told = ", ".join(
        f"{times} times as high {seen.costs[times].net:+.2f} ({counted(seen.costs[times].trades, 'trade')})" for times in (2, 3)
    )
    detail = (
        f"without the limits of loss net {seen.costs[1].net:+.2f}, simulated with fees, slippage and funding {told}; "
        f"a mean trade is left with {paid['net_edge_pct']:+.3f} % of its notional and paid {paid['cost_pct']:.3f} %"
    )
    return judged(COSTS, name, seen.costs[2].net > 0.0, f"{seen.costs[2].net:+.2f}", detail)


def funding(unknown: int, charged: int) -> Check:
    """Hours of perpetuals in all, and those without a stored rate."""
    return judged(
        COSTS, "Funding from history", not charged or unknown / charged <= MOST_UNKNOWN, share(unknown, charged),
        f"{unknown} of {counted(charged, 'hour')} of perpetuals have no stored rate and pay the default",
    )  # fmt: skip


def at(seen: Again) -> list[dict[str, Any]]:
    """What a run keeps of it: {times, net, trades}, once the costs first."""
    return [{"times": times, "net": round(found.net, 6), "trades": found.trades} for times, found in sorted(seen.costs.items())]
