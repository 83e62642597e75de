"""Gradient-boosted trees on histograms, as scikit-learn has them (after LightGBM, Ke et al. 2017)."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from signals.learners.sk import onnx_trees
from signals.learners.sk.fitted import Budget, Fitted, Graph, Labels, Rows, Validation, Weights

BINS = 63
PARAMS: dict[str, Any] = {
    "learning_rate": 0.05,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 200,
    "max_features": 0.4,
    "l2_regularization": 10.0,
    "max_bins": BINS,
}
LEAST_ROUNDS = 20


class Binned(NamedTuple):
    """Trees that were grown on bin numbers, and the upper ends of each feature's bins but the last, float32.

    scikit-learn looks for its bins anew for each edge when samples have weights, which takes longer than growing the trees; bins of equal count
    are found here in one go, and values that are bin numbers already it takes as they are.
    """

    trees: HistGradientBoostingClassifier
    ends: list[Rows]

    def numbers(self, x: Rows) -> Rows:
        """The bin that each value lies in; NaN stays NaN."""
        columns = [np.where(np.isnan(x[:, k]), np.nan, np.searchsorted(end, x[:, k])) for k, end in enumerate(self.ends)]
        return np.column_stack(columns).astype(np.float32)

    def predict_proba(self, x: Rows) -> NDArray[np.float64]:
        """As scikit-learn's, shape [n, 2]."""
        return np.asarray(self.trees.predict_proba(self.numbers(x)), dtype=np.float64)

    def threshold(self, feature: int, number: float) -> float:
        """The value that a threshold between bin numbers stands for: who is at most this is in a bin at or below it."""
        end = self.ends[feature]
        return float(end[int(number)]) if number < end.size else np.inf


def train(x: Rows, y: Labels, weight: Weights, valid: Validation | None, budget: Budget) -> Fitted:
    """Stops early on `valid` when given and keeps the trees up to the best round, at least LEAST_ROUNDS; else grows all rounds."""
    params = {**PARAMS, **budget.tuning}
    trees = HistGradientBoostingClassifier(max_iter=budget.rounds, random_state=budget.seed, early_stopping=False, **params)
    model = Binned(trees, [_ends(x[:, k]) for k in range(x.shape[1])])
    if valid is None:
        trees.fit(model.numbers(x), y, sample_weight=weight)
        return _fitted(model)
    trees.set_params(early_stopping=True, n_iter_no_change=budget.patience, tol=0.0, scoring="loss")
    trees.fit(model.numbers(x), y, sample_weight=weight, X_val=model.numbers(valid[0]), y_val=valid[1])
    kept = min(trees.n_iter_, max(int(np.argmax(trees.validation_score_)), LEAST_ROUNDS))  # the first score is that of no tree
    trees._predictors = trees._predictors[:kept]
    return _fitted(model)


def _ends(column: Rows) -> Rows:
    """Upper ends of at most BINS - 1 bins of equal count, each a value that was seen; what lies above them is the last bin."""
    known = column[~np.isnan(column)]
    if not known.size:
        return np.empty(0, dtype=np.float32)
    found = np.unique(np.quantile(known, np.linspace(0.0, 1.0, BINS + 1)[1:-1], method="lower"))
    return found[found < known.max()]


def _fitted(model: Binned) -> Fitted:
    return Fitted(model, len(model.trees._predictors), partial(_graph, model))


def _graph(model: Binned, entering: str, leaving: str) -> Graph:
    """Leaves add up to log-odds."""
    from onnx import helper

    grown = []
    for (predictor,) in model.trees._predictors:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        left, right = (np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
        feature, nan_left = nodes["feature_idx"].astype(np.int64), nodes["missing_go_to_left"].astype(bool)
        threshold = [0.0 if is_leaf else model.threshold(k, t) for is_leaf, k, t in zip(leaf, feature, nodes["num_threshold"], strict=True)]
        grown.append(onnx_trees.Tree(feature, np.array(threshold), left, right, nan_left, nodes["value"]))
    base = float(np.ravel(model.trees._baseline_prediction)[0])
    return [onnx_trees.total(grown, base, entering, "log_odds"), helper.make_node("Sigmoid", ["log_odds"], [leaving])], []
