"""Features and labels of 140,000 bars: python benchmarks/bench_features.py. Prints JSON, best of three runs after one that compiles.

References in the same run: NumPy's sliding windows for mean and deviation (the same results), and the label replay in plain Python.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from exchanges.costs import CostModel  # noqa: E402
from exchanges.ports import CandleFrame, FundingFrame  # noqa: E402
from signals import features, labels  # noqa: E402
from signals.features import measures, rolling  # noqa: E402
from signals.plan import PlanConfig  # noqa: E402

BARS = 140_000
WINDOWS = (16, 96, 384)
PLAIN_ROWS = 300


def candles(seed: int, symbol: str) -> CandleFrame:
    """A seeded random walk."""
    rng = np.random.default_rng(seed)
    close = 1_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.003, BARS)))
    opened = np.concatenate(([1_000.0], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + rng.exponential(0.001, BARS))
    low = np.minimum(opened, close) * (1.0 - rng.exponential(0.001, BARS))
    timestamp = 1_600_000_200_000 // 900_000 * 900_000 + np.arange(BARS, dtype=np.int64) * 900_000
    return CandleFrame(symbol, "15m", timestamp, opened, high, low, close, rng.lognormal(3.0, 1.0, BARS))


def best(work: Callable[[], object], runs: int = 3) -> float:
    """Seconds of the fastest run."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def numpy_windows(x: np.ndarray) -> list[np.ndarray]:
    """Mean and deviation as NumPy's sliding windows give them."""
    return [np.lib.stride_tricks.sliding_window_view(x, w).std(axis=1) for w in WINDOWS]


def plain_labels(frame: CandleFrame, atr: np.ndarray, config: PlanConfig, rows: range) -> None:
    """The replay without compilation."""
    plan = (config.stop_atr, config.tp1_atr, config.tp2_atr, config.tp3_atr, config.trail_atr, *config.shares)
    columns = (frame.timestamp, frame.open, frame.high, frame.low, frame.close)
    for i in rows:
        for side in (1, -1):
            labels._replay_1d.py_func(i, side, *columns, atr[i], plan, (2e-4, 5e-4, 3e-4, 1e-4), config.max_hold_ms, 900_000)


def main() -> None:
    eth, btc = candles(1, "ETH/USDT:USDT"), candles(2, "BTC/USDT:USDT")
    funding = FundingFrame(eth.timestamp[::32].copy(), np.random.default_rng(3).normal(1e-4, 5e-5, eth.timestamp[::32].size))
    config, costs = PlanConfig(), CostModel()
    started = time.perf_counter()
    features.compute(eth.slice(0, 5_000), funding=funding, btc=btc.slice(0, 5_000))
    atr = features.plan_atr(eth, config)
    labels.outcomes(eth, atr, config, costs)
    compiled = time.perf_counter() - started

    batch = best(lambda: features.compute(eth, funding=funding, btc=btc))
    window = slice(BARS - features.WARMUP_BARS, BARS)
    live = best(
        lambda: features.compute(eth.slice(window.start, window.stop), funding=funding, btc=btc.slice(window.start, window.stop)), 10
    )
    outcomes = best(lambda: labels.outcomes(eth, atr, config, costs))
    returns = measures.log_returns(eth.close)
    ours = best(lambda: [rolling.mean_std(returns, w) for w in WINDOWS])
    theirs = best(lambda: numpy_windows(returns), 1)
    for w, expected in zip(WINDOWS, numpy_windows(returns), strict=True):
        np.testing.assert_allclose(rolling.mean_std(returns, w)[1][w - 1 :], expected, rtol=1e-9)
    plain = best(lambda: plain_labels(eth, atr, config, range(5_000, 5_000 + PLAIN_ROWS)), 1) * BARS / PLAIN_ROWS
    result = {
        "bars": BARS,
        "features": len(features.CATALOGUE),
        "first_call_seconds": round(compiled, 3),
        "batch_seconds": round(batch, 3),
        "live_window_bars": features.WARMUP_BARS,
        "live_milliseconds": round(live * 1e3, 2),
        "windows": {"ours_seconds": round(ours, 4), "numpy_seconds": round(theirs, 4), "times_faster": round(theirs / ours, 1)},
        "labels": {
            "seconds": round(outcomes, 3),
            "plain_python_seconds_extrapolated": round(plain, 1),
            "times_faster": round(plain / outcomes),
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
