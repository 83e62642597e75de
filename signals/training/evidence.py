"""The parts of a model's metrics that say how far to believe it: leak tests, trades, confidence, paths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exchanges.costs import CostModel
from exchanges.ports import CandleFrame
from signals import folds
from signals.features.regime import NAMES as REGIMES
from signals.net_profit import EntryRule
from signals.plan import PlanConfig
from signals.ports import SIDE_NAME, SIDES
from signals.training import confidence, edge, lag, leaks, offers, paths, trades, walkforward
from signals.training.panel import History, Panel
from signals.training.params import TrainingParams
from traderai.lib import clock

Array = NDArray[np.float64]
Split = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def leak_tests(
    panel: Panel,
    known: Sequence[History],
    btc: CandleFrame | None,
    oof: walkforward.OutOfFold,
    shuffled: dict[str, Any],
    params: TrainingParams,
    *,
    plan: PlanConfig,
    costs: CostModel,
) -> dict[str, Any]:
    """Every leak test with its verdict, and `failures` in words. `known` and `btc` hold training time only."""
    tests: dict[str, Any] = {
        "truncated_features": leaks.truncated_features(panel, known, btc, seed=params.seed),
        "label_spans": leaks.label_spans(panel, known, used_splits(panel, oof, params), plan=plan, costs=costs, seed=params.seed),
        "shifted_features": leaks.shifted_features(panel, known, horizon_ms=plan.max_hold_ms),
        "lagged_features": {SIDE_NAME[side]: lag.lagged_score(panel, side, oof.folds[side], params) for side in SIDES},
        "shuffled_labels": shuffled,
    }
    failed = leaks.failures(tests)
    return {**tests, "passed": not failed, "failures": failed}


def used_splits(panel: Panel, oof: walkforward.OutOfFold, params: TrainingParams) -> Iterator[Split]:
    """(start, end, training rows, test rows) of every split that a figure or a stopping rule of this training rests on."""
    for side in SIDES:
        start, end = panel.start_ms, panel.end_ms[:, side]
        for fold in oof.folds[side]:
            yield start, end, fold.train, fold.test
            fit, valid = folds.validation_tail(
                start[fold.train], end[fold.train], share=walkforward.VALIDATION_SHARE, embargo_ms=params.embargo_ms
            )
            yield start, end, fold.train[fit], fold.train[valid]
    if not params.cpcv_groups:
        return
    small = paths.thinned(panel)
    for side in SIDES:
        start, end = small.start_ms, small.end_ms[:, side]
        try:
            for split in paths.splits(small, side, params):
                fitted, aside = paths.parts(small, side, split, params)
                yield start, end, fitted, split.test
                yield start, end, aside, split.test
                yield start, end, fitted, aside
        except ValueError:  # the paths say themselves why there are none
            return


def sections(
    panel: Panel,
    oof: walkforward.OutOfFold,
    honest: Mapping[int, Array],
    params: TrainingParams,
    tests: dict[str, Any],
    spread: dict[str, Any],
    rule: EntryRule,
) -> dict[str, Any]:
    """Entries of the metrics: `trading`, `edge`, `conformal`, `precision`, `paths` and `leak_tests`.

    honest -- by side: out-of-fold probabilities [m] calibrated on earlier blocks alone, NaN where there is none
    """
    traded = trading(panel, oof, honest, params, rule)
    return {
        "leak_tests": tests,
        "trading": traded,
        "edge": edge.found(traded["overall"]),
        "conformal": coverage(panel, oof, honest, params),
        "precision": {SIDE_NAME[side]: _precision(panel, side, honest[side]) for side in SIDES},
        "paths": spread,
    }


def trading(
    panel: Panel, oof: walkforward.OutOfFold, honest: Mapping[int, Array], params: TrainingParams, rule: EntryRule
) -> dict[str, Any]:
    """Trades one after another by the entry rule: overall, by fold, symbol and regime."""
    sample = np.flatnonzero(np.isfinite(np.column_stack([honest[side] for side in SIDES])).any(axis=1))
    offered = offers.out_of_fold(panel, honest, oof, params, rule)
    made = trades.taken(panel, offered)

    def told(rows: NDArray[np.int64]) -> dict[str, Any]:
        return {**_span(panel, rows), **trades.describe(panel, made, offered, rows)}

    def grouped(group: NDArray[np.int64], names: Mapping[int, str]) -> dict[str, Any]:
        found = {name: sample[group[sample] == code] for code, name in names.items()}
        return {name: told(rows) for name, rows in found.items() if rows.size}

    return {
        "method": trades.METHOD,
        "rule": asdict(rule),
        "overall": {**told(sample), **trades.believed(panel, made, sample, trials=params.trials, variance=params.trial_variance)},
        "folds": [{"number": fold.number, **told(np.intersect1d(fold.test, sample))} for fold in oof.folds[0][1:]],
        "symbols": grouped(panel.symbol, dict(enumerate(panel.symbols))),
        "regimes": grouped(panel.regime, REGIMES),
    }


def coverage(panel: Panel, oof: walkforward.OutOfFold, honest: Mapping[int, Array], params: TrainingParams) -> dict[str, Any]:
    """Measured coverage of prediction sets by side, and the thresholds that the live model carries."""
    measured = {
        SIDE_NAME[side]: confidence.measured(panel, side, honest[side], oof.folds[side], embargo_ms=params.embargo_ms) for side in SIDES
    }
    live = {SIDE_NAME[side]: confidence.calibrated(panel, side, honest[side])._asdict() for side in SIDES}
    reason = (
        "" if any(measured.values()) else "at least 3 folds are needed: one to calibrate probabilities, one for thresholds, one to measure"
    )
    return {"method": confidence.METHOD, "reason": reason, "sides": measured, "live": live}


def _precision(panel: Panel, side: int, probability: Array) -> list[dict[str, Any]]:
    rows = np.flatnonzero(np.isfinite(probability))
    return confidence.precision_by_share(panel.y[rows, side], probability[rows], panel.weight[rows, side], panel.start_ms[rows])


def _span(panel: Panel, rows: NDArray[np.int64]) -> dict[str, Any]:
    if not rows.size:
        return {"start": None, "end": None}
    first, last = int(panel.bar_ms[rows].min()), int(panel.bar_ms[rows].max())
    return {"start": clock.from_ms(first).isoformat(), "end": clock.from_ms(last).isoformat()}


def sentence(found: dict[str, Any]) -> str:
    """What the leak tests and the trades out of fold say, in plain words."""
    tests, shown = found["leak_tests"], found["edge"]
    words = "All leak tests passed." if tests["passed"] else f"LEAK: {'; '.join(tests['failures'])}."
    return f"{words} {'An edge' if shown['found'] else 'No edge'} was found out of fold: {shown['reason']}."
