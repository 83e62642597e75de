"""The simulation: whole histories of many symbols on one shared equity, in one compiled pass. The rules are told in docs/backtesting.md."""

from backtesting.kernel.runs import Series, entries_of, is_compiled, join, simulate, sweep
from backtesting.kernel.types import (
    AT_DECISION,
    AT_FILL,
    BY_NOTIONAL,
    BY_RISK,
    DAY_MS,
    KEEP,
    REFUSALS,
    REVERSE,
    Bars,
    Entries,
    Result,
    Rules,
    Spec,
    Sweep,
    Trades,
)
from exchanges.risk.tiers import Tier

__all__ = [
    "AT_DECISION", "AT_FILL", "BY_NOTIONAL", "BY_RISK", "DAY_MS", "KEEP", "REFUSALS", "REVERSE", "Bars", "Entries", "Result", "Rules",
    "Series", "Spec", "Sweep", "Tier", "Trades", "entries_of", "is_compiled", "join", "simulate", "sweep",
]  # fmt: skip
