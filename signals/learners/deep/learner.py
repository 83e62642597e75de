"""The learner's interface around a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from signals.learners.deep import fitting, weights_file
from signals.learners.deep.fitting import Budget, Labels, Validation, Weights
from signals.learners.deep.weights_file import Architecture
from signals.sequences import Windows

LENGTH = 64
FLOOR = 1e-6
OF_THE_STEPS = ("learning_rate", "weight_decay")
"""Tunables that are not the network's."""


class SequenceNetwork:
    """One thread, fixed seeds: on the same device the same data give the same file. Classes are not weighted, so that probabilities stay calibrated."""

    kind: ClassVar[str]
    network: ClassVar[type[nn.Module]]
    suffix: ClassVar[str] = "safetensors"
    lookback: ClassVar[int] = LENGTH

    def __init__(self, *, rounds: int = 200, patience: int = 25, seed: int = 7, tuning: Mapping[str, float] | None = None) -> None:
        steps = {name: value for name, value in (tuning or {}).items() if name in OF_THE_STEPS}
        self.budget = Budget(rounds, patience, seed, **steps)
        self.shape = {name: value for name, value in (tuning or {}).items() if name not in steps}
        self._fitted: nn.Module | None = None
        self._kept = 0

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """A learner from the content of a saved file. Raises ValueError when it holds something else."""
        architecture, tensors = weights_file.read(data, cls.kind)
        if architecture.length != cls.lookback:
            raise ValueError(f"it looks at {architecture.length} bars, this version at {cls.lookback}")
        learner = cls(rounds=architecture.rounds, tuning=architecture.shape)
        learner._fitted, learner._kept = learner._build(architecture.width), architecture.rounds
        learner._fitted.load_state_dict(tensors)
        learner._fitted.eval()
        return learner

    def _build(self, width: int) -> nn.Module:
        return self.network(width, self.lookback, **self.shape)

    @property
    def fitted(self) -> nn.Module:
        if self._fitted is None:
            raise RuntimeError("fit the learner first")
        return self._fitted

    @property
    def best_rounds(self) -> int:
        """Passes over the data."""
        return self._kept

    def fit(self, x: Windows, y: Labels, weight: Weights, valid: Validation | None) -> None:
        """Keeps the best pass on `valid` when given; else makes them all."""
        width = x.rows.shape[1]
        self._fitted, self._kept = fitting.fit(lambda: self._build(width), self.lookback, x, y, weight, valid, self.budget)

    def predict(self, x: Windows) -> NDArray[np.float64]:
        """Probability of the positive class, shape [n]."""
        return fitting.predict(self.fitted, self.lookback, x)

    def contributions(self, x: Windows) -> NDArray[np.float64]:
        """What each feature does to the log-odds, shape [n, k]: the prediction, less the one with that feature at its training median in every
        bar of the window (Robnik-Sikonja and Kononenko, IEEE TKDE 20(5), 2008; see signals.learners.sk)."""
        median = self.fitted.scaling.median.numpy()
        k = x.rows.shape[1]
        out = np.empty((x.at.size, k))
        for i, row in enumerate(x.at):
            window = x.gather(np.array([row]), self.lookback)[0]
            bars = np.tile(window, (k + 1, 1, 1))
            bars[np.arange(k), :, np.arange(k)] = median[:, None]
            stacked = Windows(
                bars.reshape(-1, k), np.repeat(np.arange(k + 1) * self.lookback, self.lookback), np.arange(1, k + 2) * self.lookback - 1
            )
            odds = _log_odds(self.predict(stacked))
            out[i] = odds[k] - odds[:k]
        return out

    def save(self, path: str) -> str:
        """Write `path` + ".safetensors" and return that name."""
        architecture = Architecture(self.kind, self.fitted.scaling.mean.numel(), self.lookback, self._kept, self.shape)
        target = Path(f"{path}.{self.suffix}")
        target.write_bytes(weights_file.write(self.fitted, architecture))
        return str(target)


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.clip(probability, FLOOR, 1.0 - FLOOR)
    return np.asarray(np.log(p) - np.log1p(-p))
