"""Walk-forward results on real candles, whichever way they come out: python benchmarks/research.py --data FOLDER [--group 15m] [--final].

FOLDER holds BTC-USDT_15m.parquet and its like, with BTC-USDT_funding.parquet beside it. Each group of markets is trained together, validated out
of sample by walk-forward, and reported by symbol: hit rate of TP1 with its interval beside the break-even, profit factor and Sharpe ratio after
costs, trades, coverage. The newest 20 % are not touched unless --final asks for the one last run. Prints one line of JSON a group; the table goes to stderr.
"""

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402

django.setup()

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from exchanges.models import Market, MarketKind, Provenance, Venue  # noqa: E402
from exchanges.ports import CandleFrame, FundingFrame  # noqa: E402
from signals import folds  # noqa: E402
from signals.net_profit import EntryRule  # noqa: E402
from signals.ports import SIDES  # noqa: E402
from signals.training import TrainingParams, offers, panel, pipeline, trades  # noqa: E402

GROUPS = {
    "15m": ("15m", ("BTC-USDT", "ETH-USDT", "SOL-USDT", "LTC-USDT")),
    "15m spot": ("15m", ("BNB-USDT-SPOT", "ADA-USDT-SPOT", "XRP-USDT-SPOT", "SOL-USDT-SPOT")),
    "1h": ("1h", ("BTC-USDT", "ETH-USDT", "LTC-USDT", "XRP-USDT", "ADA-USDT", "BNB-USDT")),
    "1h spot": ("1h", ("SOL-USDT-SPOT",)),
}
COLUMNS = ("open", "high", "low", "close", "volume")
SHOWN = (
    "trades",
    "coverage",
    "hit_rate",
    "hit_rate_low",
    "hit_rate_high",
    "break_even",
    "profit_factor",
    "mean_net_pct",
    "sharpe",
    "sharpe_low",
    "sharpe_high",
)


def history(folder: Path, number: int, name: str, timeframe: str) -> panel.History:
    """One market from its files, never saved."""
    is_spot = name.endswith("-SPOT")
    base = name.split("-")[0]
    symbol = f"{base}/USDT" if is_spot else f"{base}/USDT:USDT"
    table = pq.read_table(folder / f"{name}_{timeframe}.parquet")
    column = {field: np.ascontiguousarray(table[field].to_numpy()) for field in ("timestamp", *COLUMNS)}
    frame = CandleFrame(symbol, timeframe, column["timestamp"].astype(np.int64), *(column[field].astype(np.float64) for field in COLUMNS))
    rates = folder / f"{name}_funding.parquet"
    funding = FundingFrame(np.empty(0, np.int64), np.empty(0))
    if rates.exists() and not is_spot:
        found = pq.read_table(rates)
        funding = FundingFrame(found["timestamp"].to_numpy().astype(np.int64), found["rate"].to_numpy().astype(np.float64))
    kind = MarketKind.SPOT if is_spot else MarketKind.PERPETUAL
    market = Market(pk=number, venue=Venue(slug="file"), symbol=symbol, base=base, quote="USDT", kind=kind, provenance=Provenance.FILE)
    return panel.History(market, frame, funding)


def holdout(
    known: list[panel.History], btc: CandleFrame | None, trained: pipeline.Trained, params: TrainingParams, rule: EntryRule
) -> dict[str, Any]:
    """The newest part, which neither fitting nor choosing has seen, judged once by the same rules: overall and by symbol."""
    hold = panel.holdout_of(known, params)
    everything = folds.Holdout(hold.end_ms, hold.end_ms, hold.end_ms)
    whole = panel.build(known, btc, everything, params, plan=params.plan_config, costs=known[0].market.costs, tell=lambda _: None)
    sample = np.flatnonzero(whole.bar_ms >= hold.start_ms)
    probability = np.full((whole.bar_ms.size, len(SIDES)), np.nan)
    probability[sample] = trained.ensemble.predict(whole.x[sample].astype(np.float64)).probability
    offered = np.full(probability.shape, np.nan)
    for side in SIDES:
        model = trained.ensemble.sides[side]
        offered[sample, side] = offers.expectancy(whole, side, sample, probability[sample, side], model.payoff, rule, model.thresholds)
    made = trades.taken(whole, offered)
    by_symbol = {}
    for number, symbol in enumerate(whole.symbols):
        rows = sample[whole.symbol[sample] == number]
        if rows.size:
            by_symbol[symbol] = trades.describe(whole, made, offered, rows)
    return {"overall": trades.describe(whole, made, offered, sample), "symbols": by_symbol}


def table(name: str, told: dict[str, Any]) -> None:
    print(f"{name:28} " + " ".join(f"{key.replace('_', ' ')[:12]:>13}" for key in SHOWN), file=sys.stderr)
    for row, found in {"all": told["overall"], **told["symbols"]}.items():
        cells = (found.get(key) for key in SHOWN)
        print(f"{row:28} " + " ".join(f"{cell:13.3f}" if isinstance(cell, float) else f"{cell!s:>13}" for cell in cells), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--group", choices=GROUPS, action="append", help="default: all")
    parser.add_argument("--folds", type=int, default=6)
    parser.add_argument("--stride", type=int, default=4, help="a sample every so many bars")
    parser.add_argument("--learners", default="lightgbm,xgboost")
    parser.add_argument("--params", type=json.loads, default={}, help='more of a training, as JSON: {"trials": 20}')
    parser.add_argument("--final", action="store_true", help="also judge the newest 20 %%, once")
    parser.add_argument("--coverage", type=float, default=0.0, help="abstain where the prediction set does not decide at this coverage")
    options = parser.parse_args()
    rule = EntryRule(coverage=options.coverage)
    for name in options.group or GROUPS:
        timeframe, names = GROUPS[name]
        stride = max(1, options.stride // 4) if timeframe == "1h" else options.stride
        chosen = {"timeframe": timeframe, "folds": options.folds, "stride": stride, "learners": tuple(options.learners.split(","))}
        params = TrainingParams(**{**chosen, **options.params})
        known = [history(options.data, number, each, timeframe) for number, each in enumerate(names, start=1)]
        btc = next((each.frame for each in known if each.market.base == "BTC"), None)
        started = time.perf_counter()
        trained = pipeline.fit(known, btc, params, lambda stage, share: None, rule)
        metrics = trained.facts["metrics"]
        out = {
            "benchmark": "research",
            "group": name,
            "params": trained.facts["params"],
            "seconds": round(time.perf_counter() - started, 1),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "samples": metrics["span"],
            "text": metrics["text"],
            "trading": metrics["trading"],
            "edge": metrics["edge"],
        }
        table(f"{name}, walk-forward", metrics["trading"])
        if options.final:
            out["holdout"] = holdout(known, btc, trained, params, rule)
            table(f"{name}, newest 20 %, once", out["holdout"])
        print(metrics["text"], file=sys.stderr)
        print(json.dumps(out), flush=True)


if __name__ == "__main__":
    main()
