"""XGBoost, one thread, fixed seeds: the same data give the same model bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from signals.ports import CHECKPOINT

SUFFIX = "ubj"
LEAST_ROUNDS = 20
PARAMS: dict[str, Any] = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "eta": 0.05,
    "max_depth": 4,
    "min_child_weight": 50.0,
    "subsample": 0.7,
    "colsample_bytree": 0.4,
    "lambda": 10.0,
    "max_bin": 64,
    "tree_method": "hist",
    "nthread": 1,
    "verbosity": 0,
}
Validation = tuple[NDArray[np.float32], NDArray[np.int8]]


class XGBoostLearner:
    """Gradient-boosted trees in XGBoost's UBJSON format."""

    kind = "xgboost"
    suffix = SUFFIX
    lookback = 1

    def __init__(
        self,
        *,
        rounds: int = 200,
        patience: int = 25,
        seed: int = 7,
        tuning: Mapping[str, float] | None = None,
        booster: xgb.Booster | None = None,
    ) -> None:
        self.rounds = rounds
        self.patience = patience
        self.seed = seed
        self.tuning = dict(tuning or {})
        self._booster = booster

    @classmethod
    def from_bytes(cls, data: bytes) -> "XGBoostLearner":
        """A learner from the content of a saved file."""
        booster = xgb.Booster(params={"nthread": 1})
        booster.load_model(bytearray(data))
        return cls(booster=booster)

    @property
    def booster(self) -> xgb.Booster:
        if self._booster is None:
            raise RuntimeError("fit the learner first")
        return self._booster

    @property
    def best_rounds(self) -> int:
        """Trees that predict."""
        return int(self.booster.num_boosted_rounds())

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int8], weight: NDArray[np.float64], valid: Validation | None) -> None:
        """Stops early on `valid` when given, and keeps the trees up to the best round, at least LEAST_ROUNDS, for an early best on few labels is luck; else grows all rounds.

        Weights count by their proportions: min_child_weight is measured in samples of mean weight, or labels that overlap much would never be split.
        """
        params = {**PARAMS, **self.tuning, "seed": self.seed}
        data = xgb.QuantileDMatrix(x, label=y, weight=weight / weight.mean(), max_bin=PARAMS["max_bin"], nthread=1)
        if valid is None:
            self._booster = xgb.train(params, data, num_boost_round=self.rounds, callbacks=[_LookUp()])
            return
        held = xgb.DMatrix(valid[0], label=valid[1], nthread=1)
        booster = xgb.train(
            params,
            data,
            num_boost_round=self.rounds,
            evals=[(held, "valid")],
            early_stopping_rounds=self.patience,
            verbose_eval=False,
            callbacks=[_LookUp()],
        )
        self._booster = booster[: min(booster.num_boosted_rounds(), max(booster.best_iteration + 1, LEAST_ROUNDS))]

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of the positive class, shape [n]."""
        return np.asarray(self.booster.inplace_predict(x), dtype=np.float64)

    def contributions(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Each feature's part of the log-odds, shape [n, k] (tree SHAP, Lundberg 2018); the bias column is left out."""
        return np.asarray(self.booster.predict(xgb.DMatrix(x, nthread=1), pred_contribs=True), dtype=np.float64)[:, :-1]

    def save(self, path: str) -> str:
        """Write `path` + ".ubj" and return that name."""
        target = Path(f"{path}.{SUFFIX}")
        target.write_bytes(self.booster.save_raw(raw_format="ubj"))
        return str(target)


class _LookUp(xgb.callback.TrainingCallback):
    """Between two trees."""

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        CHECKPOINT.get()()
        return False
