"""The run once more under other assumptions: the other ways through a bar, and costs twice and three times as high."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from backtesting import kernel
from exchanges.compiled import cores

PATHS = ("pessimistic", "adaptive", "optimistic")
"""By their numbers in exchanges.exits."""
STRESS = (2, 3)


class Simulation(NamedTuple):
    """What was simulated and what came of it. Shapes as in backtesting.kernel."""

    bars: kernel.Bars
    entries: kernel.Entries
    specs: Sequence[kernel.Spec]
    rules: kernel.Rules
    result: kernel.Result


class Outcome(NamedTuple):
    """Net result in quote currency, and the trades that brought it."""

    net: float
    trades: int


class Again(NamedTuple):
    """paths: by PATHS. costs: by how many times they are as high, 1 among them. coarse: without finer bars, None where there were none."""

    paths: dict[str, Outcome]
    costs: dict[int, Outcome]
    coarse: Outcome | None


def again(done: Simulation) -> Again:
    """All of them at once, over all cores."""
    bars, rules = done.bars, done.rules
    own = Outcome(done.result.balance - rules.capital, int(done.result.trades.pnl.shape[0]))
    others = [number for number in range(len(PATHS)) if number != rules.path]
    jobs = [done._replace(rules=rules._replace(path=number)) for number in others]
    jobs += [dearer(done, times) for times in STRESS]
    has_details = bool(bars.detail_first.shape[0])
    if has_details:
        jobs.append(done._replace(bars=bars._replace(detail_first=np.empty(0, np.int64), details=bars.details[:0])))
    with ThreadPoolExecutor(cores()) as pool:
        found = list(pool.map(_outcome, jobs))
    paths = {rules.path: own, **dict(zip(others, found, strict=False))}
    costs = {1: own, **dict(zip(STRESS, found[len(others) :], strict=False))}
    return Again({name: paths[number] for number, name in enumerate(PATHS)}, costs, found[-1] if has_details else None)


def dearer(done: Simulation, times: float) -> Simulation:
    """The same with fees, slippage and funding so many times as high; sizes follow from what a stop costs then."""
    rules, due = done.rules, done.bars.due.copy()
    due["rate"] *= times
    due["cost"] *= times
    return done._replace(
        bars=done.bars._replace(due=due),
        specs=[spec._replace(maker=spec.maker * times, taker=spec.taker * times) for spec in done.specs],
        rules=rules._replace(
            slippage=rules.slippage * times,
            slippage_range=rules.slippage_range * times,
            impact=rules.impact * times,
            stop_cost_pct=rules.stop_cost_pct * times,
        ),
    )


def _outcome(done: Simulation) -> Outcome:
    entries = done.entries
    one = entries._replace(starts=entries.starts[None, :], stops=entries.stops[None, :])
    swept = kernel.sweep(done.bars, one, done.specs, [done.rules], threads=1)
    return Outcome(float(swept.balance[0]) - done.rules.capital, int(swept.trades[0]))
