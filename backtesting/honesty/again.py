"""The run once more under other assumptions: the other ways through a bar, and costs twice and three times as high."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import kernel
from exchanges.compiled import cores

PATHS = ("pessimistic", "adaptive", "optimistic")
"""By their numbers in exchanges.exits."""
STRESS = (2, 3)
DEARER = ("maker", "taker", "slippage", "stop_cost_pct", "hold_cost_pct")
"""What of a kernel.Spec grows with the costs."""
NO_LIMIT_PCT = 1e9

Bools = NDArray[np.bool_]


class Simulation(NamedTuple):
    """What was simulated and what came of it, under the account's limits of loss (`rules`, `result`) and without them (`unlimited`). Shapes as
    in backtesting.kernel."""

    bars: kernel.Bars
    entries: kernel.Entries
    specs: Sequence[kernel.Spec]
    rules: kernel.Rules
    result: kernel.Result
    unlimited: kernel.Result


class Outcome(NamedTuple):
    """Net result in quote currency, and the trades that brought it."""

    net: float
    trades: int


class Finer(NamedTuple):
    """The run's bars with the finer ones of the frame `frame` that are stored of them."""

    frame: str
    bars: kernel.Bars

    @property
    def covered(self) -> int:
        """How many of the run's bars have all of their finer ones."""
        return int(np.count_nonzero(np.diff(self.bars.detail_first)))


class Again(NamedTuple):
    """paths: by PATHS. costs: by how many times they are as high, 1 among them. coarse: without the finer bars that the run used, None where it
    used none; fine: with stored ones that it did not use, None where there are none."""

    paths: dict[str, Outcome]
    costs: dict[int, Outcome]
    coarse: Outcome | None
    fine: Outcome | None = None


def again(done: Simulation, finer: Finer | None = None) -> Again:
    """All of them at once, over all cores, and all without the limits of loss: one that is stopped at its limit would seem to bear its costs."""
    done = done._replace(rules=unlimited(done.rules))
    bars, rules, result = done.bars, done.rules, done.unlimited
    own = Outcome(result.balance - rules.capital, int(result.trades.pnl.shape[0]))
    others = [number for number in range(len(PATHS)) if number != rules.path]
    jobs = [done._replace(rules=rules._replace(path=number)) for number in others]
    jobs += [dearer(done, times, earns_funding(done)) for times in STRESS]
    has_details = bool(bars.detail_first.shape[0])
    if has_details:
        jobs.append(done._replace(bars=bars._replace(detail_first=np.empty(0, np.int64), details=bars.details[:0])))
    elif finer is not None:
        jobs.append(done._replace(bars=finer.bars))
    with ThreadPoolExecutor(cores()) as pool:
        found = list(pool.map(_outcome, jobs))
    paths = {rules.path: own, **dict(zip(others, found, strict=False))}
    costs = {1: own, **dict(zip(STRESS, found[len(others) :], strict=False))}
    other = found[-1] if len(found) > len(others) + len(STRESS) else None
    coarse, fine = (other, None) if has_details else (None, other)
    return Again({name: paths[number] for number, name in enumerate(PATHS)}, costs, coarse, fine)


def unlimited(rules: kernel.Rules) -> kernel.Rules:
    """The same, only that no loss stops the account from entering."""
    return rules._replace(max_daily_loss_pct=NO_LIMIT_PCT, max_drawdown_pct=NO_LIMIT_PCT)


def simulated(bars: kernel.Bars, entries: kernel.Entries, specs: Sequence[kernel.Spec], rules: kernel.Rules) -> Simulation:
    """The run, and the same without limits of loss, which is the same run where none of them refused anything."""
    result = kernel.simulate(bars, entries, specs, rules)
    was_limited = {"daily_loss", "drawdown"} & set(result.refused)
    free = kernel.simulate(bars, entries, specs, unlimited(rules)) if was_limited else result
    return Simulation(bars, entries, specs, rules, result, free)


def earns_funding(done: Simulation) -> Bools:
    """Whether the trades of each symbol got more funding than they paid, [s]."""
    trades = done.unlimited.trades
    return np.bincount(trades.symbol, weights=trades.funding, minlength=len(done.specs)) > 0.0


def dearer(done: Simulation, times: float, earns: Bools) -> Simulation:
    """The same with fees, slippage and funding so many times as high; sizes follow from what a stop costs then. The rates of symbols that earn by
    them (`earns`, [s]) stay: an income that grows with the costs would pay for them."""
    rules, due = done.rules, done.bars.due.copy()
    symbol = np.searchsorted(done.bars.first, due["row"], side="right") - 1
    due["rate"] *= np.where(earns[symbol], 1.0, times)
    due["cost"] *= times
    return done._replace(
        bars=done.bars._replace(due=due),
        specs=[spec._replace(**{name: getattr(spec, name) * times for name in DEARER}) for spec in done.specs],
        rules=rules._replace(slippage_range=rules.slippage_range * times, impact=rules.impact * times),
    )


def _outcome(done: Simulation) -> Outcome:
    entries = done.entries
    one = entries._replace(starts=entries.starts[None, :], stops=entries.stops[None, :])
    swept = kernel.sweep(done.bars, one, done.specs, [done.rules], threads=1)
    return Outcome(float(swept.balance[0]) - done.rules.capital, int(swept.trades[0]))
