"""Learners by kind, loaded on first use: LightGBM and XGBoost take seconds to import."""

from importlib import import_module
from typing import Any

KINDS = {"lightgbm": "signals.learners.lgbm.LightGBMLearner", "xgboost": "signals.learners.xgb.XGBoostLearner"}


class UnknownLearner(ValueError):
    """The kind is none of KINDS."""


def learner(kind: str) -> Any:
    """The class of a kind: construct it with rounds, patience and seed, or through from_bytes."""
    if kind not in KINDS:
        raise UnknownLearner(f"learner {kind!r} is unknown: use one of {', '.join(KINDS)}")
    module, name = KINDS[kind].rsplit(".", 1)
    return getattr(import_module(module), name)
