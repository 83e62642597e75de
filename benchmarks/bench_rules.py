"""The decisions of 1,000 parameter combinations of each rule strategy: python benchmarks/bench_rules.py [--data FILE] [--threads N]. Prints JSON.

One symbol, 140,256 bars of a seeded random walk, or those of a Parquet file with the columns high, low and close. cold: the first call of the process,
loading of compiled code (or compiling) included; warm: the median of RUNS more.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BARS, RUNS = 140_256, 7
GRIDS: dict[str, list[tuple[float, ...]]] = {
    "sma-cross": [(5 + round(45 * i / 24), 20 + round(180 * k / 49)) for i in range(25) for k in range(50)],
    "macd-cross": [(fast, slow, signal) for fast in range(5, 25, 2) for slow in range(26, 76, 5) for signal in range(5, 15)],
    "donchian-breakout": [(period, margin / 40) for period in range(10, 260, 10) for margin in range(40)],
    "rsi-reversion": [(period, low, 100 - low) for period in range(2, 27) for low in range(5, 45)],
    "bollinger-reversion": [(period, width / 10) for period in range(10, 260, 10) for width in range(10, 50)],
}


def market(path: Path | None) -> tuple[Any, Any, Any]:
    """high, low, close."""
    if path is not None:
        import pyarrow.parquet as pq

        table = pq.read_table(path, columns=["high", "low", "close"])
        high, low, close = (np.ascontiguousarray(table[name].to_numpy(), np.float64) for name in ("high", "low", "close"))
        return high, low, close
    rng = np.random.default_rng(1)
    close = 30_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.002, BARS)))
    return close * (1.0 + rng.exponential(0.001, BARS)), close * (1.0 - rng.exponential(0.001, BARS)), close


def measure(slug: str, prices: tuple[Any, Any, Any], threads: int | None) -> dict[str, Any]:
    from signals import rules
    from signals.rules.decisions import decide

    rule = rules.rule(slug)
    fit = [row for row in GRIDS[slug] if rule.fits({known.name: value for known, value in zip(rule.parameters, row, strict=True)})]
    grid = [fit[int(i * len(fit) / 1_000)] for i in range(1_000)]
    took = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        found = decide(rule, *prices, grid, threads=threads)
        took.append(time.perf_counter() - began)
    return {
        "combinations": len(grid),
        "decisions": int(found.rows.size),
        "cold_s": round(took[0], 3),
        "warm_s": round(statistics.median(took[1:]), 4),
        "ns_per_bar": round(statistics.median(took[1:]) / len(grid) / prices[2].size * 1e9, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    prices = market(options.data)
    print(json.dumps({"bars": int(prices[2].size), **{slug: measure(slug, prices, options.threads) for slug in GRIDS}}, indent=1))


if __name__ == "__main__":
    main()
