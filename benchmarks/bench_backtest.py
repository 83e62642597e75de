"""The simulation of 140,000 bars: python benchmarks/bench_backtest.py. Prints JSON.

warm: median of seven runs in one process. cached: the first run of a process that finds compiled code on disk. cold: the first run of all,
compilation included, with an empty cache of its own. Reference in the same run: the same kernel, uncompiled, over the first bars only
and extrapolated to all; both must tell the same trades there.

whole_run: backtesting.runs.execute with everything it does (candles from a database of its own, features, an ensemble with as many trees as a
real one, simulation, figures, rows), 140,000 bars in all: the first run of a process and the median of three warm ones.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BARS = 140_000
PLAIN_BARS = 4_000
RUNS = 7
BAR_MS = 900_000
START_MS = 1_600_000_200_000 // BAR_MS * BAR_MS
CANDIDATE_SHARE = 0.05
STEP_SIZE = 0.001
WITHOUT_LIMIT_PCT = 1e9  # a run that a loss limit has stopped has nothing left to measure


def market(bars: int, symbols: int) -> tuple[Any, Any]:
    """A seeded random walk per symbol, of `bars` bars in all, with a plan on every twentieth: kernel.Bars and kernel.Candidates."""
    from backtesting import kernel

    length = bars // symbols
    rng = np.random.default_rng(1)
    close = 1_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.003, (length, symbols)), axis=0))
    opened = np.vstack([np.full((1, symbols), 1_000.0), close[:-1]])
    high = np.maximum(opened, close) * (1.0 + rng.exponential(0.001, close.shape))
    low = np.minimum(opened, close) * (1.0 - rng.exponential(0.001, close.shape))
    timestamp = np.repeat(START_MS + np.arange(length, dtype=np.int64) * BAR_MS, symbols)
    n = timestamp.shape[0]
    before = np.arange(n, dtype=np.int64) - symbols
    before[before < 0] = -1
    rate = np.where(timestamp % (8 * 3_600_000) == 0, rng.normal(1e-4, 5e-5, n), 0.0)
    prices = [np.ascontiguousarray(column.ravel()) for column in (opened, high, low, close)]
    bars_ = kernel.Bars(timestamp, np.tile(np.arange(symbols, dtype=np.int64), length), before, *prices, rate, np.zeros(n))
    side = np.where(rng.random(n) < CANDIDATE_SHARE, rng.choice([-1, 1], n), 0).astype(np.int8)
    reach, at = bars_.close * 0.01 * side, bars_.close
    levels = (at - 1.5 * reach, at + 1.5 * reach, at + 2.75 * reach, at + 4.5 * reach, np.abs(1.25 * reach))
    return bars_, kernel.Candidates(side, *levels, rng.random(n), np.full(n, 0.6))


def simulate(bars: Any, candidates: Any, symbols: int) -> Any:
    """One run with the costs and the medium profile of the product."""
    from backtesting import kernel
    from exchanges.costs import CostModel
    from exchanges.risk.profiles import profile

    costs, risk = CostModel(), profile("medium")
    many = np.full(symbols, 1.0)
    specs = kernel.Specs(
        many * STEP_SIZE, many * 0.0, np.full(symbols, 20, np.int64), many * 0.005,
        many * costs.fee_rate(maker=True), many * costs.fee_rate(maker=False),
    )  # fmt: skip
    rules = kernel.Rules(
        capital=1e9, risk_pct=risk.risk_per_trade_pct, max_margin_pct=risk.max_margin_pct, max_leverage=risk.max_leverage,
        max_open=risk.max_open_positions, max_daily_loss_pct=WITHOUT_LIMIT_PCT, max_drawdown_pct=WITHOUT_LIMIT_PCT,
        slippage=costs.slippage_bps * 1e-4, stop_cost_pct=costs.stop_cost_pct(hours=48), share1=0.3, share2=0.4, share3=0.3,
        max_hold_ms=48 * 3_600_000, bar_ms=BAR_MS, signal_bars=4,
    )  # fmt: skip
    return kernel.simulate(bars, candidates, specs, rules)


def measure(bars: int, symbols: int, runs: int) -> dict[str, Any]:
    """Seconds of each run, and what the last one told."""
    columns = market(bars, symbols)
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        result = simulate(*columns, symbols)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "trades": int(result.trades.pnl.shape[0]), "balance": result.balance}


def elsewhere(bars: int, symbols: int, **environment: str) -> dict[str, Any]:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--once", str(bars), "--symbols", str(symbols)]
    told = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def compare(symbols: int) -> dict[str, Any]:
    """All figures for one number of symbols."""
    with tempfile.TemporaryDirectory(prefix="traderai-bench-") as empty:
        cold = elsewhere(BARS, symbols, NUMBA_CACHE_DIR=empty)
        cached = elsewhere(BARS, symbols, NUMBA_CACHE_DIR=empty)
    warm = measure(BARS, symbols, RUNS + 1)
    seconds = statistics.median(warm["seconds"][1:])
    plain, part = elsewhere(PLAIN_BARS, symbols, NUMBA_DISABLE_JIT="1"), measure(PLAIN_BARS, symbols, 1)
    if (plain["trades"], plain["balance"]) != (part["trades"], part["balance"]):
        raise SystemExit(f"compiled and plain disagree: {part} and {plain}")
    extrapolated = plain["seconds"][0] * BARS / PLAIN_BARS
    return {
        "symbols": symbols,
        "bars": BARS // symbols * symbols,
        "trades": warm["trades"],
        "warm_milliseconds": round(seconds * 1e3, 2),
        "bars_a_second": round(BARS / seconds),
        "first_run_compiled_code_on_disk_seconds": round(cached["seconds"][0], 3),
        "first_run_compiling_seconds": round(cold["seconds"][0], 2),
        "plain_python_bars": PLAIN_BARS,
        "plain_python_seconds_extrapolated": round(extrapolated, 2),
        "times_faster": round(extrapolated / seconds),
    }


def whole_run(symbols: int) -> dict[str, Any]:
    """Seconds of whole runs in this process; Django and its database are set up by bench_scan's imports."""
    import bench_scan
    from django.core.management import call_command

    from backtesting import runs
    from exchanges.models import Market
    from signals.models import ModelVersion

    call_command("migrate", verbosity=0)
    known = Market.objects.filter(venue__slug="binance", kind="perpetual").order_by("id").values_list("symbol", flat=True)
    names = list(known[:symbols])
    bench_scan.store(names, BARS // symbols)
    bench_scan.register(names)
    # Out of sample from the start; what the features need to warm up is missing there and gives no candidates.
    ModelVersion.objects.update(oos_start_ms=bench_scan.START_MS)
    seconds = []
    for _ in range(4):
        run = runs.start(None, symbols=names, capital=10_000, risk_profile="medium", queue=False)
        started = time.perf_counter()
        runs.execute(run.pk)
        seconds.append(time.perf_counter() - started)
    run.refresh_from_db()
    return {
        "symbols": symbols,
        "bars": run.metrics["sample"]["bars"],
        "signals": run.metrics["sample"]["signals"],
        "trades": run.metrics["metrics"]["trades"]["value"],
        "first_run_seconds": round(seconds[0], 2),
        "warm_seconds": round(statistics.median(seconds[1:]), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=4, help="symbols of the second measurement (default 4)")
    parser.add_argument("--whole", action="store_true", help="measure whole runs in this process")
    parser.add_argument("--once", type=int, help="measure one run over that many bars in this process")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measure(options.once, options.symbols, 1)))
        return
    if options.whole:
        print(json.dumps(whole_run(options.symbols)))
        return
    command = [sys.executable, __file__, "--whole", "--symbols", str(options.symbols)]
    whole = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(json.dumps({"one_symbol": compare(1), "several_symbols": compare(options.symbols), "whole_run": whole}, indent=1))


if __name__ == "__main__":
    main()
