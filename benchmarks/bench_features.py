"""Features and labels of 140,000 bars: python benchmarks/bench_features.py [--bars 140000] [--runs 5] [--data FOLDER] [--profile]. Prints JSON.

Medians of wall and of CPU seconds after one run that compiles, on one core (OMP_NUM_THREADS=1). With --data real bars from
FOLDER/ETH-USDT_5m.parquet and its like, laid on a 15m grid so that so many follow each other; else a seeded random walk. --profile adds the seconds of each family. References in the same run: one TA-Lib SMA for each column, which is the least that many columns can cost;
NumPy's sliding windows for mean and deviation (the same results); the label replay in plain Python.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import talib  # noqa: E402

from exchanges.costs import CostModel  # noqa: E402
from exchanges.ports import CandleFrame, FundingFrame  # noqa: E402
from signals import features, labels  # noqa: E402
from signals.features import measures, rolling  # noqa: E402
from signals.plan import PlanConfig  # noqa: E402

STEP_MS = 900_000
START_MS = 1_600_000_200_000 // STEP_MS * STEP_MS
WINDOWS = (16, 96, 384)
PLAIN_ROWS = 300
GOALS = {"features": 2.0, "labels": 0.2}


def real(folder: Path, bars: int, asset: str) -> CandleFrame | None:
    """The newest real bars on a 15m grid; None where there are not so many."""
    path = folder / f"{asset}-USDT_5m.parquet"
    if not path.exists():
        return None
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if table.num_rows < bars:
        return None
    columns = (np.ascontiguousarray(table[name].to_numpy()[-bars:]) for name in ("open", "high", "low", "close", "volume"))
    return CandleFrame(f"{asset}/USDT:USDT", "15m", START_MS + np.arange(bars, dtype=np.int64) * STEP_MS, *columns)


def walk(bars: int, asset: str) -> CandleFrame:
    """A seeded random walk."""
    rng = np.random.default_rng(sum(asset.encode()))
    close = 1_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.003, bars)))
    opened = np.concatenate(([1_000.0], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + rng.exponential(0.001, bars))
    low = np.minimum(opened, close) * (1.0 - rng.exponential(0.001, bars))
    timestamp = START_MS + np.arange(bars, dtype=np.int64) * STEP_MS
    return CandleFrame(f"{asset}/USDT:USDT", "15m", timestamp, opened, high, low, close, rng.lognormal(3.0, 1.0, bars))


def timed(work: Callable[[], object], runs: int) -> dict[str, float]:
    """Medians of `runs`."""
    wall, cpu = [], []
    for _ in range(runs):
        started = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started[0])
        cpu.append(time.process_time() - started[1])
    return {"seconds": round(statistics.median(wall), 4), "cpu_seconds": round(statistics.median(cpu), 4)}


def talib_columns(close: np.ndarray) -> list[np.ndarray]:
    """As many columns as there are features, each by one call."""
    return [talib.SMA(close, timeperiod=max(2, min(spec.warmup_bars, 500))) for spec in features.CATALOGUE]


def families(frame: CandleFrame, funding: FundingFrame, btc: CandleFrame, runs: int) -> dict[str, float]:
    """CPU seconds of each family, and of what comes before them."""
    base, _ = features._normalised(frame, STEP_MS)
    bitcoin = features._normalised(btc, STEP_MS)
    inputs = features._inputs(base, funding, btc, bitcoin)
    found = {"grid and higher frames": timed(lambda: features._inputs(base, funding, btc, bitcoin), runs)["cpu_seconds"]}
    for family in features._FAMILIES:
        found[family.__name__.rpartition(".")[2]] = timed(lambda family=family: family.compute(inputs), runs)["cpu_seconds"]
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def numpy_windows(x: np.ndarray) -> list[np.ndarray]:
    """Mean and deviation as NumPy's sliding windows give them."""
    return [np.lib.stride_tricks.sliding_window_view(x, w).std(axis=1) for w in WINDOWS]


