"""Learners by kind, loaded on first use: their libraries take seconds to import."""

from importlib import import_module
from typing import Any

KINDS = {
    "lightgbm": "signals.learners.lgbm.LightGBMLearner",
    "xgboost": "signals.learners.xgb.XGBoostLearner",
    "forest": "signals.learners.sk.ForestLearner",
    "histgb": "signals.learners.sk.HistBoostingLearner",
    "mlp": "signals.learners.sk.PerceptronLearner",
}
PACKAGES = {
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost-cpu",),
    **dict.fromkeys(("forest", "histgb", "mlp"), ("scikit-learn", "onnx", "onnxruntime")),
}
"""What fits and predicts a kind, by the names its packages are installed under."""
DEFAULT = ("lightgbm", "xgboost")
"""The learners of a training that names none."""


class UnknownLearner(ValueError):
    """The kind is none of KINDS."""


def learner(kind: str) -> Any:
    """The class of a kind: construct it with rounds, patience and seed, or through from_bytes."""
    if kind not in KINDS:
        raise UnknownLearner(f"learner {kind!r} is unknown: use one of {', '.join(KINDS)}")
    module, name = KINDS[kind].rsplit(".", 1)
    return getattr(import_module(module), name)
