"""Learners by kind, loaded on first use: their libraries take seconds to import."""

from importlib import import_module
from typing import Any

from traderai.lib.errors import UserError

KINDS = {
    "lightgbm": "signals.learners.lgbm.LightGBMLearner",
    "xgboost": "signals.learners.xgb.XGBoostLearner",
    "forest": "signals.learners.sk.ForestLearner",
    "histgb": "signals.learners.sk.HistBoostingLearner",
    "mlp": "signals.learners.sk.PerceptronLearner",
    "lstm": "signals.learners.deep.LSTMLearner",
    "transformer": "signals.learners.deep.TransformerLearner",
    "tft": "signals.learners.deep.TFTLearner",
}
PACKAGES = {
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost-cpu",),
    **dict.fromkeys(("forest", "histgb", "mlp"), ("scikit-learn", "onnx", "onnxruntime")),
    **dict.fromkeys(("lstm", "transformer", "tft"), ("torch", "safetensors")),
}
"""What fits and predicts a kind, by the names its packages are installed under."""
DEFAULT = ("lightgbm", "xgboost")
"""The learners of a training that names none."""


SEQUENCES = frozenset({"lstm", "transformer", "tft"})
"""Kinds that look at more than one bar: they are given signals.sequences.Windows."""


class NotInstalled(UserError):
    """The kind's libraries are an extra that this installation lacks."""


class UnknownLearner(ValueError):
    """The kind is none of KINDS."""


def learner(kind: str) -> Any:
    """The class of a kind: construct it with rounds, patience and seed, or through from_bytes. Raises UnknownLearner or NotInstalled."""
    if kind not in KINDS:
        raise UnknownLearner(f"learner {kind!r} is unknown: use one of {', '.join(KINDS)}")
    module, name = KINDS[kind].rsplit(".", 1)
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if kind not in SEQUENCES or error.name not in PACKAGES[kind]:
            raise
        raise NotInstalled(
            f"learner {kind!r} needs PyTorch, which is not installed: install the extra `deep` (docs/operations.md says how), or train other learners",
            field="learners",
        ) from None
