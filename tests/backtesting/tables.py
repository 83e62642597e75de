"""Small markets for the kernel, written out by hand."""

import numpy as np

from backtesting import kernel

BAR_MS = 900_000
START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z
FREE = {"maker": 0.0, "taker": 0.0}


def make_bars(rows, *, start_ms=START_MS, funding=None, cost=None, symbols=None, times=None):
    """Rows are (open, high, low, close); one symbol unless `symbols` and `times` (in bars) say otherwise."""
    o, high, low, c = (np.array(column, float) for column in zip(*rows, strict=True))
    n = len(rows)
    symbol = np.zeros(n, np.int64) if symbols is None else np.array(symbols, np.int64)
    step = np.arange(n) if times is None else np.array(times)
    before = np.full(n, -1, np.int64)
    for i in range(n):
        for j in range(i):
            if symbol[j] == symbol[i] and step[j] == step[i] - 1:
                before[i] = j
    zero = np.zeros(n)
    return kernel.Bars(
        start_ms + step.astype(np.int64) * BAR_MS, symbol, before, o, high, low, c,
        zero if funding is None else np.array(funding, float), zero if cost is None else np.array(cost, float),
    )  # fmt: skip


def make_candidates(n, entries):
    """entries: {row: (side, stop, tp1, tp2, tp3, trail[, expectancy])}"""
    columns = kernel.Candidates(np.zeros(n, np.int8), *(np.zeros(n) for _ in range(7)))
    for row, (side, stop, tp1, tp2, tp3, trail, *more) in entries.items():
        columns.side[row] = side
        for column, value in zip(columns[1:], (stop, tp1, tp2, tp3, trail, more[0] if more else 1.0, 0.6), strict=True):
            column[row] = value
    return columns


def make_specs(symbols=1, *, step=0.001, min_notional=0.0, max_leverage=20, maintenance=0.005, maker=0.0002, taker=0.0005):
    def many(value, kind=float):
        return np.full(symbols, value, kind)

    return kernel.Specs(many(step), many(min_notional), many(max_leverage, np.int64), many(maintenance), many(maker), many(taker))


def make_rules(**changes):
    values = {
        "capital": 1000.0, "risk_pct": 2.0, "max_margin_pct": 10.0, "max_leverage": 10, "max_open": 4, "max_daily_loss_pct": 10.0,
        "max_drawdown_pct": 25.0, "slippage": 0.0, "stop_cost_pct": 0.0, "share1": 0.3, "share2": 0.4, "share3": 0.3,
        "max_hold_ms": 48 * 3_600_000, "bar_ms": BAR_MS, "signal_bars": 4,
    }  # fmt: skip
    return kernel.Rules(**{**values, **changes})


def random_market(rng, lengths, *, offsets=None, gaps=0.0):
    """Symbols that start `offsets` bars late, last `lengths` bars and miss a share of them: bars and candidates in the kernel's order."""
    rows = []
    for symbol, length in enumerate(lengths):
        price = 100.0 * (symbol + 1)
        for at in range(length):
            opened = price * np.exp(rng.normal(0, 0.03)) if rng.random() < 0.05 else price
            price = opened * np.exp(rng.normal(0, 0.006))
            high, low = max(opened, price) * (1 + rng.uniform(0, 0.003)), min(opened, price) * (1 - rng.uniform(0, 0.003))
            if rng.random() >= gaps:
                rows.append((at + (offsets[symbol] if offsets else 0), symbol, opened, high, low, price))
    rows.sort()
    place = {(symbol, at): row for row, (at, symbol, *_) in enumerate(rows)}
    at, symbol, o, high, low, c = (np.array(column) for column in zip(*rows, strict=True))
    size = len(rows)
    before = np.array([place.get((s, number - 1), -1) for number, s, *_ in rows], np.int64)
    bars = kernel.Bars(
        START_MS + at.astype(np.int64) * BAR_MS, symbol.astype(np.int64), before, o, high, low, c,
        np.where(rng.random(size) < 0.05, rng.normal(0, 5e-4, size), 0.0), np.where(rng.random(size) < 0.05, 1e-4, 0.0),
    )  # fmt: skip
    side = np.where(rng.random(size) < 0.15, rng.choice([-1, 1], size), 0).astype(np.int8)
    reach = c * rng.uniform(0.004, 0.02, size) * side
    targets = (c + 1.5 * reach, c + 2.75 * reach, c + 4.5 * reach)
    return bars, kernel.Candidates(side, c - 1.5 * reach, *targets, np.abs(1.25 * reach), rng.random(size), np.full(size, 0.6))
