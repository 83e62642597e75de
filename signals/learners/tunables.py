"""Which parameters of a learner a training may set, and within which bounds. Everything else of a learner is fixed. Imports no learner."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Tunable(NamedTuple):
    """low and high belong to the range; `is_log` searches by orders of magnitude."""

    low: float
    high: float
    is_whole: bool = False
    is_log: bool = False


_NETWORK = {
    "learning_rate": Tunable(1e-4, 1e-2, is_log=True),
    "weight_decay": Tunable(1e-4, 1.0, is_log=True),
    "dropout": Tunable(0.0, 0.6),
}
TUNABLES: dict[str, dict[str, Tunable]] = {
    "lightgbm": {
        "learning_rate": Tunable(0.01, 0.2, is_log=True),
        "num_leaves": Tunable(4, 63, is_whole=True, is_log=True),
        "min_data_in_leaf": Tunable(50, 2_000, is_whole=True, is_log=True),
        "feature_fraction": Tunable(0.1, 1.0),
        "bagging_fraction": Tunable(0.4, 1.0),
        "lambda_l2": Tunable(0.1, 2_000.0, is_log=True),
    },
    "xgboost": {
        "eta": Tunable(0.01, 0.2, is_log=True),
        "max_depth": Tunable(2, 8, is_whole=True),
        "min_child_weight": Tunable(5.0, 500.0, is_log=True),
        "colsample_bytree": Tunable(0.1, 1.0),
        "subsample": Tunable(0.4, 1.0),
        "lambda": Tunable(0.1, 100.0, is_log=True),
    },
    "forest": {
        "max_depth": Tunable(2, 16, is_whole=True),
        "min_samples_leaf": Tunable(10, 1_000, is_whole=True, is_log=True),
        "max_features": Tunable(0.02, 1.0, is_log=True),
        "max_samples": Tunable(0.1, 1.0),
    },
    "histgb": {
        "learning_rate": Tunable(0.01, 0.2, is_log=True),
        "max_leaf_nodes": Tunable(4, 63, is_whole=True, is_log=True),
        "min_samples_leaf": Tunable(50, 2_000, is_whole=True, is_log=True),
        "max_features": Tunable(0.1, 1.0),
        "l2_regularization": Tunable(0.1, 1_000.0, is_log=True),
    },
    "mlp": {
        "hidden_units": Tunable(4, 256, is_whole=True, is_log=True),
        "alpha": Tunable(1e-5, 10.0, is_log=True),
        "learning_rate_init": Tunable(1e-4, 1e-2, is_log=True),
        "batch_size": Tunable(64, 2_048, is_whole=True, is_log=True),
    },
    "lstm": {**_NETWORK, "hidden": Tunable(4, 128, is_whole=True, is_log=True)},
    "transformer": {**_NETWORK, "head_size": Tunable(2, 32, is_whole=True, is_log=True), "layers": Tunable(1, 4, is_whole=True)},
    "tft": {**_NETWORK, "head_size": Tunable(1, 8, is_whole=True, is_log=True)},
}
"""max_features is the share of the features that a split may choose from; head_size times four heads is the size of a network's states."""


def fault(tuning: Any) -> str:
    """What is wrong with {learner: {parameter: value}}, "" when nothing is."""
    if not isinstance(tuning, Mapping):
        return "tuning must be an object of learners, such as {'lightgbm': {'num_leaves': 31}}"
    for kind, chosen in tuning.items():
        if kind not in TUNABLES:
            return f"tuning: {kind!r} has no parameters to set; use {', '.join(TUNABLES)}"
        if not isinstance(chosen, Mapping):
            return f"tuning of {kind} must be an object of parameters"
        for name, value in chosen.items():
            known = TUNABLES[kind].get(name)
            if known is None:
                return f"tuning: {kind} has no parameter {name!r} to set; use {', '.join(TUNABLES[kind])}"
            is_number = isinstance(value, int if known.is_whole else (int, float)) and not isinstance(value, bool)
            if not is_number or not known.low <= value <= known.high:
                word = "whole number" if known.is_whole else "number"
                return f"tuning: {name} of {kind} must be a {word} from {known.low:g} to {known.high:g}, not {value!r}"
    return ""
