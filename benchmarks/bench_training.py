"""A whole training and what its model costs live: python benchmarks/bench_training.py [--stride 1 --stride 4] [--data FILE]. Prints JSON.

Goal: 140,000 bars of one market with a walk-forward of 6 folds in less than 240 s on two cores with a peak below 1,200 MB, and less than 50 ms to
judge one symbol live. A stride of 1 makes every bar a sample; 4 is what a training takes by default. Every stride has a process of its own, for
the peak belongs to the process. FILE is named like BTC-USDT_15m.parquet and may have BTC-USDT_funding.parquet beside it; without it, generated markets.

Live: the newest bars as they are stored -> features -> both sides' probability -> the reasons of both, with the model as the registry loads it.
Reference in the same run: one LightGBM fit with the library's own defaults and the same number of trees on the same samples.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="traderai-bench-")
os.environ["LOG_LEVEL"] = "WARNING"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from exchanges import candles  # noqa: E402
from exchanges.models import Market, MarketKind, Provenance, Venue  # noqa: E402
from exchanges.ports import CandleFrame, FundingFrame  # noqa: E402
from signals import features, registry  # noqa: E402
from signals.models import ModelStatus  # noqa: E402
from signals.ports import SIDES  # noqa: E402
from signals.training import TrainingParams, panel, pipeline  # noqa: E402
from signals.voters import ml  # noqa: E402

GOAL = {"seconds": 240, "peak_memory_mb": 1_200, "live_ms": 50}
COLUMNS = ("open", "high", "low", "close", "volume")
TOLD_WHEN_OVER = ("fold", "final fit")
LIVE_RUNS = 200


def market_of(number: int, symbol: str) -> Market:
    """Never saved."""
    base = symbol.split("/")[0]
    kind = MarketKind.PERPETUAL if ":" in symbol else MarketKind.SPOT
    return Market(pk=number, venue=Venue(slug="bench"), symbol=symbol, base=base, quote="USDT", kind=kind, provenance=Provenance.SIMULATED)


def generated(number: int, bars: int) -> panel.History:
    """A seeded market whose moves go on for a while."""
    rng = np.random.default_rng(number)
    noise, returns, drift = rng.normal(0.0, 0.003, bars), np.zeros(bars), 0.0
    for i in range(bars):
        returns[i] = noise[i] + 0.3 * drift
        drift += (returns[i] - drift) / 32.0
    close = 1_000.0 * np.exp(np.cumsum(returns))
    opened = np.concatenate(([1_000.0], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + rng.exponential(0.001, bars))
    low = np.minimum(opened, close) * (1.0 - rng.exponential(0.001, bars))
    timestamp = 1_577_836_800_000 + np.arange(bars, dtype=np.int64) * 900_000
    market = market_of(number + 1, f"{'BTC' if number == 0 else f'COIN{number}'}/USDT:USDT")
    frame = CandleFrame(market.symbol, "15m", timestamp, opened, high, low, close, rng.lognormal(3.0, 1.0, bars))
    return panel.History(market, frame, FundingFrame(timestamp[::32].copy(), rng.normal(1e-4, 5e-5, timestamp[::32].size)))


def stored(path: Path, bars: int) -> panel.History:
    """The newest bars of a file."""
    import pyarrow.parquet as pq

    name, timeframe = path.stem.rsplit("_", 1)
    base = name.split("-")[0]
    market = market_of(1, f"{base}/USDT" if name.endswith("-SPOT") else f"{base}/USDT:USDT")
    table = pq.read_table(path)
    column = {field: table[field].to_numpy()[-bars:] for field in ("timestamp", *COLUMNS)}
    values = (np.ascontiguousarray(column[field], dtype=np.float64) for field in COLUMNS)
    frame = CandleFrame(market.symbol, timeframe, column["timestamp"].astype(np.int64), *values)
    rates = path.with_name(f"{name}_funding.parquet")
    if not rates.exists():
        return panel.History(market, frame, FundingFrame(np.empty(0, np.int64), np.empty(0)))
    paid = pq.read_table(rates)
    return panel.History(
        market, frame, FundingFrame(paid["timestamp"].to_numpy().astype(np.int64), paid["rate"].to_numpy().astype(np.float64))
    )


def bitcoin(known: list[panel.History]) -> CandleFrame | None:
    """Its bars, when it is among the markets."""
    return next((history.frame for history in known if history.market.base == "BTC"), None)


class Stages:
    """Wall and CPU seconds by stage, and the peak of memory when it was over. Some stages are told when they begin, TOLD_WHEN_OVER when they end."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.now = "start"
        self.mark = time.perf_counter(), time.process_time()

    def tell(self, stage: str, _: float) -> None:
        kind = stage.split(" of ")[0].rstrip("0123456789 ")
        self.close(kind if kind in TOLD_WHEN_OVER else self.now)
        self.now = kind

    def close(self, kind: str) -> None:
        now = time.perf_counter(), time.process_time()
        spent = self.seconds.setdefault(kind, [0.0, 0.0, 0])
        self.seconds[kind] = [spent[0] + now[0] - self.mark[0], spent[1] + now[1] - self.mark[1], peak_mb()]
        self.mark = now

    def table(self) -> dict[str, dict[str, float]]:
        return {
            kind: {"seconds": round(wall, 1), "cpu_seconds": round(cpu, 1), "peak_memory_mb_by_then": peak}
            for kind, (wall, cpu, peak) in self.seconds.items()
            if kind != "start"
        }


