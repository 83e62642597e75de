"""Whether a run stopped trading before its span was over: its account was down to the drawdown limit, and stayed there."""

import numpy as np

from backtesting.honesty.again import Simulation
from exchanges.risk.limits import ROUNDING

LIMITS = ("equity", "daily_loss", "drawdown")
"""What refuses signals of an account that is down, in the kernel's words."""


def stopped_ms(done: Simulation) -> int | None:
    """Open of the first bar from which on the drawdown limit refused every signal, ms UTC; None when it did not, or no signal came any more.

    The limit is measured from the highest equity ever: once it binds with no position open, nothing can lift it.
    """
    result, rules = done.result, done.rules
    if not any(result.refused.get(word) for word in LIMITS):
        return None
    fall = 1.0 - result.equity / np.maximum.accumulate(np.maximum(result.equity, rules.capital))
    above = np.flatnonzero(fall * 100.0 < rules.max_drawdown_pct - ROUNDING)
    entered = int(done.bars.at[result.trades.entered].max()) if result.trades.entered.shape[0] else -1
    stopped = max(int(above[-1]) + 1 if above.shape[0] else 0, entered) + 1
    wanted = done.bars.at[done.entries.row] + 1
    return int(result.times[stopped]) if np.any((wanted >= stopped) & (wanted < result.times.shape[0])) else None
