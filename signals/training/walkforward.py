"""Fitting: out-of-fold predictions by walk-forward, the final learners, and the check that a shuffled target teaches nothing.

The learners leave Python's lock while they fit, so two of them are fitted at a time in two threads, each on one core.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from signals import ensemble, folds
from signals.learners import learner
from signals.ports import CHECKPOINT, SIDES, Learner
from signals.training import figures
from signals.training.panel import Panel, UnusableHistory
from signals.training.params import TrainingParams

Array = NDArray[np.float64]
VALIDATION_SHARE = 0.15
SHUFFLES = 3
SHUFFLE_ROUNDS = 40
SHUFFLE_DEVIATIONS = 3.5
"""A model is refused when this test fails, so chance has to fail it less than once in a thousand trainings."""
LOOK_UP_S = 1.0


class OutOfFold(NamedTuple):
    """folds[side]; raw float64 [m, 2, learners] in the order of the training's learners, NaN where a row was never in a test block; rounds[side][kind] of each fold."""

    folds: tuple[list[folds.Fold], list[folds.Fold]]
    raw: Array
    rounds: dict[tuple[int, str], list[int]]


def new_learner(kind: str, params: TrainingParams, rounds: int | None = None) -> Any:
    """An unfitted learner with the training's tuning of it, `rounds` in place of the training's bound."""
    return learner(kind)(rounds=rounds or params.rounds, patience=params.patience, seed=params.seed, tuning=params.tuning.get(kind))


def fit_fold(panel: Panel, side: int, fold: folds.Fold, kind: str, params: TrainingParams) -> tuple[Array, int]:
    """Out-of-fold predictions of one learner, and how many rounds it kept."""
    start, end = panel.start_ms[fold.train], panel.end_ms[fold.train, side]
    fit, valid = folds.validation_tail(start, end, share=VALIDATION_SHARE, embargo_ms=params.embargo_ms)
    model = new_learner(kind, params)
    y, weight = panel.y[fold.train, side], panel.weight[fold.train, side]
    if fit.sum() >= 100 and valid.sum() >= 50:
        held = panel.inputs(model, fold.train[valid]), y[valid]
        model.fit(panel.inputs(model, fold.train[fit]), y[fit], weight[fit], held)
    else:
        model.fit(panel.inputs(model, fold.train), y, weight, None)
    return model.predict(panel.inputs(model, fold.test)), model.best_rounds


def _in_two_threads(jobs: Iterable[tuple[Any, Callable[[], Any]]], done: Callable[[Any], None]) -> dict[Any, Any]:
    """Run the jobs and return their results by key; `done` is called in the caller's own thread. The first failure ends the rest, and so
    does a CHECKPOINT that raises: the caller's thread asks it every LOOK_UP_S, the others between rounds."""
    results = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = {pool.submit(copy_context().run, job): key for key, job in jobs}
        waiting = set(futures)
        try:
            while waiting:
                over, waiting = wait(waiting, timeout=LOOK_UP_S, return_when=FIRST_COMPLETED)
                CHECKPOINT.get()()
                for future in over:
                    results[futures[future]] = future.result()
                    done(futures[future])
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return results


def split(panel: Panel, params: TrainingParams) -> tuple[list[folds.Fold], list[folds.Fold]]:
    """The walk-forward folds of each side. Raises UnusableHistory when a fold would be empty."""
    long, short = panel.end_ms.T
    try:
        return (
            folds.walk_forward(panel.start_ms, long, folds=params.folds, embargo_ms=params.embargo_ms),
            folds.walk_forward(panel.start_ms, short, folds=params.folds, embargo_ms=params.embargo_ms),
        )
    except ValueError as error:
        raise UnusableHistory(f"{', '.join(panel.symbols)}: {error}", field="folds") from error


def out_of_fold(panel: Panel, params: TrainingParams, tell: Callable[[str], None]) -> OutOfFold:
    """Every learner's prediction for every row of a test block, each by a model that saw only labels that ended before that block."""
    blocks = split(panel, params)
    for kind in params.learners:
        learner(kind)  # imported here once: two threads importing at the same time would wait for each other
    keys = [(fold.number, side, kind) for fold in blocks[0] for side in SIDES for kind in params.learners]

    def job(number: int, side: int, kind: str) -> Callable[[], Any]:
        return lambda: fit_fold(panel, side, blocks[side][number - 1], kind, params)

    results = _in_two_threads([(key, job(*key)) for key in keys], lambda key: tell(f"fold {key[0]} of {params.folds}"))
    raw = np.full((panel.start_ms.size, 2, len(params.learners)), np.nan)
    rounds: dict[tuple[int, str], list[int]] = {(side, kind): [] for side in SIDES for kind in params.learners}
    for number, side, kind in keys:
        prediction, kept = results[number, side, kind]
        raw[blocks[side][number - 1].test, side, params.learners.index(kind)] = prediction
        rounds[side, kind].append(kept)
    return OutOfFold(blocks, raw, rounds)


