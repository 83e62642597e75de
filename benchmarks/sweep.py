"""W2, a thousand pairs of averages on 140,256 bars: python benchmarks/sweep.py [--data FILE]. Rules and JSON: benchmarks/crosses.py."""

from crosses import CASH, bars_of, entries, options, rules, specs, tell, timed  # isort: skip

import os
from concurrent.futures import ThreadPoolExecutor

import bare_loop
import numpy as np

from backtesting import kernel

COMBINATIONS = 1_000


def combinations() -> np.ndarray:
    """Fast 5 to 50, slow 20 to 200, fast < slow: a thousand of them, evenly."""
    fast = [5 + round(45 * i / 24) for i in range(25)]
    slow = [20 + round(180 * i / 49) for i in range(50)]
    every = [(f, s) for f in fast for s in slow if f < s]
    step = len(every) / COMBINATIONS
    return np.array([every[int(i * step)] for i in range(COMBINATIONS)])


def main() -> None:
    pairs, asked = options("W2")
    pair, bars, table, venue = pairs[0], bars_of(pairs), combinations(), specs(1)
    accounts = [rules()] * len(table)
    cores = len(os.sched_getaffinity(0))

    def bare_sweep() -> int:
        with ThreadPoolExecutor(cores) as pool:
            return sum(pool.map(lambda first: bare_loop.sweep(*pair[:4], table, CASH, first, cores), range(cores)))

    bare = timed(bare_sweep, min(asked.reps, 5))
    ours = timed(lambda: kernel.sweep(bars, entries(pairs, bars, table), venue, accounts), min(asked.reps, 5))
    swept = ours[2]
    tell(
        "W2", ours[:2], bare[:2], bars=asked.bars, combos=len(table), trades=int(swept.trades.sum()), bare_loop_trades=bare[2],
        final_equity=round(float(swept.balance.max()), 2), combos_per_s=round(len(table) / min(ours[1]), 1),
    )  # fmt: skip


if __name__ == "__main__":
    main()
