"""What training gives and what it is given, alike for all kinds of this package."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Labels = NDArray[np.int8]
Weights = NDArray[np.float64]
Validation = tuple[Rows, Labels]


class Budget(NamedTuple):
    """rounds at most; with a validation set, stop `patience` rounds after the best one. A round is a tree, or a pass over the data.

    tuning -- what is set in place of a kind's own PARAMS, of signals.learners.tunables
    """

    rounds: int
    patience: int
    seed: int
    tuning: Mapping[str, Any] = MappingProxyType({})


Graph = tuple[list[Any], list[Any]]
"""ONNX nodes and constants."""


class Fitted(NamedTuple):
    """A fitted estimator, how many rounds it kept, and what writes it as ONNX between two names."""

    estimator: Any
    rounds: int
    graph: Callable[[str, str], Graph]
