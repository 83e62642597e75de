"""What sma_cross.py, sweep.py and portfolio.py share: their rules told to the product, the bars, the clock, the JSON line.

A cross of SMA(fast) and SMA(slow) at a close opens long or short at the next open and reverses an opposite position; 10 % of equity as notional,
stop 1.5 ATR(14) and target 3 ATR from the fill, stop before target; fee 5 bps a side, slippage 3 bps. Timed: from bars in the kernel's own
container to finished trades, indicators included.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BEGAN = time.perf_counter()
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BARS = 140_256
BAR_MS = 900_000
START_MS = 1_640_995_200_000  # 2022-01-01, four years of 15m bars
FAST, SLOW, CASH, MOST_OPEN, PAIRS = 20, 50, 1_000_000.0, 4, 10


class Pair(NamedTuple):
    """Columns of one market, float64 [n]."""

    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any


def walk(number: int, bars: int) -> Pair:
    """A seeded walk whose volatility comes in clusters."""
    rng = np.random.default_rng(20_260_000 + number)
    size = 0.0025 * np.exp(0.5 * np.sin(np.arange(bars) / 700.0) + 0.3 * rng.standard_normal(bars))
    close = 30_000.0 / (1 + number) * np.exp(np.cumsum(size * rng.standard_normal(bars)))
    opened = np.concatenate((close[:1], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + np.abs(rng.standard_normal(bars)) * size / 2)
    low = np.minimum(opened, close) * (1.0 - np.abs(rng.standard_normal(bars)) * size / 2)
    return Pair(opened, high, low, close, rng.lognormal(5.0, 1.0, bars))


def stored(path: Path, bars: int) -> Pair:
    """A file's newest bars; a shorter one is repeated, each time scaled to join without a jump."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = np.column_stack([table[name].to_numpy().astype(float) for name in Pair._fields])[-bars:]
    whole = columns
    while columns.shape[0] < bars:
        more = whole[: bars - columns.shape[0]].copy()
        more[:, :4] *= columns[-1, 3] / more[0, 0]
        columns = np.vstack([columns, more])
    return Pair(*(np.ascontiguousarray(columns[:, k]) for k in range(5)))


def options(work: str, pairs: int = 1) -> tuple[list[Pair], argparse.Namespace]:
    """The command line, and the bars it asks for."""
    parser = argparse.ArgumentParser(description=f"{work}: prints one line of JSON.")
    parser.add_argument(
        "--data", type=Path, nargs="+", default=[], help="Parquet files of 15m bars (default, and for missing ones: seeded walks)"
    )
    parser.add_argument("--bars", type=int, default=BARS)
    parser.add_argument("--reps", type=int, default=21, help="timed calls after the first")
    asked = parser.parse_args()
    files = [stored(path, asked.bars) for path in asked.data[:pairs]]
    return files + [walk(number, asked.bars) for number in range(len(files), pairs)], asked


def bars_of(pairs: list[Pair]) -> Any:
    """The kernel's container."""
    from backtesting import kernel

    times = START_MS + BAR_MS * np.arange(pairs[0].close.shape[0], dtype=np.int64)
    return kernel.join([kernel.Series(times, *pair) for pair in pairs])


def rules(**more: Any) -> Any:
    """The rules above, with the account's limits so wide that they stop nothing."""
    from backtesting import kernel

    usual: dict[str, Any] = {
        "capital": CASH, "sizing": kernel.BY_NOTIONAL, "notional_pct": 10.0, "max_margin_pct": 100.0, "max_leverage": 1,
        "max_daily_loss_pct": 1e9, "max_drawdown_pct": 1e9, "stop": 1.5, "tp1": 3.0, "tp2": 3.0, "tp3": 3.0,
        "share1": 1.0, "share2": 0.0, "share3": 0.0, "max_hold_ms": 1 << 50, "anchor": kernel.AT_FILL, "opposite": kernel.REVERSE,
    }  # fmt: skip
    return kernel.Rules(**{**usual, **more})


def specs(count: int) -> list[Any]:
    """A perpetual of each market with everything a venue asks: steps, ticks, a minimum, fees, a maintenance tier."""
    from backtesting import kernel

    return [kernel.Spec(1e-6, 1e-4, 5.0, 20, 0.0005, 0.0005, 0.01, (kernel.Tier(0.0, 0.005),), 0.0003)] * count


def entries(pairs: list[Pair], bars: Any, table: Any) -> Any:
    """Decisions of every row (fast, slow) of `table` on every pair, as the kernel takes them: indicators included."""
    import talib

    from backtesting import kernel
    from signals.rules import rule
    from signals.rules.decisions import decide

    strategy, starts, stops, rows, sides, used = rule("sma-cross"), [], [], [], [], 0
    for number, pair in enumerate(pairs):
        said = decide(strategy, pair.high, pair.low, pair.close, table)
        starts.append(said.offsets[:-1] + used)
        stops.append(said.offsets[1:] + used)
        rows.append(said.rows + bars.first[number] if number else said.rows)
        sides.append(said.sides)
        used += said.rows.shape[0]
    unit = [talib.ATR(pair.high, pair.low, pair.close, 14) for pair in pairs]
    joined = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in (rows, sides, unit)]
    return kernel.Entries(np.stack(starts, axis=1), np.stack(stops, axis=1), joined[0], joined[1], np.empty(0), joined[2])


def timed(work: Callable[[], Any], reps: int) -> tuple[float, list[float], Any]:
    """Seconds of the first call, of each later one, and the last result."""
    seconds = []
    for _ in range(reps + 1):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    return seconds[0], seconds[1:], result


def tell(work: str, ours: tuple[float, list[float]], bare: tuple[float, list[float]], **more: Any) -> None:
    """One line of JSON in the form that harnesses of other engines print, with the bare loop of the same run beside it."""
    warm, reference = statistics.median(ours[1]), statistics.median(bare[1])
    facts = {
        "peer": "traderai", "version": "0.1.0", "py": platform.python_version(), "work": work, "mode": "kernel", "cold_s": round(ours[0], 4),
        "warm_s": [round(each, 6) for each in ours[1]], "warm_med_s": round(warm, 6), "warm_min_s": round(min(ours[1]), 6),
        "bare_loop_med_s": round(reference, 6), "bare_loop_min_s": round(min(bare[1]), 6),
        "times_bare_loop": round(warm / reference, 2), "times_bare_loop_by_min": round(min(ours[1]) / min(bare[1]), 2),
        "cores": len(os.sched_getaffinity(0)), "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "proc_s": round(time.perf_counter() - BEGAN, 2),
    }  # fmt: skip
    print(json.dumps({**facts, **more}))
