"""Leak tests that belong to every training: a model whose tests fail is refused, because its figures would be hindsight.

Two are exact and need no statistics. `truncated_features` computes features again from bars that had closed by then: any difference is
knowledge of the future, be it a peek, a centred window or a scale taken from the whole series. `label_spans` computes labels again from bars
up to the end that each label declares, and counts training labels that share a moment with a test label in any split: purging by declared
ends is only as good as those ends.

The others are statistics on the very arrays that were learned from. `shifted_features` asks whether features are related to coming returns as
only future values can be; signals.training.lag whether a prediction needs the very moment; the shuffled labels (signals.training.walkforward)
whether rows leak from training to test.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exchanges.costs import CostModel
from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import TIMEFRAME_MS
from signals import features, folds
from signals.plan import PlanConfig
from signals.ports import SIDE_NAME, SIDES, FeatureFrame
from signals.training import panel as panels
from signals.training.panel import History, Panel
from traderai.lib import clock

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Compute = Callable[..., FeatureFrame]
SYMBOLS = 4
FEATURE_ROWS = 6
LABEL_ROWS = 40
RELATIVE, OF_DEVIATION = 1e-4, 1e-5
"""Differences that float32 and a finite warm-up may leave: of the value, and of the column's deviation."""
NEWEST_SAMPLES = 16_384
LEAST_HORIZONS = 20
"""Samples of a symbol, in horizons, from which shifted returns can be told from chance."""
LEAST_SHARE = 0.05
"""A feature is only accused when at least this share of its variance is explained by returns that come after it."""
ABOVE_NULL, ABOVE_PAST = 1.5, 2.0
"""How far F has to exceed the highest of its null, and P. Chosen on 216 generated markets with and without momentum (930 to 3,160 samples), of
which 1 of the shortest is accused wrongly, and measured on others: benchmarks/bench_leak_tests.py, decision 0013."""


# --- exact tests


