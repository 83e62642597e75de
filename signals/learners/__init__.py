"""Learners by kind, loaded on first use: their libraries take seconds to import."""

from collections.abc import Iterable
from importlib import import_module, metadata
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
WORDS = {
    "lightgbm": "gradient-boosted trees, grown leaf by leaf",
    "xgboost": "gradient-boosted trees, grown level by level",
    "forest": "random forest",
    "histgb": "gradient-boosted trees of scikit-learn, on binned features",
    "mlp": "perceptron with hidden layers",
    "lstm": "recurrent network over a window of bars",
    "transformer": "attention over a window of bars",
    "tft": "temporal fusion transformer over a window of bars",
}
"""A word on each kind, for people who choose."""
PACKAGES = {
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost-cpu",),
    **dict.fromkeys(("forest", "histgb", "mlp"), ("scikit-learn", "onnx", "onnxruntime")),
    **dict.fromkeys(("lstm", "transformer", "tft"), ("torch", "safetensors")),
}
"""What fits and predicts a kind, by the names its packages are installed under."""
DEFAULT = ("lightgbm", "xgboost")
"""The learners of a training that names none."""
REMEDY = "not installed: install the extra `deep`, docs/operations.md says how"

SEQUENCES = frozenset({"lstm", "transformer", "tft"})
"""Kinds that look at more than one bar: they are given signals.sequences.Windows."""


class NotInstalled(UserError):
    """The kind's libraries are an extra that this installation lacks."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"learner {kind!r} needs PyTorch, which is not installed: install the extra `deep` (docs/operations.md says how), or train other learners",
            field="learners",
        )


class UnknownLearner(ValueError):
    """The kind is none of KINDS."""


def is_installed(kind: str) -> bool:
    """Whether the kind's packages are there, without importing any."""
    for package in PACKAGES[kind]:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            return False
    return True


def check_installed(kinds: Iterable[str]) -> None:
    """Raises NotInstalled for the first that this installation cannot train."""
    for kind in kinds:
        if not is_installed(kind):
            raise NotInstalled(kind)


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
        raise NotInstalled(kind) from None
