"""One training from stored candles to an ensemble ready to register. Reads the database, writes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges.ports import CandleFrame
from exchanges.timeframes import TIMEFRAME_MS
from signals import ensemble, features, processing
from signals.distributions import PREDICTIONS, Reference, reference_of
from signals.learners import learner
from signals.net_profit import EntryRule
from signals.ports import SIDE_NAME, SIDES
from signals.strategies import ml_ensemble
from signals.training import confidence, evidence, paths, report, walkforward
from signals.training import panel as panels
from signals.training.params import TrainingParams, to_json


class Trained(NamedTuple):
    """An ensemble, its manifest, the columns of its registry row, what drift is measured against, and why it may not be used, "" when it may."""

    ensemble: ensemble.Ensemble
    manifest: dict[str, Any]
    facts: dict[str, Any]
    reference: Reference
    refusal: str


def train(symbols: Sequence[str], params: TrainingParams, tell: Callable[[str, float], None]) -> Trained:
    """Everything between the candles and the registry. `tell` gets stage and share done; it may raise to stop the work."""
    for kind in params.learners:
        learner(kind)  # one that is not installed is said before anything is read
    tell("reading candles", 0.0)
    known = panels.histories(symbols, params)
    return fit(known, panels.bitcoin(known, params), params, tell, processing.entry_rule(ml_ensemble.TEMPLATE))


def fit(
    known: Sequence[panels.History],
    btc: CandleFrame | None,
    params: TrainingParams,
    tell: Callable[[str, float], None],
    rule: EntryRule = EntryRule(),  # noqa: B008  (frozen)
) -> Trained:
    """The same from histories in memory: validate by walk-forward, calibrate, fit on the whole training span. `rule` says what is traded out of fold."""
    plan, costs = params.plan_config, known[0].market.costs  # of one venue
    step = _counter(len(known), params, tell)
    hold = panels.holdout_of(known, params)
    panel = panels.build(known, btc, hold, params, plan=plan, costs=costs, tell=lambda symbol: step(f"features and labels of {symbol}"))
    step("walk-forward")
    oof = walkforward.out_of_fold(panel, params, step)
    learners = walkforward.final_learners(panel, oof, params, step)
    shuffled = {}
    for side in SIDES:
        step("shuffled-label check")
        shuffled[SIDE_NAME[side]] = walkforward.shuffled_auc(panel, side, oof.folds[side], params)
    trees = {side: int(np.median(oof.rounds.get((side, params.checker), [paths.MOST_ROUNDS]))) for side in SIDES}
    spread = paths.validate(panel, params, trees, step, rule)
    step("leak tests")
    seen = [history._replace(frame=panels.before(history.frame, hold.start_ms)) for history in known]
    past = None if btc is None else panels.before(btc, hold.start_ms)
    tests = evidence.leak_tests(panel, seen, past, oof, shuffled, params, plan=plan, costs=costs)
    step("figures")
    blends = {side: _final_blend(panel, side, oof) for side in SIDES}
    honest = {side: walkforward.honest_probabilities(panel, side, oof, params) for side in SIDES}
    sides = [_side(panel, side, blends[side], {kind: learners[side, kind] for kind in params.learners}, honest[side]) for side in SIDES]
    metrics = report.metrics(panel, oof, honest, shuffled, blends, params)
    metrics |= evidence.sections(panel, oof, honest, params, tests, spread, rule)
    metrics["text"] = f"{metrics['text']} {evidence.sentence(metrics)}"
    spans = {"train_start_ms": int(panel.bar_ms.min()), "train_end_ms": int(panel.bar_ms.max()), "oos_start_ms": hold.start_ms}
    settings = {**to_json(params), "plan": asdict(plan), "costs": asdict(costs)}
    shared = {
        "symbols": list(panel.symbols),
        "timeframe": params.timeframe,
        "params": settings,
        "data_hash": panels.data_hash(known, btc, hold.start_ms),
    }
    market = known[0].market
    return Trained(
        ensemble.Ensemble(features.NAMES, sides, plan),
        {**shared, "spans": spans, "samples": int(panel.bar_ms.size)},
        {
            **shared,
            **spans,
            "venue_slug": market.venue.slug,
            "provenance": market.provenance,
            "metrics": metrics,
        },
        _reference(panel, blends, oof, params),
        "" if tests["passed"] else f"leak tests failed: {'; '.join(tests['failures'])}",
    )


def _reference(panel: panels.Panel, blends: dict[int, walkforward.Blend], oof: walkforward.OutOfFold, params: TrainingParams) -> Reference:
    """Features of every sample, and the answers of models that had not seen them: those that have are surer than any later answer."""
    answers = np.column_stack([blends[side].apply(oof.raw[:, side]) for side in SIDES]).astype(np.float32)
    step_ms = params.stride * TIMEFRAME_MS[params.timeframe]
    return reference_of((*features.NAMES, *PREDICTIONS), np.column_stack([panel.x, answers]), panel.bar_ms, step_ms=step_ms)


def _counter(symbols: int, params: TrainingParams, tell: Callable[[str, float], None]) -> Callable[[str], None]:
    """Counts the steps of a training and tells the share that is done."""
    fits = len(SIDES) * len(params.learners)
    choices = comb(params.cpcv_groups, params.cpcv_test_groups) if params.cpcv_groups else 0
    total = symbols + fits * (params.folds + 1) + len(SIDES) * (choices + 1) + 4
    finished = 0

    def step(stage: str) -> None:
        nonlocal finished
        finished += 1
        tell(stage, min(0.98, finished / total))

    return step


def _final_blend(panel: panels.Panel, side: int, oof: walkforward.OutOfFold) -> walkforward.Blend:
    """Weights and calibration from every out-of-fold prediction there is."""
    rows = np.flatnonzero(np.isfinite(oof.raw[:, side]).all(axis=1))
    return walkforward.blend(panel, side, oof.raw[:, side], rows)


def _side(
    panel: panels.Panel, side: int, blend: walkforward.Blend, learners: dict[str, Any], honest: NDArray[np.float64]
) -> ensemble.SideModel:
    weights = dict(zip(learners, blend.weights, strict=True))
    try:
        paid = ensemble.payoff(panel.y[:, side], panel.result_atr[:, side], panel.hours(side))
    except ValueError as error:
        raise panels.UnusableHistory(f"{SIDE_NAME[side]} side of {', '.join(panel.symbols)}: {error}", field="symbols") from error
    return ensemble.SideModel(learners, weights, blend.calibration, paid, confidence.calibrated(panel, side, honest))
