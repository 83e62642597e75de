"""How often the leak tests accuse an honest model, and which planted leaks they catch: python benchmarks/bench_leak_tests.py [--data FOLDER].

Markets are generated from seeds that the limits of the tests were not chosen on: random walks, markets whose moves go on, and GARCH with heavy
tails; with --data, stretches of the folder's real candles (BTC-USDT_15m.parquet and its like, funding beside it), of which the newest
fifth of each series is cut off before anything is looked at. On honest data every test that is a statistic is run as a training runs it: features
against shifted returns, features one sample older, shuffled labels. Leaks are planted as one more feature, a coming return over 4 to 192 bars of
which a share of the variance is the leak and the rest noise. Prints one line of JSON; shares come with Wilson's 95 % interval.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402

django.setup()

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from exchanges.costs import CostModel  # noqa: E402
from exchanges.models import Market, MarketKind, Provenance, Venue  # noqa: E402
from exchanges.ports import CandleFrame, FundingFrame  # noqa: E402
from signals import features, folds  # noqa: E402
from signals.plan import PlanConfig  # noqa: E402
from signals.ports import LONG, SIDES  # noqa: E402
from signals.training import TrainingParams, figures, lag, leaks, panel, walkforward  # noqa: E402
from tests.signals.series import make_funding, make_series  # noqa: E402

PLAN = PlanConfig()
FIRST_SEED = 70_000
LENGTHS = (7_000, 10_000, 16_000)
STRETCH = 12_000
UNSEEN = 0.2
KINDS = {"walk": 0.0, "trend": 0.9, "garch": 0.0}
FILES = (
    "BTC-USDT_15m",
    "ETH-USDT_15m",
    "SOL-USDT_15m",
    "LTC-USDT_15m",
    "BTC-USDT_1h",
    "ETH-USDT_1h",
    "LTC-USDT_1h",
    "XRP-USDT_1h",
    "ADA-USDT_1h",
    "BNB-USDT_1h",
)
PEEKS = (1, 4, 16, 64, 192)
SHARES = (1.0, 0.5, 0.25)


class Case(NamedTuple):
    """One market with its samples as a training takes them, and the walk-forward folds of its sides."""

    name: str
    history: panel.History
    panel: panel.Panel
    folds: tuple[list[folds.Fold], list[folds.Fold]]
    params: TrainingParams


def case(name: str, frame: CandleFrame, funding: FundingFrame) -> Case:
    market = Market(symbol=frame.symbol, venue=Venue(slug="file"), kind=MarketKind.PERPETUAL, provenance=Provenance.FILE)
    history = panel.History(market, frame, funding)
    params = TrainingParams(timeframe=frame.timeframe, folds=3, holdout_share=0.05)
    made = panel.build([history], None, panel.holdout_of([history], params), params, plan=PLAN, costs=CostModel(), tell=lambda _: None)
    return Case(name, history, made, walkforward.split(made, params), params)


def garch(bars: int, seed: int) -> CandleFrame:
    """GARCH(1, 1) returns with Student's t of four degrees of freedom: shocks that cluster and tails that make_series has not."""
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(4, bars) / np.sqrt(2.0)
    variance, returns, mean = 1.0, np.empty(bars), 0.003**2
    for i in range(bars):
        returns[i] = np.sqrt(variance) * shocks[i]
        variance = 0.02 + 0.08 * returns[i] ** 2 + 0.9 * variance
    close = 2_000.0 * np.exp(np.cumsum(np.clip(returns, -12.0, 12.0) * np.sqrt(mean)))
    opened = np.concatenate((close[:1], close[:-1]))
    reach = 0.0015 * rng.exponential(size=(2, bars))
    high, low = np.maximum(opened, close) * (1.0 + reach[0]), np.minimum(opened, close) * (1.0 - reach[1])
    at = 1_672_531_200_000 + np.arange(bars, dtype=np.int64) * 900_000
    return CandleFrame("ETH/USDT:USDT", "15m", at, opened, high, low, close, rng.lognormal(3.0, 1.0, bars))


def generated(each: int, first_seed: int) -> Iterator[Case]:
    """`each` markets of every kind, lengths in turn."""
    for place, (kind, pull) in enumerate(KINDS.items()):
        for number in range(each):
            seed, bars = first_seed + 1_000 * place + number, LENGTHS[number % len(LENGTHS)]
            frame = garch(bars, seed) if kind == "garch" else make_series(bars, seed=seed, pull=pull)
            yield case(kind, frame, make_funding(frame, seed=seed))


