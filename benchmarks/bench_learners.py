"""Every kind of learner on the same samples: python benchmarks/bench_learners.py [--data FOLDER] [--bars 40000] [--kinds forest,mlp]. Prints JSON.

Fitted on the older part of the time with early stopping on a purged tail of it, judged on the newer part, purged and embargoed; the newest
fifth (the holdout) is never read. `balanced` is the same fit with weights that make both classes count alike: the measure of what class
weights do to probabilities. FOLDER holds BTC-USDT_15m.parquet (timestamp in ms, open, high, low, close, volume) and may hold
BTC-USDT_funding.parquet; without it, a generated market.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402

django.setup()

from exchanges.models import Market, Provenance, Venue  # noqa: E402
from exchanges.ports import CandleFrame, FundingFrame  # noqa: E402
from signals import folds, learners  # noqa: E402
from signals.ensemble import log_loss  # noqa: E402
from signals.ports import LONG  # noqa: E402
from signals.training import TrainingParams, figures, panel, walkforward  # noqa: E402

SYMBOL = "BTC/USDT:USDT"


def stored(folder: Path, bars: int) -> tuple[CandleFrame, FundingFrame]:
    """The newest bars of the folder's file."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "BTC-USDT_15m.parquet")
    columns = [np.asarray(table[name])[-bars:] for name in ("timestamp", "open", "high", "low", "close", "volume")]
    frame = CandleFrame(SYMBOL, "15m", columns[0].astype(np.int64), *(np.ascontiguousarray(c, dtype=np.float64) for c in columns[1:]))
    path = folder / "BTC-USDT_funding.parquet"
    if not path.exists():
        return frame, FundingFrame(np.empty(0, dtype=np.int64), np.empty(0))
    paid = pq.read_table(path)
    return frame, FundingFrame(np.asarray(paid["timestamp"]).astype(np.int64), np.asarray(paid["rate"]).astype(np.float64))


def generated(bars: int) -> tuple[CandleFrame, FundingFrame]:
    rng = np.random.default_rng(1)
    close = 1_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.003, bars)))
    opened = np.concatenate(([1_000.0], close[:-1]))
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    timestamp = 1_672_531_200_000 + np.arange(bars, dtype=np.int64) * 900_000
    frame = CandleFrame(SYMBOL, "15m", timestamp, opened, high, low, close, rng.lognormal(3.0, 1.0, bars))
    return frame, FundingFrame(np.empty(0, dtype=np.int64), np.empty(0))


def samples(frame: CandleFrame, funding: FundingFrame, params: TrainingParams) -> panel.Panel:
    market = Market(pk=1, venue=Venue(slug="bench"), symbol=SYMBOL, base="BTC", provenance=Provenance.FILE)
    known = [panel.History(market, frame, funding)]
    hold = panel.holdout_of(known, params)
    return panel.build(known, frame, hold, params, plan=params.plan_config, costs=known[0].market.costs, tell=lambda _: None)


def judged(made: panel.Panel, kind: str, params: TrainingParams, *, balanced: bool) -> dict[str, Any]:
    """One fit of the long side and its figures on the last third of the time."""
    split = folds.walk_forward(made.start_ms, made.end_ms[:, LONG], folds=2, embargo_ms=params.embargo_ms)[-1]
    start, end = made.start_ms[split.train], made.end_ms[split.train, LONG]
    fit, valid = folds.validation_tail(start, end, share=walkforward.VALIDATION_SHARE, embargo_ms=params.embargo_ms)
    y, weight = made.y[split.train, LONG], made.weight[split.train, LONG].copy()
    if balanced:
        share = np.average(y, weights=weight)
        weight *= np.where(y == 1, 0.5 / share, 0.5 / (1.0 - share))
    model = learners.learner(kind)(rounds=params.rounds, patience=params.patience, seed=params.seed)
    started = time.perf_counter()
    model.fit(made.inputs(model, split.train[fit]), y[fit], weight[fit], (made.inputs(model, split.train[valid]), y[valid]))
    seconds = time.perf_counter() - started
    actual, p, own = made.y[split.test, LONG], model.predict(made.inputs(model, split.test)), made.weight[split.test, LONG]
    out = {
        "fit_seconds": round(seconds, 2),
        "rounds": model.best_rounds,
        "auc": round(figures.auc(actual, p) or 0.5, 4),
        "log_loss": round(log_loss(actual, p, own), 5),
        "mean_probability": round(float(np.average(p, weights=own)), 4),
    }
    return out if balanced else out | cost(model, made.inputs(model, split.test[:1]))


def cost(model: Any, row: Any) -> dict[str, Any]:
    """What one live row costs, and the file."""
    with tempfile.TemporaryDirectory() as folder:
        size = Path(model.save(str(Path(folder) / "model"))).stat().st_size
    return {
        "predict_row_ms": median_ms(lambda: model.predict(row)),
        "explain_row_ms": median_ms(lambda: model.contributions(row)),
        "file_kb": size // 1024,
    }


def median_ms(act: Any) -> float:
    times = []
    for _ in range(20):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return round(statistics.median(times) * 1e3, 3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--bars", type=int, default=40_000)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--kinds", default="lightgbm,xgboost,forest,histgb,mlp", help="lstm, transformer and tft need the extra 'deep'")
    options = parser.parse_args()
    params = TrainingParams(stride=options.stride, learners=tuple(options.kinds.split(",")))
    made = samples(*(stored(options.data, options.bars) if options.data else generated(options.bars)), params)
    test = folds.walk_forward(made.start_ms, made.end_ms[:, LONG], folds=2, embargo_ms=params.embargo_ms)[-1].test
    base = float(np.average(made.y[test, LONG], weights=made.weight[test, LONG]))
    result = {
        "data": str(options.data or "generated"),
        "samples": int(made.y.shape[0]),
        "tested": int(test.size),
        "base_rate": round(base, 4),
        "log_loss_of_base_rate": round(log_loss(made.y[test, LONG], np.full(test.size, base), made.weight[test, LONG]), 5),
        "kinds": {
            kind: {**judged(made, kind, params, balanced=False), "balanced": judged(made, kind, params, balanced=True)}
            for kind in params.learners
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
