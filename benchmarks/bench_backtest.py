"""A backtest as its user meets it: python benchmarks/bench_backtest.py [--symbols 10] [--bars 140256] [--profile]. Prints JSON.

whole: a rule's run (SMA 20/50 with the plan's ladder), then a model's, from the row to the stored report: candles from a database of their own,
decisions, simulation, figures, checks, rows; then the page itself through Django's test client. Medians of three warm ones; goal: 2 s together.
kernel: the first pass of a fresh process with an empty cache (compiling) and with a filled one (goal 1 s), in seconds, and what a pass over ten
histories adds in memory to the arrays it is given (goal: 3 times them in all).
"""

import argparse
import cProfile
import json
import os
import pstats
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
BARS = 140_256
START_MS = 1_640_995_200_000
WARM = 3


def one_pass() -> dict[str, Any]:
    """One simulation in this process, importing included."""
    began = time.perf_counter()
    import crosses

    pair = crosses.walk(0, BARS)
    rows = np.arange(100, BARS - 1, 40)
    ready = time.perf_counter()
    from backtesting import kernel

    imported = time.perf_counter()
    bars = crosses.bars_of([pair])
    side = np.zeros(BARS, np.int8)
    side[rows] = np.where(rows % 80 < 40, 1, -1)
    kernel.simulate(bars, kernel.entries_of(bars, side, pair.close * 0.01), crosses.specs(1), crosses.rules())
    done = time.perf_counter()
    return {"data_s": round(ready - began, 3), "import_s": round(imported - ready, 3), "first_pass_s": round(done - imported, 3)}


def memory() -> dict[str, Any]:
    """Bytes that a pass is given and at most adds, counted by tracemalloc, which sees numpy's buffers."""
    import tracemalloc

    import crosses

    from backtesting import kernel

    pairs = [crosses.walk(number, BARS) for number in range(10)]
    given = sum(column.nbytes for pair in pairs for column in pair) + 10 * BARS * 8

    def run() -> int:
        bars = crosses.bars_of(pairs)
        found = crosses.entries(pairs, bars, np.array([[crosses.FAST, crosses.SLOW]]))
        found = found._replace(starts=found.starts[0], stops=found.stops[0])
        return len(kernel.simulate(bars, found, crosses.specs(10), crosses.rules()).trades.pnl)

    run()
    tracemalloc.start()
    trades = run()
    _, most = tracemalloc.get_traced_memory()
    return {"given_bytes": given, "added_at_most_bytes": most, "times_given_in_all": round((given + most) / given, 2), "trades": trades}


def whole(symbols: int, bars: int, *, profile: bool) -> dict[str, Any]:
    """Runs from the row to the report, and their pages; Django and its database are set up by bench_scan's imports."""
    import bench_scan
    from django.core.management import call_command
    from django.test import Client

    from accounts.models import User
    from backtesting import runs
    from exchanges import candles, simulated
    from signals.models import ModelVersion

    call_command("migrate", verbosity=0)
    names = bench_scan.pairs(symbols)
    for frame in simulated.generate(names, START_MS, bars, 7):
        candles.ingest(candles.find_market(frame.symbol), frame, provenance="simulated")
    bench_scan.register(names)
    ModelVersion.objects.update(oos_start_ms=START_MS)  # what the features need to warm up is missing there and gives no candidates
    user = User.objects.create_user("trader@example.com", "a long password 12")
    client, told = Client(SERVER_NAME="localhost"), {}
    client.force_login(user)
    for kind, more in (("rule", {"strategy": "sma-cross", "strategy_params": {"fast": 20, "slow": 50}}), ("model", {})):
        seconds, pages = [], []
        for number in range(WARM + 1):
            run = runs.start(user, symbols=names, capital=10_000, risk_profile="medium", queue=False, **more)
            watch = cProfile.Profile() if profile and number == WARM else None
            began = time.perf_counter()
            if watch is None:
                runs.execute(run.pk)
            else:
                watch.runcall(runs.execute, run.pk)
                pstats.Stats(watch, stream=sys.stderr).sort_stats("cumulative").print_stats(60)
            seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
            reply = client.get(f"/backtests/{run.pk}/", secure=True)
            pages.append(time.perf_counter() - began)
            if reply.status_code != 200:
                raise SystemExit(f"the page answered {reply.status_code}")
        run.refresh_from_db()
        found = run.metrics
        told[kind] = {
            "symbols": symbols, "bars": found["sample"]["bars"], "trades": found["metrics"]["trades"]["value"], "first_s": round(seconds[0], 2),
            "warm_s": round(statistics.median(seconds[1:]), 2), "page_s": round(statistics.median(pages[1:]), 2), "page_bytes": len(reply.content),
        }  # fmt: skip
    return told


def elsewhere(*arguments: str, **environment: str) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    told = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--bars", type=int, default=BARS, help="of each symbol")
    parser.add_argument("--profile", action="store_true", help="where a run's time goes, on standard error")
    parser.add_argument("--only", choices=("pass", "memory", "whole"), help="one measurement, in this process")
    asked = parser.parse_args()
    if asked.only == "pass":
        print(json.dumps(one_pass()))
    elif asked.only == "memory":
        print(json.dumps(memory()))
    elif asked.only == "whole":
        print(json.dumps(whole(asked.symbols, asked.bars, profile=asked.profile)))
    else:
        with tempfile.TemporaryDirectory(prefix="traderai-bench-") as empty:
            compiling = elsewhere("--only", "pass", NUMBA_CACHE_DIR=empty)
            cached = elsewhere("--only", "pass", NUMBA_CACHE_DIR=empty)
        told = {"kernel": {"compiling": compiling, "cached": cached, "memory": elsewhere("--only", "memory")}}
        told["whole"] = elsewhere("--only", "whole", "--symbols", str(asked.symbols), "--bars", str(asked.bars))
        print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
