"""Random forest (Breiman 2001): the mean of trees that each saw half of the samples and, at each split, a few of the features."""

from functools import partial
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from signals.ensemble import log_loss
from signals.learners.sk import onnx_trees
from signals.learners.sk.fitted import Budget, Fitted, Graph, Labels, Rows, Validation, Weights
from signals.ports import CHECKPOINT

PARAMS: dict[str, Any] = {
    "max_depth": 8,
    "min_samples_leaf": 50,
    "max_features": "sqrt",
    "max_samples": 0.5,
    "bootstrap": True,
    "n_jobs": 1,
}
STEP = 10
LEAST_ROUNDS = 20
LEAST_GAIN = 1e-4
"""More trees always lower the loss a little: what lowers it by less, in nats, is not worth its time."""


def train(x: Rows, y: Labels, weight: Weights, valid: Validation | None, budget: Budget) -> Fitted:
    """Grows all rounds, or, when `valid` is given, until `patience` more trees gain nothing there; keeps at least LEAST_ROUNDS."""
    forest = RandomForestClassifier(n_estimators=budget.rounds, random_state=budget.seed, **{**PARAMS, **budget.tuning})
    if valid is None:
        return _fitted(forest.fit(x, y, sample_weight=weight))
    forest.set_params(warm_start=True)
    total, grown, best, best_size = np.zeros(valid[1].size), 0, np.inf, 0
    for size in [*range(STEP, budget.rounds, STEP), budget.rounds]:
        CHECKPOINT.get()()
        forest.set_params(n_estimators=size).fit(x, y, sample_weight=weight)
        total += np.sum([tree.predict_proba(valid[0])[:, 1] for tree in forest.estimators_[grown:]], axis=0)
        grown, loss = size, log_loss(valid[1], total / size)
        if loss < best - LEAST_GAIN:
            best, best_size = loss, size
        elif size - best_size >= budget.patience:
            break
    kept = min(len(forest.estimators_), max(best_size, LEAST_ROUNDS))
    forest.estimators_ = forest.estimators_[:kept]
    return _fitted(forest.set_params(n_estimators=kept))


def _fitted(forest: RandomForestClassifier) -> Fitted:
    return Fitted(forest, len(forest.estimators_), partial(_graph, forest))


def _graph(forest: RandomForestClassifier, entering: str, leaving: str) -> Graph:
    """Every tree's leaves hold its share of the mean."""
    trees = []
    for estimator in forest.estimators_:
        tree = estimator.tree_
        share = tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1) / len(forest.estimators_)
        nan_left = tree.missing_go_to_left.astype(bool)
        trees.append(onnx_trees.Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, nan_left, share))
    return [onnx_trees.total(trees, 0.0, entering, leaving)], []
