"""LightGBM, one thread, fixed seeds: the same data give the same model text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from signals.ports import CHECKPOINT

SUFFIX = "txt"
LEAST_ROUNDS = 20
PARAMS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 200.0,
    "max_bin": 63,
    "bin_construct_sample_cnt": 20_000,
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
"""Bins come from bin_construct_sample_cnt samples: neighbours are nearly alike, and with all of them finding the edges would take most of a fit's
time and memory."""
Validation = tuple[NDArray[np.float32], NDArray[np.int8]]


class LightGBMLearner:
    """Gradient-boosted trees in LightGBM's text format."""

    kind = "lightgbm"
    suffix = SUFFIX
    lookback = 1

    def __init__(
        self,
        *,
        rounds: int = 200,
        patience: int = 25,
        seed: int = 7,
        tuning: Mapping[str, float] | None = None,
        booster: lgb.Booster | None = None,
    ) -> None:
        self.rounds = rounds
        self.patience = patience
        self.seed = seed
        self.tuning = dict(tuning or {})
        self._booster = booster

    @classmethod
    def from_bytes(cls, data: bytes) -> "LightGBMLearner":
        """A learner from the content of a saved file."""
        return cls(booster=lgb.Booster(model_str=data.decode()))

    @property
    def booster(self) -> lgb.Booster:
        if self._booster is None:
            raise RuntimeError("fit the learner first")
        return self._booster

    @property
    def best_rounds(self) -> int:
        """Trees that predict."""
        return int(self.booster.num_trees())

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int8], weight: NDArray[np.float64], valid: Validation | None) -> None:
        """Stops early on `valid` when given and keeps the trees up to the best round, at least LEAST_ROUNDS, for an early best on few labels is
        luck; else grows all rounds.

        Weights count by their proportions: lambda_l2 is measured in samples of mean weight, whatever scale uniqueness has.
        """
        params = {**PARAMS, **self.tuning, "seed": self.seed}
        data = lgb.Dataset(x, label=y, weight=weight / weight.mean(), params=params, free_raw_data=True)
        if valid is None:
            self._booster = lgb.train(params, data, num_boost_round=self.rounds, callbacks=[_look_up])
            return
        held = lgb.Dataset(valid[0], label=valid[1], reference=data, params=params)
        stop = lgb.early_stopping(self.patience, verbose=False)
        booster = lgb.train(
            params, data, num_boost_round=self.rounds, valid_sets=[held], callbacks=[stop, _look_up], keep_training_booster=True
        )
        kept = min(booster.num_trees(), max(booster.best_iteration, LEAST_ROUNDS))
        self._booster = lgb.Booster(model_str=booster.model_to_string(num_iteration=kept))

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of the positive class, shape [n]."""
        return np.asarray(self.booster.predict(x, num_threads=1), dtype=np.float64)

    def contributions(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Each feature's part of the log-odds, shape [n, k] (tree SHAP, Lundberg 2018); the bias column is left out."""
        return np.asarray(self.booster.predict(x, pred_contrib=True, num_threads=1), dtype=np.float64)[:, :-1]

    def save(self, path: str) -> str:
        """Write `path` + ".txt" and return that name."""
        target = Path(f"{path}.{SUFFIX}")
        target.write_text(self.booster.model_to_string())
        return str(target)


def _look_up(_: Any) -> None:
    CHECKPOINT.get()()
