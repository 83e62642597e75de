"""The metrics of a trained model as JSON: per fold, symbol, regime and side, each with span and sample, and a text that says how it came out."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from signals.features.regime import NAMES as REGIMES
from signals.ports import SIDE_NAME, SIDES
from signals.training import figures, walkforward
from signals.training.panel import Panel
from signals.training.params import TrainingParams
from traderai.lib import clock

Array = NDArray[np.float64]


def span(ms: NDArray[np.int64]) -> dict[str, Any]:
    """First and last moment in ISO 8601, and how many."""
    if ms.size == 0:
        return {"start": None, "end": None, "n": 0}
    return {"start": clock.from_ms(int(ms.min())).isoformat(), "end": clock.from_ms(int(ms.max())).isoformat(), "n": int(ms.size)}


class Judged(NamedTuple):
    """One side out of fold, arrays of shape [m], NaN where it was not judged: the learners' mean, and the calibrated probability."""

    score: Array
    probability: Array


def _figures(panel: Panel, side: int, rows: NDArray[np.int64], judged: Judged) -> dict[str, Any]:
    return figures.describe(
        panel.y[rows, side], judged.score[rows], judged.probability[rows], panel.net_pct[rows, side], panel.weight[rows, side],
        panel.start_ms[rows],
    )  # fmt: skip


def _independent(panel: Panel, side: int) -> float:
    return figures.independent(panel.y[:, side].astype(np.float64), panel.weight[:, side], panel.start_ms)


def _groups(panel: Panel, group: NDArray[np.int64], names: dict[int, str], honest: dict[int, Judged]) -> dict[str, Any]:
    """Figures by group, of rows that have an honest probability."""
    out = {}
    for code, name in names.items():
        rows = {side: np.flatnonzero((group == code) & np.isfinite(honest[side].probability)) for side in SIDES}
        if rows[0].size or rows[1].size:
            sides = {SIDE_NAME[side]: _figures(panel, side, rows[side], honest[side]) for side in SIDES}
            out[name] = {"span": span(panel.bar_ms[rows[0]]), **sides}
    return out


def _fold(panel: Panel, oof: walkforward.OutOfFold, honest: dict[int, Judged], number: int) -> dict[str, Any]:
    out: dict[str, Any] = {"number": number}
    for side in SIDES:
        fold = oof.folds[side][number - 1]
        is_calibrated = bool(np.isfinite(honest[side].probability[fold.test]).all())
        judged = honest[side] if is_calibrated else Judged(honest[side].score, honest[side].score)
        out[SIDE_NAME[side]] = {
            "train": span(panel.bar_ms[fold.train]),
            "purged": fold.purged,
            "test": span(panel.bar_ms[fold.test]),
            "calibrated": is_calibrated,
            **_figures(panel, side, fold.test, judged),
        }
    return out


def metrics(
    panel: Panel,
    oof: walkforward.OutOfFold,
    probabilities: dict[int, Array],
    shuffled: dict[str, Any],
    blends: dict[int, walkforward.Blend],
    params: TrainingParams,
) -> dict[str, Any]:
    """All figures. Outside `folds` they cover the blocks after the first: only those have a calibration made on earlier data.

    probabilities -- by side, as walkforward.honest_probabilities gives them
    """
    honest = {side: Judged(oof.raw[:, side].mean(axis=1), probabilities[side]) for side in SIDES}
    overall, table = {}, {}
    for side in SIDES:
        rows = np.flatnonzero(np.isfinite(honest[side].probability))
        name = SIDE_NAME[side]
        overall[name] = {"span": span(panel.bar_ms[rows]), **_figures(panel, side, rows, honest[side])}
        table[name] = figures.calibration_table(
            panel.y[rows, side], honest[side].probability[rows], panel.weight[rows, side], panel.start_ms[rows]
        )
    return {
        "span": span(panel.bar_ms),
        "independent_samples": {SIDE_NAME[side]: round(_independent(panel, side), 1) for side in SIDES},
        "text": verdict(overall, shuffled),
        "overall": overall,
        "folds": [_fold(panel, oof, honest, number) for number in range(1, params.folds + 1)],
        "symbols": _groups(panel, panel.symbol, dict(enumerate(panel.symbols)), honest),
        "regimes": _groups(panel, panel.regime, REGIMES, honest),
        "calibration": table,
        "shuffled_labels": shuffled,
        "blend": {SIDE_NAME[side]: dict(zip(params.learners, blends[side].weights, strict=True)) for side in SIDES},
        "trees": {SIDE_NAME[side]: {kind: oof.rounds[side, kind] for kind in params.learners} for side in SIDES},
    }


def _sentence(name: str, part: dict[str, Any]) -> str:
    if not part.get("n"):
        return f"{name.capitalize()}: no out-of-fold sample."
    chosen = part["selected"]
    measured = "undefined" if part["auc"] is None else f"{part['auc']:.3f}"
    head = f"{name.capitalize()}: out-of-fold AUC {measured} on {part['n']} samples (about {part['n_effective']:.0f} independent), TP1 base rate {part['base_rate']:.1%}."
    if not chosen["n"]:
        return f"{head} No sample reached a confidence of {chosen['min_confidence']:.2f}."
    return (
        f"{head} Of {chosen['n']} selected at {chosen['min_confidence']:.2f} or more (about {chosen['n_effective']:.0f} independent) {chosen['hit_rate']:.1%} hit TP1 "
        f"(95 % interval {chosen['low']:.1%} to {chosen['high']:.1%}), {chosen['mean_net_pct']:+.2f} % each after costs."
    )


def verdict(overall: dict[str, Any], shuffled: dict[str, Any]) -> str:
    """The result in plain words, whichever way it came out."""
    sentences = [_sentence(name, part) for name, part in overall.items()]
    if not all(part["passed"] for part in shuffled.values()):
        sentences.append("WARNING: a model trained on shuffled labels is not at chance, so rows may leak between training and test.")
    return " ".join(sentences)
