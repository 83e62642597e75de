"""Combinatorial purged cross-validation: not one out-of-sample history but several, so that a result shows its spread.

Source: Lopez de Prado, Advances in Financial Machine Learning, 2018, chapter 12. Time is cut into equal groups; every choice of test groups is
predicted by a model that learned from the others, purged and embargoed. Of the groups left to train on, one calibrates and does not fit; it is
purged against the others just so. Each group's predictions make up whole histories, the paths. Training data lie on both sides of a
test group here, so the paths measure robustness, not what a trader could have had: that is the walk-forward's part.

One learner of the training (TrainingParams.checker) stands for the ensemble, on at most MOST_ROWS samples, to keep this a fraction of the training's time.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from signals import ensemble, folds
from signals.net_profit import EntryRule
from signals.ports import SIDE_NAME, SIDES
from signals.training import figures, offers, trades, walkforward
from signals.training.panel import Panel
from signals.training.params import TrainingParams

Array = NDArray[np.float64]
MOST_ROWS = 20_000
MOST_ROUNDS = 60
SPREAD = ("sharpe", "mean_net_pct", "profit_factor", "hit_rate", "auc_long", "auc_short")


class Predictions(NamedTuple):
    """Of every split of one side: what was offered of its test rows (signals.training.offers) and their raw probability, float64 [splits, m],
    NaN elsewhere."""

    offered: Array
    raw: Array
    splits: list[folds.Combination]


def thinned(panel: Panel) -> Panel:
    """Every so many samples of each symbol, so that at most about MOST_ROWS are left."""
    every = -(-panel.start_ms.size // MOST_ROWS)
    if every == 1:
        return panel
    times = np.unique(panel.bar_ms)
    rows = np.isin(panel.bar_ms, times[::every])
    kept: dict[str, Any] = {name: value[rows] for name, value in panel._asdict().items() if isinstance(value, np.ndarray)}
    return panel._replace(**kept)


def validate(panel: Panel, params: TrainingParams, rounds: dict[int, int], tell: Callable[[str], None], rule: EntryRule) -> dict[str, Any]:
    """Every path's figures and their spread.

    rule -- what is traded; nobody abstains here, for no group is left to measure a coverage on. rounds -- trees by side, as walk-forward kept them. `tell` is called before each split of each side. When the history does not allow the
    splits the answer holds `reason` and no paths.
    """
    small = thinned(panel)
    asked = {
        "groups": params.cpcv_groups,
        "test_groups": params.cpcv_test_groups,
        "rows": int(small.start_ms.size),
        "learner": params.checker,
    }
    if not params.cpcv_groups:
        return {**asked, "reason": "not asked for", "each": []}
    try:
        made = {side: _predict(small, side, params, min(MOST_ROUNDS, rounds[side]), tell, replace(rule, coverage=0.0)) for side in SIDES}
    except ValueError as error:
        return {**asked, "reason": str(error), "each": []}
    each = [_path(small, made, path) for path in folds.paths(params.cpcv_groups, params.cpcv_test_groups)]
    ratios = [path["sharpe"] for path in each if path["sharpe"] is not None]
    return {
        **asked,
        "reason": "",
        "splits": len(made[0].splits),
        "each": each,
        "spread": {name: spread([path[name] for path in each]) for name in SPREAD},
        "share_without_gain": float(np.mean([ratio <= 0.0 for ratio in ratios])) if ratios else None,
    }


def splits(panel: Panel, side: int, params: TrainingParams) -> list[folds.Combination]:
    """Those of one side. Raises ValueError when the history does not allow them."""
    return folds.combinatorial(
        panel.start_ms,
        panel.end_ms[:, side],
        groups=params.cpcv_groups,
        test_groups=params.cpcv_test_groups,
        embargo_ms=params.embargo_ms,
    )


def parts(panel: Panel, side: int, split: folds.Combination, params: TrainingParams) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(fit, calibrate): the split's training rows with one group set aside, another one for each split, purged against the rest."""
    group = folds.time_groups(panel.start_ms, params.cpcv_groups)
    left = [number for number in range(params.cpcv_groups) if number not in split.test_groups]
    aside = group[split.train] == left[split.number % len(left)]
    start, end = panel.start_ms[split.train], panel.end_ms[split.train, side]
    fit = folds.trainable(start, end, aside, embargo_ms=params.embargo_ms)
    if not (fit.any() and aside.any()):
        raise ValueError(f"nothing is left to fit or to calibrate when the parts {split.test_groups} are held out: use more groups")
    return split.train[fit], split.train[aside]


def _predict(panel: Panel, side: int, params: TrainingParams, rounds: int, tell: Callable[[str], None], rule: EntryRule) -> Predictions:
    found = splits(panel, side, params)
    offered, raw = (np.full((len(found), panel.start_ms.size), np.nan) for _ in range(2))
    for split in found:
        tell(f"path split {split.number + 1} of {len(found)}, {SIDE_NAME[side]}")
        fit, aside = parts(panel, side, split, params)
        model = walkforward.new_learner(params.checker, params, rounds)
        model.fit(panel.x[fit], panel.y[fit, side], panel.weight[fit, side], None)
        y, weight = panel.y[aside, side], panel.weight[aside, side]
        fitted = ensemble.isotonic(y, model.predict(panel.x[aside]), weight)
        independent = figures.independent(y.astype(np.float64), weight, panel.start_ms[aside])
        base_rate = float(np.average(y, weights=weight))
        sober = ensemble.sober(fitted, base_rate=base_rate, independent=independent, fair=panel.plan.fair_chance)
        raw[split.number, split.test] = model.predict(panel.x[split.test])
        said, paid = sober.apply(raw[split.number, split.test]), offers.payoff(panel, side, fit)
        offered[split.number, split.test] = offers.expectancy(panel, side, split.test, said, paid, rule)
    return Predictions(offered, raw, found)


def _path(panel: Panel, made: dict[int, Predictions], path: NDArray[np.int64]) -> dict[str, Any]:
    """One history: each group predicted by the split that the path names."""
    group = folds.time_groups(panel.start_ms, path.size)
    every = np.arange(panel.start_ms.size)
    offered = np.column_stack([made[side].offered[path[group], every] for side in SIDES])
    told = trades.describe(panel, trades.taken(panel, offered), offered, every)
    aucs = {f"auc_{SIDE_NAME[side]}": figures.auc(panel.y[:, side], made[side].raw[path[group], every]) for side in SIDES}
    names = ("trades", "hit_rate", "break_even", "profit_factor", "mean_net_pct", "sharpe", "coverage")
    return {"splits": [int(number) for number in path], **{name: told[name] for name in names}, **aucs}


def spread(values: list[float | None]) -> dict[str, Any]:
    """Least, median, highest, mean and deviation of the values that are defined, and how many those are."""
    known = np.array([value for value in values if value is not None])
    if not known.size:
        return {"n": 0, "min": None, "median": None, "max": None, "mean": None, "deviation": None}
    return {
        "n": int(known.size),
        "min": float(known.min()),
        "median": float(np.median(known)),
        "max": float(known.max()),
        "mean": float(known.mean()),
        "deviation": float(known.std(ddof=1)) if known.size > 1 else None,
    }
