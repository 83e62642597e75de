"""Several learners, one calibrated probability per side. Pure: learners come in as objects that predict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from signals import conformal
from signals.net_profit import Payoff
from signals.plan import PlanConfig
from signals.ports import SIDES, Contribution, Learner, Prediction
from signals.sequences import Windows

Array = NDArray[np.float64]
FLOOR = 1e-6
MAX_BINS = 50
BIN_LABELS = 20.0
PRIOR_LABELS = 20.0
DRIFT_LABELS = 100.0
"""Independent labels after which half of what a base rate has above a fair game's is believed."""


class Calibration(NamedTuple):
    """A rising step-free map from raw to calibrated probability: straight lines between the points, flat outside."""

    raw: tuple[float, ...]
    calibrated: tuple[float, ...]

    def apply(self, probability: Array) -> Array:
        """Shape [n] in, [n] out; NaN stays NaN."""
        return np.where(np.isnan(probability), np.nan, np.interp(probability, self.raw, self.calibrated))


IDENTITY = Calibration((0.0, 1.0), (0.0, 1.0))


def log_loss(label: NDArray[np.int8], probability: Array, weight: Array | None = None) -> float:
    """Weighted mean of -ln(probability of what happened)."""
    p = np.clip(probability, FLOOR, 1.0 - FLOOR)
    return float(np.average(-np.where(label == 1, np.log(p), np.log1p(-p)), weights=weight))


def blend_weights(label: NDArray[np.int8], predictions: Array, weight: Array, *, rounds: int = 200) -> tuple[float, ...]:
    """Convex weights of the learners that minimise the out-of-fold log loss of their mean.

    predictions -- float64 [n, learners]. Exponentiated gradient from equal weights (Kivinen and Warmuth 1997): the loss is convex in
    the weights, so this is deterministic and needs no solver.
    """
    shares = np.full(predictions.shape[1], 1.0 / predictions.shape[1])
    total = weight.sum()
    for _ in range(rounds):
        p = np.clip(predictions @ shares, FLOOR, 1.0 - FLOOR)
        pull = weight * np.where(label == 1, -1.0 / p, 1.0 / (1.0 - p))
        shares = shares * np.exp(-(pull @ predictions) / total)
        shares /= shares.sum()
    return tuple(float(share) for share in shares)


def isotonic(label: NDArray[np.int8], probability: Array, weight: Array) -> Calibration:
    """Isotonic calibration on out-of-fold predictions; weights are uniqueness, so that their sum counts independent labels.

    Predictions are averaged in bins of equal weight, neighbours that fall are pooled (pool adjacent violators, Ayer et al. 1955), and each
    pool is drawn towards the base rate as if PRIOR_LABELS more labels had been average: a lucky handful cannot claim certainty.
    Raises ValueError without predictions.
    """
    if label.size == 0:
        raise ValueError("calibration needs out-of-fold predictions")
    order = np.argsort(probability, kind="stable")
    p, y, w = probability[order], label[order].astype(np.float64), weight[order]
    reached = np.cumsum(w)
    bins = int(np.clip(reached[-1] / BIN_LABELS, 1, MAX_BINS))
    bin_of = np.minimum((reached / reached[-1] * bins * (1.0 - 1e-12)).astype(np.int64), bins - 1)
    total = np.bincount(bin_of, weights=w, minlength=bins)
    filled = total > 0.0
    raw = np.bincount(bin_of, weights=w * p, minlength=bins)[filled] / total[filled]
    rate = np.bincount(bin_of, weights=w * y, minlength=bins)[filled] / total[filled]
    base = float(np.average(y, weights=w))
    pools = _pooled(list(zip(total[filled].tolist(), raw.tolist(), rate.tolist(), strict=True)))
    drawn = [(size, x, (size * mean + PRIOR_LABELS * base) / (size + PRIOR_LABELS)) for size, x, mean in pools]
    rising = _pooled(drawn)
    return Calibration(tuple(x for _, x, _ in rising), tuple(mean for _, _, mean in rising))


