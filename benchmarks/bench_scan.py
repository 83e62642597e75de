"""One scan of ten pairs: python benchmarks/bench_scan.py [--symbols 10] [--bars 20000] [--profile]. Prints JSON, medians of five warm scans.

Its own throw-away database, candles stored as a product stores them, a really fitted ensemble that likes every long, so that every market
goes the whole way to a stored signal. More pairs than the catalogue has are added under made-up names. --profile adds where a warm scan's time goes. Reference in the same run: the same scan recomputing the features over the full stored history.
"""

import argparse
import cProfile
import json
import os
import pstats
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="traderai-bench-")
os.environ["LOG_LEVEL"] = "WARNING"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402

django.setup()

from celery import current_app  # noqa: E402
from django.core.management import call_command  # noqa: E402

from exchanges import candles, simulated  # noqa: E402
from exchanges.models import Market  # noqa: E402
from signals import features, registry, scan  # noqa: E402
from signals.ensemble import Calibration, Ensemble, SideModel  # noqa: E402
from signals.learners import DEFAULT, learner  # noqa: E402
from signals.models import ModelStatus, Rejection, Signal  # noqa: E402
from signals.net_profit import Payoff  # noqa: E402

START_MS = 1_672_531_200_000
RUNS = 5
TREES = 150
GOAL_SECONDS_A_PAIR = 0.2


def store(symbols: list[str], bars: int) -> None:
    for frame in simulated.generate(symbols, START_MS, bars, 7):
        candles.ingest(candles.find_market(frame.symbol), frame, provenance="simulated")


def register(symbols: list[str]) -> None:
    """A champion with as many trees as a real one."""
    frame = candles.read(candles.find_market(symbols[0]), "15m", last=8_000)
    rows = features.compute(frame).values
    rows = rows[np.isfinite(rows).all(axis=1)].astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 2, rows.shape[0]).astype(np.int8)
    sides = []
    for chance in (0.7, 0.3):
        fitted = {kind: learner(kind)(rounds=TREES, patience=TREES, seed=1) for kind in DEFAULT}
        for model in fitted.values():
            model.fit(rows, labels, np.ones(rows.shape[0]), None)
        payoff = Payoff(2.0, -1.2, 10.0, 6.0, 500, 500)
        sides.append(SideModel(fitted, dict.fromkeys(DEFAULT, 1 / len(DEFAULT)), Calibration((0.0, 1.0), (chance, chance)), payoff))
    facts = {"timeframe": "15m", "venue_slug": "binance", "symbols": symbols, "params": {}, "metrics": {}, "provenance": "simulated"}
    span = {"data_hash": "0" * 64, "train_start_ms": 0, "train_end_ms": 0, "oos_start_ms": 1}
    ensemble = Ensemble(features.NAMES, sides)
    registry.register(ensemble=ensemble, scope="default", manifest={}, facts={**facts, **span}, status=ModelStatus.CHAMPION)


def pairs(count: int) -> list[str]:
    """So many perpetuals of the catalogue, and made-up ones after these."""
    known = list(Market.objects.filter(venue__slug="binance", kind="perpetual").order_by("id").values_list("symbol", flat=True)[:count])
    more = [f"PAIR{number}/USDT:USDT" for number in range(count - len(known))]
    for symbol in more:
        candles.add_market(symbol)
    return known + more


def forget() -> None:
    """Nothing is decided."""
    Signal.objects.all().delete()
    Rejection.objects.all().delete()


def profiled(count: int) -> list[dict]:
    """The functions of a warm scan by their own time."""
    forget()
    profile = cProfile.Profile()
    profile.runcall(scan.run)
    rows = [
        {"where": f"{Path(path).name}:{line} {name}", "own_seconds": round(row[2], 4), "seconds": round(row[3], 4), "calls": row[0]}
        for (path, line, name), row in pstats.Stats(profile).stats.items()
    ]
    ours = sorted((row for row in rows if row["seconds"] > 0.01), key=lambda row: -row["seconds"])
    return sorted(rows, key=lambda row: -row["own_seconds"])[:count] + ours[:count]


def timed() -> tuple[float, float, list[tuple]]:
    """Wall and CPU seconds of one scan that finds nothing decided, and its decisions."""
    forget()
    started = time.perf_counter(), time.process_time()
    report = scan.run()
    seconds, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    issued = [(signal.market.symbol, signal.side, round(signal.expectancy_pct, 6)) for signal in report.issued]
    return seconds, cpu, sorted(issued) + sorted((row.market.symbol, row.code) for row in report.rejected)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--bars", type=int, default=20_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    current_app.conf.task_always_eager = False  # what follows from a signal is a worker's time, not the scan's
    call_command("migrate", verbosity=0)
    symbols = pairs(options.symbols)
    store(symbols, options.bars)
    register(symbols)

    cold, _, _ = timed()
    warm, cpu, decisions = zip(*(timed() for _ in range(RUNS)), strict=True)
    started = time.perf_counter()
    again = scan.run()
    seen_before = time.perf_counter() - started
    window = features.WARMUP_BARS
    features.WARMUP_BARS = options.bars
    reference, _, whole = timed()
    features.WARMUP_BARS = window
    result = {
        "pairs": len(symbols),
        "bars_stored_each": options.bars,
        "bars_read_each": window,
        "issued": sum(len(decision) == 3 for decision in decisions[0]),
        "rejected": sum(len(decision) == 2 for decision in decisions[0]),
        "seconds_first_scan": round(cold, 3),
        "seconds_warm_scan": round(statistics.median(warm), 3),
        "cpu_seconds_warm_scan": round(statistics.median(cpu), 3),
        "goal_seconds": round(GOAL_SECONDS_A_PAIR * len(symbols), 1),
        "seconds_when_all_was_decided": round(seen_before, 3),
        "decided_before": len(again.known),
        "reference_full_history_seconds": round(reference, 3),
        "same_decisions_as_reference": whole == decisions[0],
    }
    if options.profile:
        result["profile"] = profiled(25)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