def real(folder: Path) -> Iterator[Case]:
    """Stretches of the older part of each series, one after another."""
    for name in FILES:
        path, base = folder / f"{name}.parquet", name.split("_")[0]
        if not path.exists():
            continue
        rows = pq.ParquetFile(path).metadata.num_rows
        table = pq.read_table(path).slice(0, int(rows * (1.0 - UNSEEN)))
        columns = [np.ascontiguousarray(table[field].to_numpy()) for field in ("timestamp", "open", "high", "low", "close", "volume")]
        paid = pq.read_table(folder / f"{base}_funding.parquet")
        until = columns[0][-1]
        at, rate = paid["timestamp"].to_numpy().astype(np.int64), paid["rate"].to_numpy().astype(np.float64)
        funding = FundingFrame(at[at <= until], rate[at <= until])
        for start in range(0, columns[0].size - STRETCH + 1, STRETCH):
            part = [np.ascontiguousarray(column[start : start + STRETCH]) for column in columns]
            frame = CandleFrame(base, name.split("_")[1], part[0].astype(np.int64), *(column.astype(np.float64) for column in part[1:]))
            yield case(name, frame, funding)


def honest(seen: Case) -> dict[str, bool]:
    """Which tests accuse the market as it is."""
    shifted = leaks.shifted_features(seen.panel, [seen.history], horizon_ms=PLAN.max_hold_ms)
    return {
        "shifted_features": not shifted["passed"],
        "lagged_features": not all(lag.lagged_score(seen.panel, side, seen.folds[side], seen.params)["passed"] for side in SIDES),
        "shuffled_labels": not all(walkforward.shuffled_auc(seen.panel, side, seen.folds[side], seen.params)["passed"] for side in SIDES),
    }


def planted(seen: Case, bars: int, share: float, seed: int) -> dict[str, bool]:
    """Which tests catch a feature that is, to a share of its variance, the return of the coming `bars` bars."""
    close = np.log(seen.history.frame.close)
    rows = np.searchsorted(seen.history.frame.timestamp, seen.panel.bar_ms)
    leak = close[np.minimum(rows + bars, close.size - 1)] - close[rows]
    noise = np.random.default_rng(seed).normal(0.0, float(leak.std()), leak.size)
    column = np.sqrt(share) * leak + np.sqrt(1.0 - share) * noise
    made = seen.panel._replace(x=np.column_stack((seen.panel.x, column)).astype(np.float32))
    names = [*features.NAMES, "planted"]
    shifted = leaks.shifted_features(made, [seen.history], horizon_ms=PLAN.max_hold_ms, names=names)
    return {
        "shifted_features": any(item["feature"] == "planted" for item in shifted["offending"]),
        "lagged_features": not lag.lagged_score(made, LONG, seen.folds[LONG], seen.params)["passed"],
    }


def told(found: list[dict[str, bool]]) -> dict[str, Any]:
    """Share of cases in which each test, and any of them, spoke up."""
    out: dict[str, Any] = {"cases": len(found)}
    for name in [*found[0], "any"]:
        count = sum(any(each.values()) if name == "any" else each[name] for each in found)
        low, high = figures.wilson(count / len(found), len(found))
        out[name] = {"spoke": count, "share": round(count / len(found), 4), "low": round(low, 4), "high": round(high, 4)}
    return out


def measured(cases: Iterator[Case], *, with_planted: int) -> dict[str, Any]:
    """False alarms by kind of market, and the leaks that were caught in the first `with_planted` of each kind."""
    alarms: dict[str, list[dict[str, bool]]] = {}
    caught: dict[str, list[dict[str, bool]]] = {}
    for seen in cases:
        alarms.setdefault(seen.name, []).append(honest(seen))
        if len(alarms[seen.name]) > with_planted:
            continue
        for number, (bars, share) in enumerate((bars, share) for bars in PEEKS for share in SHARES):
            caught.setdefault(f"{bars} bars, {share:.0%}", []).append(planted(seen, bars, share, number))
    everything = [each for found in alarms.values() for each in found]
    return {
        "false_alarms": {**{name: told(found) for name, found in alarms.items()}, "all": told(everything)} if everything else {},
        "caught": {name: told(found) for name, found in caught.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with real candles")
    parser.add_argument("--markets", type=int, default=20, help="generated markets of each kind (default 20)")
    parser.add_argument("--planted", type=int, default=4, help="markets of each kind in which leaks are planted (default 4)")
    parser.add_argument(
        "--seed", type=int, default=FIRST_SEED, help=f"first seed (default {FIRST_SEED}; the limits were chosen on seeds below 10,000)"
    )
    asked = parser.parse_args()
    began = time.perf_counter()
    result: dict[str, Any] = {"generated": measured(generated(asked.markets, asked.seed), with_planted=asked.planted)}
    if asked.data:
        result["real"] = measured(real(asked.data), with_planted=1)
    print(json.dumps({**result, "first_seed": asked.seed, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