def sober(calibration: Calibration, *, base_rate: float, independent: float, fair: float) -> Calibration:
    """The same map, lowered by what the base rate may owe to a lucky stretch.

    A coin that happened to rise while it was watched hits every long target more often than a fair game would, and a map fitted there calls
    any long a winner. So the base rate's excess over `fair` is believed as far as its `independent` labels go: n / (n + DRIFT_LABELS) of
    it. A base rate below `fair` is left alone.
    """
    doubt = max(0.0, base_rate - fair) * DRIFT_LABELS / (independent + DRIFT_LABELS)
    return Calibration(calibration.raw, tuple(max(0.0, mean - doubt) for mean in calibration.calibrated))


def _pooled(points: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """(weight, x, mean) with neighbours merged until the means rise."""
    pools: list[tuple[float, float, float]] = []
    for point in points:
        pools.append(point)
        while len(pools) > 1 and pools[-2][2] >= pools[-1][2]:
            (w2, x2, m2), (w1, x1, m1) = pools.pop(), pools.pop()
            pools.append((w1 + w2, (w1 * x1 + w2 * x2) / (w1 + w2), (w1 * m1 + w2 * m2) / (w1 + w2)))
    return pools


def payoff(tp1_hit: NDArray[np.int8], result_atr: Array, hours: Array) -> Payoff:
    """What positions brought, split by whether TP1 was hit; arrays of shape [n] of known outcomes of one side.

    Raises ValueError when one of the two kinds never happened: such a plan has nothing to learn.
    """
    won = tp1_hit == 1
    wins, losses = int(won.sum()), int((~won).sum())
    if not wins or not losses:
        raise ValueError(f"TP1 was hit {wins} times and missed {losses} times: training needs both")
    return Payoff(
        float(result_atr[won].mean()), float(result_atr[~won].mean()), float(hours[won].mean()), float(hours[~won].mean()), wins, losses
    )


def agreement(each: Array, shares: Array) -> Array:
    """How much the learners agree: each [n, learners] probabilities, shares [learners] their weights; [n] from 0 to 1.

    1 less the mean absolute difference of two learners drawn by weight, not the same one twice (Gini's mean difference, weighted: Yitzhaki
    2003). So it does not fall for being asked of more learners, as a range would; one that hardly counts hardly counts here; two learners
    agree to 1 - |p1 - p2| whatever their weights, and one alone to 1.
    """
    w = np.maximum(shares, FLOOR)
    apart, total = np.zeros(each.shape[0]), 0.0
    for i in range(w.size):
        for j in range(i + 1, w.size):
            apart += w[i] * w[j] * np.abs(each[:, i] - each[:, j])
            total += w[i] * w[j]
    return np.asarray(1.0 - apart / total) if total else np.ones(each.shape[0])


@dataclass(frozen=True, slots=True)
class SideModel:
    """One side: learners by kind, the weight of each, the calibration of their mean, and thresholds for abstaining when they were measured."""

    learners: Mapping[str, Learner]
    weights: Mapping[str, float]
    calibration: Calibration
    payoff: Payoff
    thresholds: conformal.Conformal | None = None


class Ensemble:
    """A trained model of both sides: signals.ports.TrainedEnsemble. Rows with a value that is not finite get NaN, not a guess."""

    def __init__(self, feature_names: Sequence[str], sides: Sequence[SideModel], plan: PlanConfig | None = None) -> None:
        self.feature_names = tuple(feature_names)
        self.sides = tuple(sides)
        self.plan = plan or PlanConfig()
        self.payoffs = (self.sides[0].payoff, self.sides[1].payoff)

    @property
    def lookback(self) -> int:
        """Bars that the learner with the longest memory looks at."""
        return max(learner.lookback for model in self.sides for learner in model.learners.values())

    def predict(self, values: Array, *, starts: NDArray[np.int64] | None = None, at: NDArray[np.int64] | None = None) -> Prediction:
        """Probabilities of n rows; those with an unknown feature get NaN.

        values -- float64 [b, k] in the order of feature_names
        starts -- int64 [b], signals.sequences.run_starts; a model that looks back more than one bar needs it
        at     -- int64 [n], the rows that are asked about; all when absent
        Raises ValueError for another width, and for a model that looks back without `starts`.
        """
        if values.ndim != 2 or values.shape[1] != len(self.feature_names):
            raise ValueError(f"the model needs {len(self.feature_names)} features a row, not an array of shape {values.shape}")
        if starts is None and self.lookback > 1:
            raise ValueError(f"the model looks at {self.lookback} bars: say where the unbroken run of each row starts")
        asked = np.arange(values.shape[0]) if at is None else at
        probability, agreed = np.full((asked.size, 2), np.nan), np.full((asked.size, 2), np.nan)
        usable = np.isfinite(values[asked]).all(axis=1)
        if usable.any():
            x = np.ascontiguousarray(values[asked[usable]], dtype=np.float32)
            windows = None if starts is None or self.lookback == 1 else Windows(values.astype(np.float32), starts, asked[usable])
            for side in SIDES:
                model = self.sides[side]
                each = np.column_stack([learner.predict(x if learner.lookback == 1 else windows) for learner in model.learners.values()])
                shares = np.array([model.weights[kind] for kind in model.learners])
                probability[usable, side] = model.calibration.apply(each @ shares)
                agreed[usable, side] = agreement(each, shares)
        return Prediction(probability, agreed)

    def abstains(self, probability: Array, level: float) -> NDArray[np.bool_]:
        """Which probabilities [n, 2] decide nothing at a coverage of `level`, shape [n, 2]: their prediction set holds both outcomes or none.

        A side that was trained without thresholds never abstains. Raises ValueError for a level that was not calibrated.
        """
        out = np.zeros(probability.shape, dtype=np.bool_)
        for side in SIDES:
            thresholds = self.sides[side].thresholds
            if thresholds is not None:
                out[:, side] = conformal.sets(probability[:, side], thresholds.threshold(level)).abstains
        return out

    def explain(self, rows: Array, side: int, top: int = 5) -> list[Contribution]:
        """The `top` features that moved one prediction most, in log-odds, blended like the probabilities.

        rows -- [k], or for a model that looks back [b, k]: the last bars of one unbroken run, the one that is explained at the end
        """
        run = np.ascontiguousarray(np.atleast_2d(rows), dtype=np.float32)
        row, x = np.atleast_2d(rows)[-1], run[-1:]
        windows = Windows(run, np.zeros(run.shape[0], dtype=np.int64), np.array([run.shape[0] - 1]))
        model = self.sides[side]
        parts = {kind: learner.contributions(x if learner.lookback == 1 else windows)[0] for kind, learner in model.learners.items()}
        total = sum(model.weights[kind] * part for kind, part in parts.items())
        order = np.argsort(-np.abs(np.asarray(total)), kind="stable")[:top]
        return [Contribution(self.feature_names[k], float(row[k]), float(np.asarray(total)[k])) for k in order]


def side_to_json(model: SideModel) -> dict[str, Any]:
    """All of a side but its learners, which are files of their own."""
    thresholds = {} if model.thresholds is None else {"conformal": model.thresholds._asdict()}
    return {
        "weights": dict(model.weights),
        "calibration": {"raw": list(model.calibration.raw), "calibrated": list(model.calibration.calibrated)},
        "payoff": model.payoff._asdict(),
        **thresholds,
    }


def side_from_json(data: Mapping[str, Any], learners: Mapping[str, Learner]) -> SideModel:
    """The inverse of side_to_json. Raises ValueError when a learner with a weight is missing."""
    missing = sorted(set(data["weights"]) - set(learners))
    if missing:
        raise ValueError(f"learners are missing: {', '.join(missing)}")
    calibration = Calibration(tuple(data["calibration"]["raw"]), tuple(data["calibration"]["calibrated"]))
    ordered = {kind: learners[kind] for kind in data["weights"]}
    held = data.get("conformal")
    thresholds = None if held is None else conformal.Conformal(tuple(held["levels"]), tuple(held["thresholds"]), int(held["n"]))
    return SideModel(ordered, dict(data["weights"]), calibration, Payoff(**data["payoff"]), thresholds)