def truncated_features(
    panel: Panel,
    known: Sequence[History],
    btc: CandleFrame | None,
    *,
    names: Sequence[str] = features.NAMES,
    compute: Compute | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """Compare rows of the panel with features of the bars that had closed by then, and of nothing later.

    FEATURE_ROWS rows of each of up to SYMBOLS symbols, each from a window of WARMUP_BARS. `compute` is signals.features.compute or what is
    to be tested in its place.
    """
    work = features.compute if compute is None else compute
    deviation = panel.x.std(axis=0).astype(np.float64)
    rng = np.random.default_rng(seed)
    compared = 0
    found: dict[str, dict[str, Any]] = {}
    for number in _some_symbols(panel):
        frame = known[number].frame
        own = np.flatnonzero(panel.symbol == number)
        for row in np.sort(rng.choice(own, size=min(FEATURE_ROWS, own.size), replace=False)):
            again = _as_of(frame, known[number].funding, btc, int(panel.bar_ms[row]), work)
            stored = panel.x[row].astype(np.float64)
            allowed = RELATIVE * np.maximum(np.abs(stored), np.abs(again)) + OF_DEVIATION * deviation
            compared += 1
            for column in np.flatnonzero(~(np.abs(stored - again) <= allowed)).tolist():
                found.setdefault(
                    names[column],
                    {
                        "feature": names[column],
                        "symbol": panel.symbols[number],
                        "at": clock.from_ms(int(panel.bar_ms[row])).isoformat(),
                        "learned": float(stored[column]),
                        "without_the_future": float(again[column]) if np.isfinite(again[column]) else None,
                    },
                )
    return {
        "passed": not found,
        "rows": compared,
        "features": int(panel.x.shape[1]),
        "offending": [found[name] for name in sorted(found)][:10],
        "count": len(found),
    }


def _as_of(frame: CandleFrame, funding: FundingFrame, btc: CandleFrame | None, bar_ms: int, compute: Compute) -> Array:
    """The features known at the close of the bar that opened at bar_ms, shape [k]."""
    closed_ms = bar_ms + TIMEFRAME_MS[frame.timeframe]
    seen = panels.before(frame, closed_ms)
    seen = seen.slice(max(0, len(seen) - features.WARMUP_BARS), len(seen))
    paid = funding.timestamp <= closed_ms
    past = FundingFrame(funding.timestamp[paid], funding.rate[paid])
    return np.asarray(compute(seen, funding=past, btc=None if btc is None else panels.before(btc, closed_ms)).values[-1], dtype=np.float64)


def _some_symbols(panel: Panel) -> list[int]:
    """Numbers of up to SYMBOLS symbols, evenly spread over the panel's."""
    return sorted({int(number) for number in np.linspace(0, len(panel.symbols) - 1, min(SYMBOLS, len(panel.symbols)))})


def label_spans(
    panel: Panel,
    known: Sequence[History],
    splits: Iterable[tuple[Rows, Rows, Rows, Rows]],
    *,
    plan: PlanConfig,
    costs: CostModel,
    seed: int = 7,
) -> dict[str, Any]:
    """Whether labels end where they say, and whether none straddles a split.

    splits -- (start, end, training rows, test rows) of every split that was used, start and end as signals.folds takes them
    """
    rng = np.random.default_rng(seed)
    checked = 0
    wrong: list[str] = []
    for number in _some_symbols(panel):
        frame = known[number].frame
        atr = features.plan_atr(frame, plan)
        own = np.flatnonzero(panel.symbol == number)
        for row in rng.choice(own, size=min(LABEL_ROWS, own.size), replace=False):
            first = int(np.searchsorted(frame.timestamp, panel.bar_ms[row]))
            for side in SIDES:
                last = int(np.searchsorted(frame.timestamp, panel.end_ms[row, side]))
                alone = np.zeros(1, dtype=np.int64)
                cut = panels.outcomes(known[number], frame.slice(first, last), atr[first:last], plan, costs, alone)
                checked += 1
                if cut.tp1_hit[0, side] != panel.y[row, side] or not np.isclose(cut.net_pct[0, side], panel.net_pct[row, side]):
                    wrong.append(f"{SIDE_NAME[side]} {panel.symbols[number]} {clock.from_ms(int(panel.bar_ms[row])):%Y-%m-%d %H:%M}")
    tested, straddling = 0, 0
    for start, end, train, test in splits:
        tested += 1
        straddling += folds.straddling(start, end, train, test)
    return {
        "passed": not wrong and not straddling,
        "labels": checked,
        "wrong": len(wrong),
        "examples": wrong[:5],
        "splits": tested,
        "straddling": straddling,
    }


# --- the statistic


def shifted_features(panel: Panel, known: Sequence[History], *, horizon_ms: int, names: Sequence[str] = features.NAMES) -> dict[str, Any]:
    """Whether a feature is explained by the returns that come after it rather than by those before it.

    Statistic: with ranks of feature and of the return from one sample to the next, rho(l) is their correlation when the feature is shifted by
    l samples. F sums rho(l)^2 over the horizon ahead, P over the horizon behind. Serially uncorrelated returns make F the share of the
    feature's variance that coming returns explain (Bartlett, 1946). A feature made of past prices has P >= F, and in a market that is hard to
    predict F is no more than noise; the return of any coming stretch within the horizon has F near 1 and P near 0.

    Null and tolerance: F of the same two series shifted apart by whole horizons (at least three), which keeps the memory of both and cuts
    their bond (circular shifts: Politis and Romano, 1992); the limit is ABOVE_NULL times the highest such F over ALL features and shifts (max
    statistic for many hypotheses: Westfall and Young, 1993), and never below LEAST_SHARE. A feature fails when F is above the limit and above
    ABOVE_PAST times P. Histories of fewer than LEAST_HORIZONS are not measured.
    """
    found: dict[str, dict[str, Any]] = {}
    samples = 0
    limits: list[float] = []
    for number in _some_symbols(panel):
        own = np.flatnonzero(panel.symbol == number)[-NEWEST_SAMPLES:]
        step_ms = int(np.median(np.diff(panel.bar_ms[own]))) if own.size > 1 else 0
        horizon = max(1, horizon_ms // step_ms) if step_ms else 0
        if not horizon or own.size < LEAST_HORIZONS * horizon:
            continue
        ahead, behind, limit = _explained(panel.x[own], _next_returns(panel, known[number].frame, own, step_ms), horizon)
        samples += own.size
        limits.append(limit)
        for column in np.flatnonzero((ahead > limit) & (ahead > ABOVE_PAST * behind)).tolist():
            name, share = names[column], float(ahead[column])
            if name not in found or share > found[name]["ahead"]:
                where = {"feature": name, "symbol": panel.symbols[number], "limit": limit}
                found[name] = {**where, "ahead": share, "behind": float(behind[column])}
    worst = sorted(found.values(), key=lambda seen: -seen["ahead"])
    return {
        "passed": not found,
        "samples": int(samples),
        "features": int(panel.x.shape[1]),
        "limits": [round(limit, 4) for limit in limits],
        "offending": worst[:10],
        "count": len(found),
        "note": "" if limits else "not measured: the history is too short to tell a leak from chance",
    }


def _next_returns(panel: Panel, frame: CandleFrame, rows: Rows, step_ms: int) -> Array:
    """Log return from each sample's close to the next sample's, 0 across a gap, shape [rows]."""
    close = frame.close[np.searchsorted(frame.timestamp, panel.bar_ms[rows])]
    out = np.append(np.diff(np.log(close)), 0.0)
    out[:-1][np.diff(panel.bar_ms[rows]) != step_ms] = 0.0
    return out


def _ranks(values: Array) -> Array:
    """Ranks of each column with mean 0 and deviation 1, equal values in order of time; a column that never changes becomes 0."""
    order = np.argsort(values, axis=0, kind="stable")
    ranks = np.empty_like(order, dtype=np.float64)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(values.shape[0], dtype=np.float64)[:, None], values.shape), axis=0)
    ranks -= ranks.mean(axis=0)
    return np.where(values.std(axis=0) > 0.0, ranks / ranks.std(axis=0), 0.0)


