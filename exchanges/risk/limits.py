"""The risk gate's decision (requirements R1, R3, R5, R6): everything it knows goes in, a yes or a no with its reason comes out."""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

from exchanges.ports import EntryPlan
from exchanges.risk.profiles import RiskProfile

MAX_DEVIATION = 0.05
"""A plan whose reference price is further than this from the market is not a plan for this market."""
MAX_LAG_MS = 3_600_000
"""A decision older than this by market time has lost its entry."""

ROUNDING = 1e-9
"""A loss of exactly the limit is at the limit, whatever binary fractions make of it."""

SHARES_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The account and the market at the moment of decision. Money in account currency, margins and P&L as floats; times in ms of market time.

    switch: the strictest kill switch level that applies. has_unknown: an order was sent and nobody knows yet what became of it.
    day_start_equity: the balance at 00:00 UTC of the market's day, as in the simulation.
    """

    switch: str
    account_is_active: bool
    account_state: str
    market_is_active: bool
    can_short: bool
    is_own_currency: bool
    has_unknown: bool
    has_position: bool
    open_positions: int
    equity: float
    peak_equity: float
    day_start_equity: float
    free_margin: float
    price: float | None
    price_ms: int
    price_is_stale: bool


class RiskDecision(NamedTuple):
    """`code` is for programs, `reason` for people; both empty when allowed."""

    allowed: bool
    code: str
    reason: str


ALLOWED = RiskDecision(True, "", "")


def _no(code: str, reason: str) -> RiskDecision:
    return RiskDecision(False, code, reason)


def check_state(snapshot: Snapshot, profile: RiskProfile) -> RiskDecision:
    """May this account open anything at all?"""
    if snapshot.switch != "run":
        return _no("kill_switch", "Trading is stopped by the kill switch; release it on the positions page to go on.")
    if not snapshot.account_is_active or snapshot.account_state != "active":
        return _no("account", "The account does not open positions: it is switched off, reduce-only or halted.")
    if snapshot.has_unknown:
        return _no("unknown_order", "An order was sent and its outcome is not known yet: nothing is opened until the venue has told it.")
    if snapshot.equity <= 0.0:
        return _no("equity", "The account has no equity left.")
    day_loss = 1.0 - snapshot.equity / snapshot.day_start_equity if snapshot.day_start_equity > 0.0 else 1.0
    if day_loss * 100.0 >= profile.max_daily_loss_pct - ROUNDING:
        return _no("daily_loss", f"The day's loss of {day_loss * 100.0:.1f} % has reached the limit of {profile.max_daily_loss_pct:g} %.")
    drawdown = 1.0 - snapshot.equity / snapshot.peak_equity if snapshot.peak_equity > 0.0 else 0.0
    if drawdown * 100.0 >= profile.max_drawdown_pct - ROUNDING:
        return _no("drawdown", f"The drawdown of {drawdown * 100.0:.1f} % has reached the limit of {profile.max_drawdown_pct:g} %.")
    if snapshot.open_positions >= profile.max_open_positions:
        return _no(
            "open_positions",
            f"{snapshot.open_positions} positions are open or on their way; the {profile.name} profile allows {profile.max_open_positions}.",
        )
    return ALLOWED


def check_plan(snapshot: Snapshot, plan: EntryPlan, sign: int) -> RiskDecision:
    """Does this plan make sense in this market, now? `sign` is +1 for a long."""
    if not snapshot.market_is_active:
        return _no("market", "The market is not open for trading.")
    if sign < 0 and not snapshot.can_short:
        return _no("short", "A share or a spot market cannot be sold short.")
    if not snapshot.is_own_currency:
        return _no("currency", "The market trades in another currency than the account holds, and nothing is converted here.")
    if snapshot.has_position:
        return _no("position", "There is a position or an order in this market already.")
    ladder = (plan.stop, plan.reference_price, plan.tp1, plan.tp2, plan.tp3)
    in_order = all(sign * (far - near) > 0.0 for near, far in itertools.pairwise(ladder))
    if not (in_order and all(math.isfinite(price) and price > 0.0 for price in ladder)):
        return _no("plan", "The plan is not in order: stop, entry, TP1, TP2, TP3 must follow each other in the direction of the trade.")
    refusal = _check_exit_rules(plan)
    if refusal is not None:
        return refusal
    if snapshot.price is None or snapshot.price_is_stale or not (math.isfinite(snapshot.price) and snapshot.price > 0.0):
        return _no("stale_price", "There is no fresh price for this market.")
    if snapshot.price_ms - plan.decided_ms > MAX_LAG_MS:
        return _no(
            "too_late",
            f"The decision is {(snapshot.price_ms - plan.decided_ms) / 60_000:.0f} minutes old; entries older than {MAX_LAG_MS // 60_000} are refused.",
        )
    if abs(snapshot.price / plan.reference_price - 1.0) > MAX_DEVIATION:
        return _no(
            "deviation", f"The market is at {snapshot.price:g}, more than {MAX_DEVIATION:.0%} from the plan's {plan.reference_price:g}."
        )
    return ALLOWED


def _check_exit_rules(plan: EntryPlan) -> RiskDecision | None:
    """What is wrong with the part of a plan that is not on the price ladder; None when nothing is."""
    if not (math.isfinite(plan.trail_distance) and plan.trail_distance > 0.0):
        return _no("plan", "The plan's trail distance must be a positive price.")
    if not (min(plan.shares) >= 0.0 and abs(sum(plan.shares) - 1.0) <= SHARES_TOLERANCE):
        return _no("plan", "The plan's shares must not be negative and must add up to 1.")
    if plan.max_hold_ms <= 0:
        return _no("plan", "The plan's time stop must lie in the future.")
    return None


def check_size(qty: float, margin: float, snapshot: Snapshot) -> RiskDecision:
    """Is what the sizing arrived at tradable and affordable?"""
    if qty <= 0.0:
        return _no("size", "The account is too small: the position would be under the venue's minimum.")
    if margin > snapshot.free_margin:
        return _no("margin", f"The position needs {margin:.2f} of margin; {max(0.0, snapshot.free_margin):.2f} is free.")
    return ALLOWED
