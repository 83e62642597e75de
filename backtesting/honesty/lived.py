"""Point 23: whether the owner's own positions came out as the simulation has them."""

from collections.abc import Sequence

from backtesting.honesty.sayings import PASS, POINTS, SKIP, WARN, Check, said, share
from backtesting.models import BacktestRun
from backtesting.parity.beside import Beside, Traded, beside
from signals import strategies
from traderai.lib import clock

PARITY = 23
ENOUGH = 0.95
"""Share of trades under which a run is not what was traded."""
START = "start the strategy on a paper account, let it trade, and run this again over that time"


def answer(run: BacktestRun, trades: Sequence[Traded], start_ms: int, end_ms: int) -> Check:
    """trades -- of the run, which covers start_ms <= time < end_ms"""
    reason = _no_comparison(run)
    if reason:
        return said(PARITY, POINTS[PARITY], SKIP, "", reason)
    found = beside(run, trades, start_ms, end_ms)
    if found is None:
        span = f"between {clock.from_ms(start_ms):%Y-%m-%d %H:%M} and {clock.from_ms(end_ms):%Y-%m-%d %H:%M} UTC"
        return said(PARITY, POINTS[PARITY], SKIP, "", f"this strategy asked for no order of yours on these markets {span}: {START}")
    if not found.trades:
        waits = f"{found.left_out} {'position' if found.left_out == 1 else 'positions'} of yours cannot be compared yet, because no bar has closed on them or no plan was kept"
        nothing = "your orders of this time became no position, and the run has no trade then"
        return said(
            PARITY, POINTS[PARITY], SKIP, "", f"{waits if found.left_out else nothing}: let the strategy trade on, and run this again"
        )
    return _judged(run, found)


def _no_comparison(run: BacktestRun) -> str:
    if run.user_id is None:
        return "nobody's run: positions belong to a person; run it from your own page to have it compared"
    if run.strategy not in strategies.TEMPLATES:
        return "no rule is traded on an account here, so there is no position to compare with; strategies that a model judges are"
    return ""


def _judged(run: BacktestRun, found: Beside) -> Check:
    unexplained = sum(line.is_unexplained for line in found.lines)
    passed = found.alike >= ENOUGH * found.trades and not unexplained
    span = f"{clock.from_ms(found.start_ms):%Y-%m-%d %H:%M} to {clock.from_ms(found.end_ms):%Y-%m-%d %H:%M} UTC"
    parts = [
        f"{found.alike} of {found.trades} trades from {span} are in the run and went alike as your positions (the same exits in the same bars, within 5 bps of the notional)"
    ]
    if found.missed:
        parts.append(f"{len(found.missed)} of the run you did not have, which brought {_money(found.missed_net)} {run.currency} in it")
    if found.extra:
        parts.append(f"{len(found.extra)} you had and the run has not")
    parts.append(f"the differences of your positions from their own simulation come to {_money(found.cost)} {run.currency}")
    if unexplained:
        parts.append(f"{unexplained} without a known cause")
    return said(PARITY, POINTS[PARITY], PASS if passed else WARN, share(found.alike, found.trades), "; ".join(parts))


def _money(amount: float) -> str:
    """With its sign; nothing is +0.00."""
    return f"{round(amount, 2) + 0.0:+.2f}"
