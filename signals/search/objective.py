"""What a trial is judged by: how much better than the base rate its learners foretell TP1 before stop, fold by fold, out of sample.

The skill is 1 - log loss / log loss of the training labels' base rate, a proper score of probabilities: it moves with every label, where a
profit of the few selected trades would mostly follow luck. The profit is what the final training is judged by, deflated by the number of trials.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from exchanges.costs import CostModel
from signals import ensemble, folds
from signals.plan import PlanConfig
from signals.ports import SIDES
from signals.training import panel as panels
from signals.training import walkforward
from signals.training.panel import Panel
from signals.training.params import TrainingParams


class Work(NamedTuple):
    """What every trial of a search shares: the samples, and the folds of each side."""

    panel: Panel
    folds: tuple[list[folds.Fold], ...]
    kinds: tuple[str, ...]


def prepare(symbols: list[str], params: TrainingParams) -> Work:
    """Samples and folds, from stored candles. Raises UnknownSymbol, UnusableHistory."""
    known = panels.histories(symbols, params)
    hold = panels.holdout_of(known, params)
    btc = panels.bitcoin(known, params)
    panel = panels.build(known, btc, hold, params, plan=PlanConfig(), costs=CostModel(), tell=lambda symbol: None)
    return Work(panel, walkforward.split(panel, params), params.learners)


def skills(work: Work, params: TrainingParams, tuning: dict[str, dict[str, Any]]) -> Iterator[float]:
    """Each fold's skill in turn, both sides together."""
    tuned = replace(params, tuning=tuning)
    for number in range(params.folds):
        yield float(np.mean([_skill(work, side, number, tuned) for side in SIDES]))


def _skill(work: Work, side: int, number: int, params: TrainingParams) -> float:
    panel, fold = work.panel, work.folds[side][number]
    raw = [walkforward.fit_fold(panel, side, fold, kind, params)[0] for kind in work.kinds]
    label, weight = panel.y[fold.test, side], panel.weight[fold.test, side]
    base = float(np.average(panel.y[fold.train, side], weights=panel.weight[fold.train, side]))
    reached = ensemble.log_loss(label, np.mean(raw, axis=0), weight)
    return 1.0 - reached / ensemble.log_loss(label, np.full(label.size, base), weight)
