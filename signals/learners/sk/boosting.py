"""Gradient-boosted trees on histograms, as scikit-learn has them (after LightGBM, Ke et al. 2017)."""

from functools import partial
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from signals.learners.sk import onnx_trees
from signals.learners.sk.fitted import Budget, Fitted, Graph, Labels, Rows, Validation, Weights

PARAMS: dict[str, Any] = {
    "learning_rate": 0.05,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 200,
    "max_features": 0.4,
    "l2_regularization": 10.0,
    "max_bins": 63,
}
LEAST_ROUNDS = 20


def train(x: Rows, y: Labels, weight: Weights, valid: Validation | None, budget: Budget) -> Fitted:
    """Stops early on `valid` when given and keeps the trees up to the best round, at least LEAST_ROUNDS; else grows all rounds."""
    model = HistGradientBoostingClassifier(max_iter=budget.rounds, random_state=budget.seed, early_stopping=False, **PARAMS)
    if valid is None:
        return _fitted(model.fit(x, y, sample_weight=weight))
    model.set_params(early_stopping=True, n_iter_no_change=budget.patience, tol=0.0, scoring="loss")
    model.fit(x, y, sample_weight=weight, X_val=valid[0], y_val=valid[1])
    kept = min(model.n_iter_, max(int(np.argmax(model.validation_score_)), LEAST_ROUNDS))  # the first score is that of no tree
    model._predictors = model._predictors[:kept]
    return _fitted(model)


def _fitted(model: HistGradientBoostingClassifier) -> Fitted:
    return Fitted(model, len(model._predictors), partial(_graph, model))


def _graph(model: HistGradientBoostingClassifier, entering: str, leaving: str) -> Graph:
    """Leaves add up to log-odds."""
    from onnx import helper

    trees = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        left, right = (np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
        threshold, nan_left = nodes["num_threshold"].astype(np.float64), nodes["missing_go_to_left"].astype(bool)
        trees.append(onnx_trees.Tree(nodes["feature_idx"].astype(np.int64), threshold, left, right, nan_left, nodes["value"]))
    base = float(np.ravel(model._baseline_prediction)[0])
    return [onnx_trees.total(trees, base, entering, "log_odds"), helper.make_node("Sigmoid", ["log_odds"], [leaving])], []