def _explained(x: NDArray[np.float32], returns: Array, horizon: int) -> tuple[Array, Array, float]:
    """F and P of every feature, shape [k], and the limit, from circular cross-correlations by fast Fourier transform."""
    n = returns.size
    spectrum = np.fft.rfft(_ranks(returns[:, None])[:, 0])
    ranked = _ranks(x.astype(np.float64))
    rho = np.fft.irfft(np.conj(np.fft.rfft(ranked, axis=0)) * spectrum[:, None], n=n, axis=0) / n
    sums = np.concatenate((np.zeros((1, x.shape[1])), np.cumsum(rho**2, axis=0)))
    ahead, behind = sums[horizon], sums[n] - sums[n - horizon]
    apart = np.arange(3 * horizon, n - 4 * horizon, horizon)
    null = sums[apart + horizon] - sums[apart]
    return ahead, behind, max(LEAST_SHARE, ABOVE_NULL * float(null.max()))


# --- the verdict


def failures(tests: dict[str, Any]) -> list[str]:
    """What failed, one sentence a test; [] when everything passed."""
    out = []
    for name in ("truncated_features", "shifted_features"):
        part = tests[name]
        if not part["passed"]:
            listed = ", ".join(item["feature"] for item in part["offending"][:3])
            what = "change once the future is cut off" if name == "truncated_features" else "go with coming returns, not past ones"
            out.append(f"{part['count']} of {part['features']} features {what} ({listed})")
    spans = tests["label_spans"]
    if spans["wrong"]:
        out.append(f"{spans['wrong']} of {spans['labels']} labels depend on bars after the end they declare")
    if spans["straddling"]:
        out.append(f"{spans['straddling']} training labels share a moment with a test label")
    fallen = [side for side, part in tests["lagged_features"].items() if not part["passed"]]
    if fallen:
        out.append(f"the score falls too far with features one sample older ({', '.join(fallen)})")
    shuffled = [side for side, part in tests["shuffled_labels"].items() if not part["passed"]]
    if shuffled:
        out.append(f"a model of shuffled labels is not at chance ({', '.join(shuffled)})")
    return out
