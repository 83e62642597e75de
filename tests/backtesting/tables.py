"""Small markets for the kernel, written out by hand."""

import numpy as np

from backtesting import kernel

BAR_MS = 900_000
START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z
FREE = {"maker": 0.0, "taker": 0.0}


def make_series(rows, *, start_ms=START_MS, funding=None, cost=None, times=None, volume=None, **more):
    """Rows are (open, high, low, close), one for each of `times` (in bars, by default one after the other)."""
    o, high, low, c = (np.array(column, float) for column in zip(*rows, strict=True))
    n = len(rows)
    step = np.arange(n) if times is None else np.array(times)
    rate, cost = (np.zeros(n) if given is None else np.array(given, float) for given in (funding, cost))
    due = np.flatnonzero((rate != 0) | (cost != 0))
    return kernel.Series(
        start_ms + step.astype(np.int64) * BAR_MS, o, high, low, c, np.full(n, 1e9) if volume is None else np.array(volume, float),
        due_row=due, due_price=o[due], due_rate=rate[due], due_cost=cost[due], **more,
    )  # fmt: skip


def make_bars(rows, **more):
    """One symbol."""
    return kernel.join([make_series(rows, **more)])


def make_entries(bars, entries):
    """entries: {row: side or (side, unit[, rank])}; the unit is 1 unless given, so that the rules' distances are prices."""
    n = bars.at.shape[0]
    side, unit, rank = np.zeros(n, np.int8), np.ones(n), np.zeros(n)
    for row, given in entries.items():
        side[row], *more = given if isinstance(given, tuple) else (given,)
        unit[row : row + 1] = more[:1] or 1.0
        rank[row : row + 1] = more[1:] or 0.0
    return kernel.entries_of(bars, side, unit, rank)


def run(bars, entries, *, specs=None, rules=None):
    """simulate with entries as make_entries takes them; without fees unless `specs` says so."""
    symbols = bars.first.shape[0] - 1
    return kernel.simulate(bars, make_entries(bars, entries), specs or make_specs(symbols, **FREE), rules or make_rules())


def make_specs(
    symbols=1, *, step=0.001, tick=0.0, min_notional=0.0, max_leverage=20, maintenance=0.005, maker=0.0002, taker=0.0005, **more
):
    tiers = (kernel.Tier(0.0, maintenance),) if maintenance else ()
    return [kernel.Spec(step, tick, min_notional, max_leverage, maker, taker, tiers=more.pop("tiers", tiers), **more)] * symbols


def make_rules(**changes):
    """2 % of 1,000 at risk; in units the stop is 2 away, the targets 2, 4 and 6, the trail 1.5."""
    values = {
        "capital": 1000.0, "stop": 2.0, "tp1": 2.0, "tp2": 4.0, "tp3": 6.0, "trail": 1.5,
        "max_hold_ms": 48 * 3_600_000, "bar_ms": BAR_MS, "signal_bars": 4,
    }  # fmt: skip
    return kernel.Rules(**{**values, **changes})
