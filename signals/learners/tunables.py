"""Which parameters of a learner a training may set, and within which bounds. Everything else of a learner is fixed. Imports no learner."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Tunable(NamedTuple):
    """low and high belong to the range; `is_log` searches by orders of magnitude."""

    low: float
    high: float
    is_whole: bool = False
    is_log: bool = False


TUNABLES: dict[str, dict[str, Tunable]] = {
    "lightgbm": {
        "learning_rate": Tunable(0.01, 0.2, is_log=True),
        "num_leaves": Tunable(4, 63, is_whole=True, is_log=True),
        "min_data_in_leaf": Tunable(50, 2_000, is_whole=True, is_log=True),
        "feature_fraction": Tunable(0.1, 1.0),
        "bagging_fraction": Tunable(0.4, 1.0),
        "lambda_l2": Tunable(0.1, 100.0, is_log=True),
    },
    "xgboost": {
        "eta": Tunable(0.01, 0.2, is_log=True),
        "max_depth": Tunable(2, 8, is_whole=True),
        "min_child_weight": Tunable(5.0, 500.0, is_log=True),
        "colsample_bytree": Tunable(0.1, 1.0),
        "subsample": Tunable(0.4, 1.0),
        "lambda": Tunable(0.1, 100.0, is_log=True),
    },
}


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