def peak_mb() -> int:
    """Of this process so far, in 10^6 bytes."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def default_fit(known: list[panel.History], params: TrainingParams, rounds: int) -> float:
    """Seconds of a LightGBM fit with default parameters, one thread."""
    import lightgbm as lgb

    hold = panel.holdout_of(known, params)
    made = panel.build(known, bitcoin(known), hold, params, plan=params.plan_config, costs=known[0].market.costs, tell=lambda _: None)
    started = time.perf_counter()
    lgb.train({"objective": "binary", "num_threads": 1, "verbosity": -1}, lgb.Dataset(made.x, label=made.y[:, 0]), num_boost_round=rounds)
    return time.perf_counter() - started


def live(history: panel.History, trained: pipeline.Trained) -> dict[str, Any]:
    """Milliseconds from the stored bars of one symbol to both sides' probability and reasons: of the whole, and the median of its parts."""
    call_command("migrate", verbosity=0)
    market = candles.add_market(history.market.symbol)
    candles.ingest(market, history.frame, provenance=Provenance.SIMULATED)
    candles.ingest_funding(market, history.funding, provenance=Provenance.SIMULATED)
    model = registry.load(
        registry.register(
            ensemble=trained.ensemble, scope="default", manifest=trained.manifest, facts=trained.facts, status=ModelStatus.CANDIDATE
        )
    )
    bars = features.WARMUP_BARS + model.lookback - 1
    parts: dict[str, list[float]] = {"bars": [], "features": [], "probability": [], "reasons": []}
    cpu = []
    for _ in range(LIVE_RUNS + 5):
        began = time.process_time()
        marks = [time.perf_counter()]
        frame = candles.read(market, history.frame.timeframe, last=bars)
        funding = candles.funding(market, start_ms=int(frame.timestamp[0]))
        marks.append(time.perf_counter())
        seen = features.compute(frame, funding=funding)
        rows = ml.align(model, seen.names, seen.values[-model.lookback :].T).T
        marks.append(time.perf_counter())
        found = model.predict(rows, starts=np.zeros(len(rows), dtype=np.int64), at=np.array([len(rows) - 1]))
        marks.append(time.perf_counter())
        for side in SIDES:
            ml.vote(model, rows, side=side, probability=float(found.probability[0, side]))
        marks.append(time.perf_counter())
        cpu.append((time.process_time() - began) * 1e3)
        for name, spent in zip(parts, np.diff(marks), strict=True):
            parts[name].append(float(spent) * 1e3)
    warm = {name: np.array(values[5:]) for name, values in parts.items()}
    whole = np.sum(list(warm.values()), axis=0)
    return {
        "bars_read": bars,
        "runs": LIVE_RUNS,
        "p50_ms": round(float(np.percentile(whole, 50)), 1),
        "p95_ms": round(float(np.percentile(whole, 95)), 1),
        "cpu_p50_ms": round(float(np.percentile(cpu[5:], 50)), 1),
        "cpu_p95_ms": round(float(np.percentile(cpu[5:], 95)), 1),
        "p50_ms_by_part": {name: round(float(np.median(values)), 1) for name, values in warm.items()},
    }


def one(options: argparse.Namespace, stride: int) -> dict[str, Any]:
    """A training in this process."""
    known = [stored(options.data, options.bars)] if options.data else [generated(number, options.bars) for number in range(options.symbols)]
    kinds = tuple(options.learners.split(","))
    params = TrainingParams(timeframe=known[0].frame.timeframe, folds=options.folds, stride=stride, learners=kinds)
    stages, started = Stages(), (time.perf_counter(), time.process_time())
    trained = pipeline.fit(known, bitcoin(known), params, stages.tell)
    stages.close(stages.now)
    seconds, cpu, peak = time.perf_counter() - started[0], time.process_time() - started[1], peak_mb()
    metrics = trained.facts["metrics"]
    trees = max(max(kept) for side in metrics["trees"].values() for kept in side.values())
    return {
        "data": options.data.name if options.data else "generated",
        "symbols": len(known),
        "bars_each": len(known[0].frame),
        "folds": options.folds,
        "stride": stride,
        "learners": list(params.learners),
        "samples": trained.manifest["samples"],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_memory_mb": peak,
        "stages": stages.table(),
        "live": live(known[0], trained),
        "goal": GOAL,
        "most_trees": trees,
        "auc": {side: part["auc"] for side, part in metrics["overall"].items()},
        "data_hash": trained.facts["data_hash"][:12],
        "leak_tests_passed": metrics["leak_tests"]["passed"],
        "reference_default_lightgbm_fit_seconds": round(default_fit(known, params, trees), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--symbols", type=int, default=1)
    parser.add_argument("--bars", type=int, default=140_000)
    parser.add_argument("--folds", type=int, default=6)
    parser.add_argument("--stride", type=int, action="append", help=f"default: 1 and {TrainingParams().stride}")
    parser.add_argument("--learners", default="lightgbm,xgboost")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    strides = options.stride or [1, TrainingParams().stride]
    if len(strides) == 1:
        print(json.dumps(one(options, strides[0]), indent=2))
        return
    shared = [
        word for pair in vars(options).items() if pair[0] != "stride" and pair[1] is not None for word in (f"--{pair[0]}", str(pair[1]))
    ]
    runs = [
        json.loads(subprocess.run([sys.executable, __file__, *shared, "--stride", str(stride)], check=True, stdout=subprocess.PIPE).stdout)
        for stride in strides
    ]
    print(json.dumps({"runs": runs}, indent=2))


if __name__ == "__main__":
    main()
