"""A whole training in memory: python benchmarks/bench_training.py [--symbols 10] [--bars 20000]. Prints JSON.

Reference in the same run: one LightGBM fit with the library's own defaults and the same number of trees on the same samples.
"""

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402

django.setup()

from exchanges.models import Market, Provenance, Venue  # noqa: E402
from exchanges.ports import CandleFrame, FundingFrame  # noqa: E402
from signals.training import TrainingParams, panel, pipeline  # noqa: E402


def history(number: int, bars: int) -> panel.History:
    """A seeded market whose moves go on for a while, never saved."""
    rng = np.random.default_rng(number)
    noise, returns, drift = rng.normal(0.0, 0.003, bars), np.zeros(bars), 0.0
    for i in range(bars):
        returns[i] = noise[i] + 0.3 * drift
        drift += (returns[i] - drift) / 32.0
    close = 1_000.0 * np.exp(np.cumsum(returns))
    opened = np.concatenate(([1_000.0], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + rng.exponential(0.001, bars))
    low = np.minimum(opened, close) * (1.0 - rng.exponential(0.001, bars))
    timestamp = 1_672_531_200_000 + np.arange(bars, dtype=np.int64) * 900_000
    base = "BTC" if number == 0 else f"COIN{number}"
    market = Market(pk=number + 1, venue=Venue(slug="bench"), symbol=f"{base}/USDT:USDT", base=base, provenance=Provenance.SIMULATED)
    frame = CandleFrame(market.symbol, "15m", timestamp, opened, high, low, close, rng.lognormal(3.0, 1.0, bars))
    return panel.History(market, frame, FundingFrame(timestamp[::32].copy(), rng.normal(1e-4, 5e-5, timestamp[::32].size)))


def default_fit(known: list[panel.History], params: TrainingParams, rounds: int) -> float:
    """Seconds of a LightGBM fit with default parameters, one thread."""
    import lightgbm as lgb

    hold = panel.holdout_of(known, params)
    made = panel.build(known, known[0].frame, hold, params, plan=pipeline.PlanConfig(), costs=pipeline.CostModel(), tell=lambda _: None)
    started = time.perf_counter()
    lgb.train({"objective": "binary", "num_threads": 1, "verbosity": -1}, lgb.Dataset(made.x, label=made.y[:, 0]), num_boost_round=rounds)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--bars", type=int, default=20_000)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--stride", type=int, default=4)
    options = parser.parse_args()
    params = TrainingParams(folds=options.folds, stride=options.stride)
    known = [history(number, options.bars) for number in range(options.symbols)]
    stages: dict[str, float] = {}
    mark = started = time.perf_counter()

    def tell(stage: str, share: float) -> None:
        nonlocal mark
        now = time.perf_counter()
        kind = stage.split(" of ")[0].rstrip("0123456789 ")
        stages[kind] = stages.get(kind, 0.0) + now - mark
        mark = now

    trained = pipeline.fit(known, known[0].frame, params, tell)
    seconds = time.perf_counter() - started
    overall = trained.facts["metrics"]["overall"]
    trees = max(max(kept) for side in trained.facts["metrics"]["trees"].values() for kept in side.values())
    result = {
        "symbols": options.symbols,
        "bars_each": options.bars,
        "folds": options.folds,
        "stride": options.stride,
        "samples": trained.manifest["samples"],
        "seconds": round(seconds, 1),
        "seconds_until_stage": {name: round(value, 1) for name, value in stages.items()},
        "most_trees": trees,
        "auc": {side: part["auc"] for side, part in overall.items()},
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "reference_default_lightgbm_fit_seconds": round(default_fit(known, params, trees), 1),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