class Blend(NamedTuple):
    """How raw predictions become one calibrated probability."""

    weights: tuple[float, ...]
    calibration: ensemble.Calibration

    def apply(self, raw: Array) -> Array:
        """raw [n, kinds] to [n]."""
        return self.calibration.apply(raw @ np.array(self.weights))


def blend(panel: Panel, side: int, raw: Array, rows: NDArray[np.int64]) -> Blend:
    """Weights and calibration from the out-of-fold predictions `raw` [m, kinds] of `rows`."""
    y, weight = panel.y[rows, side], panel.weight[rows, side]
    weights = ensemble.blend_weights(y, raw[rows], weight)
    calibration = ensemble.isotonic(y, raw[rows] @ np.array(weights), weight)
    independent = figures.independent(y.astype(np.float64), weight, panel.start_ms[rows])
    base_rate = float(np.average(y, weights=weight))
    return Blend(weights, ensemble.sober(calibration, base_rate=base_rate, independent=independent, fair=panel.plan.fair_chance))


def honest_probabilities(panel: Panel, side: int, oof: OutOfFold, params: TrainingParams) -> Array:
    """Calibrated probabilities as they would have been live: each block blended and calibrated on earlier blocks alone.

    Shape [m]; NaN for the first block, which has no earlier one, and outside all blocks.
    """
    raw = oof.raw[:, side]
    out = np.full(raw.shape[0], np.nan)
    tested = np.isfinite(raw).all(axis=1)
    for fold in oof.folds[side][1:]:
        earlier = tested & (panel.end_ms[:, side] < fold.test_start_ms - params.embargo_ms)
        out[fold.test] = blend(panel, side, raw, np.flatnonzero(earlier)).apply(raw[fold.test])
    return out


def final_learners(panel: Panel, oof: OutOfFold, params: TrainingParams, tell: Callable[[str], None]) -> dict[tuple[int, str], Learner]:
    """Learners on the whole training span, with the median number of rounds that the folds kept."""

    def job(side: int, kind: str) -> Callable[[], Learner]:
        def fit() -> Learner:
            model: Learner = new_learner(kind, params, rounds=max(1, int(np.median(oof.rounds[side, kind]))))
            model.fit(panel.inputs(model), panel.y[:, side], panel.weight[:, side], None)
            return model

        return fit

    keys = [(side, kind) for side in SIDES for kind in params.learners]
    results = _in_two_threads([(key, job(*key)) for key in keys], lambda _: tell("final fit"))
    return {key: results[key] for key in keys}


def shuffled_auc(panel: Panel, side: int, split: Sequence[folds.Fold], params: TrainingParams) -> dict[str, Any]:
    """Train on permuted labels and test on permuted labels of the last block: an AUC away from 0.5 means that rows leak between the two."""
    fold = split[-1]
    values = []
    for number in range(SHUFFLES):
        y = np.random.default_rng(params.seed + number).permutation(panel.y[:, side])
        model = new_learner(params.checker, params, SHUFFLE_ROUNDS)
        model.fit(panel.x[fold.train], y[fold.train], np.ones(fold.train.size), None)
        values.append(figures.auc(y[fold.test], model.predict(panel.x[fold.test])) or 0.5)
    # Variance of an AUC under the null of Mann and Whitney 1947: (n + 1) / (12 * hits * misses).
    hits = max(1.0, fold.test.size * float(panel.y[:, side].mean()))
    misses = max(1.0, fold.test.size - hits)
    tolerance = max(0.03, SHUFFLE_DEVIATIONS * np.sqrt((fold.test.size + 1) / (12.0 * hits * misses * SHUFFLES)))
    return {
        "learner": params.checker,
        "auc": values,
        "n": int(fold.test.size),
        "tolerance": float(tolerance),
        "passed": bool(abs(np.mean(values) - 0.5) <= tolerance),
    }
