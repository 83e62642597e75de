"""What a prediction loses when it has to do with features that are one sample older.

A market does not forget within one sample what it knew for two days: labels last up to 48 hours, features look back over hours and days. So
an honest model scores nearly the same with the features of the sample before. One that loses much knew something of that very moment which
the past did not tell: values that peek a sample or two ahead. Peeks over longer stretches fall too slowly to be seen here; signals.training.leaks
finds those.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals import folds
from signals.training import figures, walkforward
from signals.training.panel import Panel
from signals.training.params import TrainingParams

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
ROUNDS = 40
LEAST_FALL = 0.05
DEVIATIONS = 3.5


def lagged_score(panel: Panel, side: int, split: Sequence[folds.Fold], params: TrainingParams) -> dict[str, Any]:
    """AUC of the last block as it is and with each row's features replaced by those of its symbol's sample before, by the training's checker.

    Statistic: the fall of the AUC. Null: it falls by no more than LEAST_FALL. Tolerance: LEAST_FALL, or DEVIATIONS standard errors of the fall when
    that is more; the error is that of two correlated AUCs (DeLong, DeLong and Clarke-Pearson, 1988) with samples clustered by 48 hours
    (Obuchowski, 1997).
    """
    fold = split[-1]
    earlier = previous(panel)
    test = fold.test[earlier[fold.test] >= 0]
    label = panel.y[test, side]
    if label.size == 0 or label.min() == label.max():
        return {
            "learner": params.checker,
            "passed": True,
            "auc": None,
            "lagged_auc": None,
            "fall": None,
            "tolerance": None,
            "n": int(label.size),
        }
    model = walkforward.new_learner(params.checker, params, ROUNDS)
    model.fit(panel.x[fold.train], panel.y[fold.train, side], panel.weight[fold.train, side], None)
    now, then = model.predict(panel.x[test]), model.predict(panel.x[earlier[test]])
    auc, lagged, error = paired(label, now, then, panel.start_ms[test] // figures.BLOCK_MS)
    tolerance = max(LEAST_FALL, DEVIATIONS * error)
    return {
        "learner": params.checker,
        "passed": auc - lagged <= tolerance,
        "auc": auc,
        "lagged_auc": lagged,
        "fall": auc - lagged,
        "tolerance": tolerance,
        "n": int(label.size),
    }


def previous(panel: Panel) -> Rows:
    """Row of the sample one step before, of the same symbol; -1 where there is none, shape [m]."""
    out = np.arange(-1, panel.bar_ms.size - 1, dtype=np.int64)
    steps = np.diff(panel.bar_ms, prepend=panel.bar_ms[:1])
    follows = np.diff(panel.symbol, prepend=-1) == 0
    step = int(np.median(steps[follows])) if follows.any() else 0
    out[~follows | (steps != step)] = -1
    return out


def paired(label: NDArray[np.int8], first: Array, second: Array, cluster: Rows) -> tuple[float, float, float]:
    """AUC of two scores of the same samples [n], and the standard error of their difference; samples of one cluster may hang together."""
    (auc, parts), (other, other_parts) = _influences(label, first), _influences(label, second)
    _, place = np.unique(cluster, return_inverse=True)
    sums = np.bincount(place, weights=parts - other_parts)
    count = sums.size
    return auc, other, sqrt(float((sums**2).sum()) * count / max(count - 1, 1))


def _influences(label: NDArray[np.int8], score: Array) -> tuple[float, Array]:
    """The AUC and what each sample moves it by, shape [n]: its placement among the other class, less the mean, over the size of its class."""
    hit = label == 1
    above = _ranks(score)
    out = np.empty(score.size)
    hits, misses = int(hit.sum()), int((~hit).sum())
    out[hit] = (above[hit] - _ranks(score[hit])) / misses
    out[~hit] = 1.0 - (above[~hit] - _ranks(score[~hit])) / hits
    auc = float(out[hit].mean())
    return auc, (out - auc) / np.where(hit, hits, misses)


def _ranks(score: Array) -> Array:
    """Ranks from 1, equal scores share their mean rank."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2.0)[inverse], dtype=np.float64)
