"""What a trial is judged by: how much better than the base rate its learners foretell TP1 before stop, fold by fold, out of sample.

The skill is 1 - log loss / log loss of the training labels' base rate, a proper score of probabilities: it moves with every label, where a
profit of the few selected trades would mostly follow luck. The profit is what the final training is judged by, deflated by the number of trials
and by how far their Sharpe ratios lie apart; so a trial that gets to its last fold also says what its trades would have earned a day.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from signals import deflated, ensemble, folds, processing
from signals.net_profit import EntryRule
from signals.ports import SIDES
from signals.strategies import ml_ensemble
from signals.training import offers, trades, walkforward
from signals.training import panel as panels
from signals.training.panel import Panel
from signals.training.params import TrainingParams


class Work(NamedTuple):
    """What every trial of a search shares: the samples, the folds of each side, and what would be traded."""

    panel: Panel
    folds: tuple[list[folds.Fold], ...]
    kinds: tuple[str, ...]
    rule: EntryRule


def prepare(symbols: list[str], params: TrainingParams) -> Work:
    """Samples and folds, from stored candles. Raises UnknownSymbol, UnusableHistory."""
    known = panels.histories(symbols, params)
    hold = panels.holdout_of(known, params)
    btc = panels.bitcoin(known, params)
    panel = panels.build(known, btc, hold, params, plan=params.plan_config, costs=known[0].market.costs, tell=lambda symbol: None)
    return Work(panel, walkforward.split(panel, params), params.learners, processing.entry_rule(ml_ensemble.TEMPLATE))


class Step(NamedTuple):
    """A fold's skill, both sides together; with the last fold the daily Sharpe ratio of all folds' trades, None before and when there are too few."""

    skill: float
    sharpe: float | None = None


def steps(work: Work, params: TrainingParams, tuning: dict[str, dict[str, Any]]) -> Iterator[Step]:
    """Each fold in turn."""
    tuned = replace(params, tuning=tuning)
    raw = np.full((work.panel.start_ms.size, len(SIDES), len(work.kinds)), np.nan)
    for number in range(params.folds):
        skill = float(np.mean([_skill(work, side, number, tuned, raw) for side in SIDES]))
        yield Step(skill, _sharpe(work, tuned, raw) if number == params.folds - 1 else None)


def _sharpe(work: Work, params: TrainingParams, raw: NDArray[np.float64]) -> float | None:
    """The ratio that a training with these parameters would report: of one day, not annualised."""
    panel = work.panel
    oof = walkforward.OutOfFold((work.folds[0], work.folds[1]), raw, {})
    honest = {side: walkforward.honest_probabilities(panel, side, oof, params) for side in SIDES}
    sample = np.flatnonzero(np.isfinite(np.column_stack([honest[side] for side in SIDES])).any(axis=1))
    offered = offers.out_of_fold(panel, honest, oof, params, work.rule)
    seen = deflated.moments(trades.by_day(panel, trades.taken(panel, offered), sample).returns)
    return None if seen is None else seen.sharpe


def _skill(work: Work, side: int, number: int, params: TrainingParams, found: NDArray[np.float64]) -> float:
    """The fold's skill; its predictions are put into `found` [m, 2, kinds]."""
    panel, fold = work.panel, work.folds[side][number]
    raw = [walkforward.fit_fold(panel, side, fold, kind, params)[0] for kind in work.kinds]
    found[fold.test, side] = np.column_stack(raw)
    label, weight = panel.y[fold.test, side], panel.weight[fold.test, side]
    base = float(np.average(panel.y[fold.train, side], weights=panel.weight[fold.train, side]))
    reached = ensemble.log_loss(label, np.mean(raw, axis=0), weight)
    return 1.0 - reached / ensemble.log_loss(label, np.full(label.size, base), weight)
