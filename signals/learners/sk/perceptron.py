"""A multi-layer perceptron with one hidden layer (Rumelhart, Hinton and Williams 1986; Adam, Kingma and Ba 2015) on standardised features."""

from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from signals.ensemble import log_loss
from signals.learners.sk.fitted import Budget, Fitted, Graph, Labels, Rows, Validation, Weights
from signals.ports import CHECKPOINT

PARAMS: dict[str, Any] = {"hidden_units": 32, "alpha": 0.01, "learning_rate_init": 1e-3, "batch_size": 512}
LEAST_ROUNDS = 3


def train(x: Rows, y: Labels, weight: Weights, valid: Validation | None, budget: Budget) -> Fitted:
    """Medians for what is missing and the scale are learned from `x` alone. A round is a pass over `x`; with `valid` the weights of the best
    round there are kept, at least those of LEAST_ROUNDS. scikit-learn's own early stopping draws its validation rows at random, from labels
    that overlap those it fits, so it is left off."""
    prepare = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    z = prepare.fit_transform(x)
    held = None if valid is None else prepare.transform(valid[0])
    params = {**PARAMS, **budget.tuning}
    units, batch = params.pop("hidden_units"), min(params.pop("batch_size"), x.shape[0])
    net = MLPClassifier(hidden_layer_sizes=(units,), batch_size=batch, random_state=budget.seed, **params)
    best, best_round, kept = np.inf, 0, net
    for number in range(1, budget.rounds + 1):
        CHECKPOINT.get()()
        net.partial_fit(z, y, sample_weight=weight, classes=[0, 1])
        if valid is None or held is None:
            best_round = number
            continue
        loss = log_loss(valid[1], net.predict_proba(held)[:, 1].astype(np.float64))
        if loss < best or number <= LEAST_ROUNDS:
            best, best_round, kept = loss, number, deepcopy(net)
        elif number - best_round >= budget.patience:
            break
    whole = make_pipeline(*(step for _, step in prepare.steps), kept)
    return Fitted(whole, best_round, partial(_graph, whole))


def _graph(whole: Pipeline, entering: str, leaving: str) -> Graph:
    """Medians for what is missing, the scale, then the layers."""
    from onnx import helper, numpy_helper

    fill, scale, net = (step for _, step in whole.steps)
    constants = {"median": fill.statistics_, "mean": scale.mean_, "deviation": scale.scale_}
    nodes = [
        helper.make_node("IsNaN", [entering], ["missing"]),
        helper.make_node("Where", ["missing", "median", entering], ["known"]),
        helper.make_node("Sub", ["known", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["layer0"]),
    ]
    last = len(net.coefs_) - 1
    for number, (slope, intercept) in enumerate(zip(net.coefs_, net.intercepts_, strict=True)):
        constants |= {f"slope{number}": slope, f"intercept{number}": intercept}
        nodes.append(helper.make_node("Gemm", [f"layer{number}", f"slope{number}", f"intercept{number}"], [f"sum{number}"]))
        bend, out = ("Sigmoid", leaving) if number == last else ("Relu", f"layer{number + 1}")
        nodes.append(helper.make_node(bend, [f"sum{number}"], [out]))
    return nodes, [numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in constants.items()]
