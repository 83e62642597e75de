"""The learner's interface around an estimator that becomes an ONNX file."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from signals.learners.sk.fitted import Budget, Fitted, Labels, Rows, Validation, Weights
from signals.learners.sk.onnx_file import OnnxFile, write
from signals.ports import CHECKPOINT
from traderai.lib.errors import UserError


class OneSided(UserError):
    """All labels are alike: there is nothing to tell apart."""


class OnnxLearner:
    """One thread, fixed seeds: the same data give the same file. Classes are not weighted, so that probabilities stay calibrated."""

    kind: ClassVar[str]
    suffix: ClassVar[str] = "onnx"
    lookback: ClassVar[int] = 1
    train: "ClassVar[staticmethod[[Rows, Labels, Weights, Validation | None, Budget], Fitted]]"

    def __init__(
        self,
        *,
        rounds: int = 200,
        patience: int = 25,
        seed: int = 7,
        tuning: Mapping[str, float] | None = None,
        file: OnnxFile | None = None,
    ) -> None:
        self.budget = Budget(rounds, patience, seed, dict(tuning or {}))
        self._file = file

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """A learner from the content of a saved file."""
        return cls(file=OnnxFile(data))

    @property
    def file(self) -> OnnxFile:
        if self._file is None:
            raise RuntimeError("fit the learner first")
        return self._file

    @property
    def best_rounds(self) -> int:
        """Trees, or passes over the data, that the file holds."""
        return self.file.rounds

    def fit(self, x: Rows, y: Labels, weight: Weights, valid: Validation | None) -> None:
        """Stops early on `valid` when given, as its kind says. Only the proportions of `weight` count: scikit-learn would read their sum as a number
        of samples. Raises OneSided when all of `y` are alike."""
        if y.min() == y.max():
            raise OneSided(
                f"{self.kind}: the {y.size} labels of a block are all {int(y[0])}; use fewer folds or a longer history", field="folds"
            )
        CHECKPOINT.get()()
        with threadpool_limits(limits=1):
            fitted = self.train(x, y, weight / weight.mean(), valid, self.budget)
        self._file = OnnxFile(write(fitted, x))

    def predict(self, x: Rows) -> NDArray[np.float64]:
        """Probability of the positive class, shape [n]."""
        return self.file.predict(x)

    def contributions(self, x: Rows) -> NDArray[np.float64]:
        """Each feature's part of the log-odds against its training median, shape [n, k]."""
        return self.file.contributions(x)

    def save(self, path: str) -> str:
        """Write `path` + ".onnx" and return that name."""
        target = Path(f"{path}.{self.suffix}")
        target.write_bytes(self.file.data)
        return str(target)
