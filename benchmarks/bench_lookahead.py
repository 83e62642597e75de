"""Look-ahead and warm-up of the strategy's whole way, on candles on which it issues signals: python benchmarks/bench_lookahead.py [--data FOLDER].

A well calibrated model hardly ever passes its own thresholds on real candles, so the learners are fitted on the older half and their answers
then stretched on purpose: a fifth of the bars on either side is called likely, whatever it is worth. What is compared is therefore not the
features and probabilities alone, as ever, but hundreds of issued plans. Then one feature is made to peek a bar ahead, and has to be named.
FOLDER holds BTC-USDT_15m.parquet and its like, funding beside it; the newest fifth of each series is never read. Without it, a generated market.
Prints one line of JSON.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
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

from backtesting import checks, lookahead, preparation  # noqa: E402
from exchanges.costs import CostModel  # noqa: E402
from exchanges.models import Market, MarketKind, Provenance, Venue  # noqa: E402
from exchanges.ports import CandleFrame, FundingFrame  # noqa: E402
from signals import ensemble, features, strategies  # noqa: E402
from signals.learners import DEFAULT, learner  # noqa: E402
from signals.net_profit import Payoff  # noqa: E402
from signals.ports import SIDES, FeatureFrame  # noqa: E402
from signals.training import TrainingParams, panel  # noqa: E402
from tests.signals.series import make_funding, make_series  # noqa: E402

NAMES = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
UNSEEN = 0.2
BARS, EXAMINED, ROUNDS = 24_000, 4_000, 40
LIKELY, UNLIKELY, QUANTILE = 0.75, 0.3, 0.8
GENEROUS = Payoff(win_atr=2.0, loss_atr=-1.2, win_hours=10.0, loss_hours=6.0, wins=500, losses=500)
PEEKS = "ret_4"


def stored(folder: Path) -> Iterator[panel.History]:
    """The newest BARS of the older four fifths of each series."""
    for name in NAMES:
        path = folder / f"{name}_15m.parquet"
        if not path.exists():
            continue
        end = int(pq.ParquetFile(path).metadata.num_rows * (1.0 - UNSEEN))
        table = pq.read_table(path).slice(max(0, end - BARS), min(BARS, end))
        column = [np.ascontiguousarray(table[field].to_numpy()) for field in ("timestamp", "open", "high", "low", "close", "volume")]
        frame = CandleFrame(
            f"{name[:3]}/USDT:USDT", "15m", column[0].astype(np.int64), *(values.astype(np.float64) for values in column[1:])
        )
        paid = pq.read_table(folder / f"{name}_funding.parquet")
        at, rate = paid["timestamp"].to_numpy().astype(np.int64), paid["rate"].to_numpy().astype(np.float64)
        yield panel.History(market(frame), frame, FundingFrame(at[at <= frame.timestamp[-1]], rate[at <= frame.timestamp[-1]]))


def generated() -> Iterator[panel.History]:
    frame = make_series(BARS // 2, seed=70_001)
    yield panel.History(market(frame), frame, make_funding(frame))


def market(frame: CandleFrame) -> Market:
    """One that is never saved."""
    return Market(symbol=frame.symbol, venue=Venue(slug="file"), kind=MarketKind.PERPETUAL, provenance=Provenance.FILE)


def stretched(known: panel.History, examined: lookahead.Data) -> ensemble.Ensemble:
    """Learners of the older half, whose answers on the examined bars spread so that a fifth of them is called likely."""
    params = TrainingParams(holdout_share=0.5)
    hold = panel.holdout_of([known], params)
    past = panel.build([known], None, hold, params, plan=strategies.template("ml-ensemble").plan, costs=CostModel(), tell=lambda _: None)
    rows = features.compute(examined.frame, funding=examined.funding, btc=examined.bitcoin).values
    rows = rows[np.isfinite(rows).all(axis=1)].astype(np.float32)
    sides = []
    for side in SIDES:
        fitted = {kind: learner(kind)(rounds=ROUNDS, patience=ROUNDS, seed=7) for kind in DEFAULT}
        for model in fitted.values():
            model.fit(past.x, past.y[:, side], past.weight[:, side], None)
        answers = np.mean([model.predict(rows) for model in fitted.values()], axis=0)
        middle, spread = float(np.quantile(answers, QUANTILE)), float(answers.std())
        calibration = ensemble.Calibration((middle - spread, middle + spread), (UNLIKELY, LIKELY))
        sides.append(ensemble.SideModel(fitted, dict.fromkeys(fitted, 1.0 / len(fitted)), calibration, GENEROUS))
    return ensemble.Ensemble(features.NAMES, sides)


def peeking(frame: CandleFrame, *, funding: FundingFrame, btc: CandleFrame | None) -> FeatureFrame:
    """The honest features, one of them a bar early."""
    honest = features.compute(frame, funding=funding, btc=btc)
    values, column = honest.values.copy(), honest.names.index(PEEKS)
    values[:-1, column] = values[1:, column]
    return honest._replace(values=values)


def examine(known: panel.History, cuts: int, ends: int) -> dict[str, Any]:
    first = len(known.frame) - EXAMINED
    data = lookahead.Data(known.frame.slice(first, len(known.frame)), known.funding, None)
    model, live = stretched(known, data), features.WARMUP_BARS
    places = lookahead.cut_points(data.frame, first=live + (EXAMINED - live) // 4, count=cuts)

    def run(at: list[int], rows: list[int], compute: Callable[..., FeatureFrame] | None) -> lookahead.Report:
        def say(shorter: lookahead.Data) -> lookahead.Said:
            template = strategies.template("ml-ensemble")
            return checks.said(preparation.decide(*shorter, ensemble=model, template=template, market=known.market, compute=compute))

        warmups = {spec.name: spec.warmup_bars for spec in features.CATALOGUE}
        return lookahead.examine(say, data, warmups=warmups, live_bars=live, cuts=at, ends=rows, tell=lambda _: None)

    report = run(places, lookahead.end_rows(EXAMINED, live_bars=live, count=ends), None)
    caught = run(places[:4], [], peeking)
    return {
        "bars": report.bars,
        "cuts": report.cuts,
        "values_compared": report.compared,
        "issued": report.decided,
        "settled_bars": report.settled_bars,
        "moved": [found.name for found in report.findings],
        "planted_in": PEEKS,
        "planted_found_in": sorted({found.name for found in caught.findings}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with real candles")
    parser.add_argument("--cuts", type=int, default=checks.CUTS, help=f"places at which each market is cut off (default {checks.CUTS})")
    parser.add_argument("--ends", type=int, default=checks.ENDS, help=f"rows whose history is shortened (default {checks.ENDS})")
    asked = parser.parse_args()
    began = time.perf_counter()
    markets = stored(asked.data) if asked.data else generated()
    result = {known.frame.symbol: examine(known, asked.cuts, asked.ends) for known in markets}
    print(json.dumps({"markets": result, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