def plain_labels(frame: CandleFrame, atr: np.ndarray, config: PlanConfig, rows: range) -> None:
    """The replay without compilation."""
    plan = (config.stop_atr, config.tp1_atr, config.tp2_atr, config.tp3_atr, config.trail_atr, *config.shares)
    columns = (frame.timestamp, frame.open, frame.high, frame.low, frame.close)
    for i in rows:
        for side in (1, -1):
            labels._replay_1d.py_func(
                i, side, *columns, atr[i], plan, (2e-4, 5e-4, 3e-4, 1e-4), np.zeros((2, len(atr))), config.max_hold_ms, 900_000
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bars", type=int, default=140_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    bars, runs = options.bars, options.runs
    found = [real(options.data, bars, asset) if options.data else None for asset in ("ETH", "BTC")]
    is_real = all(frame is not None for frame in found)
    eth, btc = found if is_real else [walk(bars, asset) for asset in ("ETH", "BTC")]
    funding = FundingFrame(eth.timestamp[::32].copy(), np.random.default_rng(3).normal(1e-4, 5e-5, eth.timestamp[::32].size))
    config, costs = PlanConfig(), CostModel()
    started = time.perf_counter()
    features.compute(eth.slice(0, 5_000), funding=funding, btc=btc.slice(0, 5_000))
    atr = features.plan_atr(eth, config)
    labels.outcomes(eth, atr, config, costs)
    compiled = time.perf_counter() - started

    batch = timed(lambda: features.compute(eth, funding=funding, btc=btc), runs)
    first = bars - features.WARMUP_BARS
    live = timed(lambda: features.compute(eth.slice(first, bars), funding=funding, btc=btc.slice(first, bars)), 3 * runs)
    calls = timed(lambda: talib_columns(eth.close), runs)
    outcomes = timed(lambda: labels.outcomes(eth, atr, config, costs), runs)
    ended = labels.outcomes(eth, atr, config, costs).end_index[:, 0]
    rows = np.flatnonzero(ended >= 0)
    unique = timed(lambda: labels.uniqueness(rows + 1, ended[rows]), runs)
    returns = measures.log_returns(eth.close)
    ours = timed(lambda: [rolling.mean_std(returns, w) for w in WINDOWS], runs)
    theirs = timed(lambda: numpy_windows(returns), 1)
    for w, expected in zip(WINDOWS, numpy_windows(returns), strict=True):
        np.testing.assert_allclose(rolling.mean_std(returns, w)[1][w - 1 :], expected, rtol=1e-6, atol=1e-12)
    plain = timed(lambda: plain_labels(eth, atr, config, range(5_000, 5_000 + PLAIN_ROWS)), 1)["seconds"] * bars / PLAIN_ROWS
    result = {
        "candles": "real 5m bars of ETH and BTC on a 15m grid" if is_real else "a seeded random walk",
        "bars": bars,
        "runs": runs,
        "first_call_seconds": round(compiled, 3),
        "features": {
            "columns": len(features.CATALOGUE),
            **batch,
            "goal_seconds": GOALS["features"],
            "talib_one_call_per_column": calls,
            "times_that": round(batch["cpu_seconds"] / max(calls["cpu_seconds"], 1e-9), 1),
        },
        "live_window": {"bars": features.WARMUP_BARS, **live},
        "windows": {"ours": ours, "numpy": theirs, "times_faster": round(theirs["cpu_seconds"] / max(ours["cpu_seconds"], 1e-9), 1)},
        "labels": {
            "sides": 2,
            **outcomes,
            "goal_seconds": GOALS["labels"],
            "known": int((ended >= 0).sum()),
            "uniqueness": unique,
            "plain_python_seconds_extrapolated": round(plain, 1),
            "times_faster": round(plain / max(outcomes["seconds"], 1e-9)),
        },
    }
    if options.profile:
        result["cpu_seconds_by_family"] = families(eth, funding, btc, runs)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
