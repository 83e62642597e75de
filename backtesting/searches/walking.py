"""A walk-forward test: in every window the best of the past trades what comes next, and only that is judged."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import metrics
from backtesting.combos import ranking
from backtesting.combos.windows import Window

F = NDArray[np.float64]
LEAST_TRADES = 5
"""Of a training window, however short it is."""


class Evaluated(NamedTuple):
    """Results of c combinations on a stretch of time, and their equity at the end of each of its days: days int64[d] (ms UTC), daily [c, d]."""

    results: ranking.Results
    days: NDArray[np.int64]
    daily: F


Evaluate = Callable[[F, int, int, float], Evaluated]
"""Evaluate combinations [c, p] on bars with start_ms <= open < end_ms, each from that capital."""


class Trained(NamedTuple):
    """Combinations [c, p] that were tried on a window's training alone, and what came of each."""

    table: F
    results: ranking.Results


Train = Callable[[int, Window, int], Trained]
"""Try combinations on the training of a window, by its number from 1, where one with fewer trades than the last argument cannot be the best."""


class Step(NamedTuple):
    """One window. chosen: the parameters [p] of the best of its training, None when none had enough trades: then nothing is traded. inside_pct
    and outside_pct: net results in % of the capital of each; inside: the objective's value it was chosen by."""

    window: Window
    chosen: F | None
    inside: float
    inside_pct: float
    outside_pct: float
    trades: int


class Walked(NamedTuple):
    """The tests behind each other: each starts with the equity that the one before ended with. days, equity [d]."""

    steps: list[Step]
    days: NDArray[np.int64]
    equity: F
    efficiency: float | None


def walk(
    train: Train, evaluate: Evaluate, windows: Sequence[Window], *, objective: str, least_trades: int, span_ms: int, capital: float
) -> Walked:
    """least_trades are asked of the whole span and of each training for its share of it. Positions that are open when a window ends are closed
    there."""
    steps: list[Step] = []
    days, equity, worth = [np.zeros(0, np.int64)], [np.zeros(0)], capital
    for number, window in enumerate(windows, 1):
        least = max(LEAST_TRADES, math.ceil(least_trades * (window.train_end_ms - window.train_start_ms) / span_ms))
        table, inside = train(number, window, least)
        value = inside.objective(objective)
        best = ranking.order(value, inside.trades, least)
        if not best.size or worth <= 0.0:
            steps.append(Step(window, None, math.nan, math.nan, 0.0, 0))
            days.append(np.arange(window.test_start_ms, window.test_end_ms, metrics.DAY_MS, dtype=np.int64))
            equity.append(np.full(days[-1].size, worth))
            continue
        chosen = int(best[0])
        outside = evaluate(table[chosen : chosen + 1], window.test_start_ms, window.test_end_ms, worth)
        days.append(outside.days)
        equity.append(outside.daily[0])
        net = float(outside.results.net_pct[0])
        trades = int(outside.results.trades[0])
        steps.append(Step(window, table[chosen], float(value[chosen]), float(inside.net_pct[chosen]), net, trades))
        worth *= 1.0 + net / 100.0
    return Walked(steps, np.concatenate(days), np.concatenate(equity), efficiency(steps))


def efficiency(steps: Sequence[Step]) -> float | None:
    """What the chosen ones earned a year outside over what they had earned a year inside, in simple returns (metrics.walk_forward_efficiency)."""
    traded = [step for step in steps if step.chosen is not None]
    inside_days = sum(step.window.train_end_ms - step.window.train_start_ms for step in traded) / metrics.DAY_MS
    outside_days = sum(step.window.test_end_ms - step.window.test_start_ms for step in traded) / metrics.DAY_MS
    if not traded:
        return None
    inside, outside = sum(step.inside_pct for step in traded), sum(step.outside_pct for step in traded)
    return metrics.walk_forward_efficiency(inside / inside_days, outside / outside_days)
