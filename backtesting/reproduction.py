"""What makes a run repeatable: the data it read, as hashes, the code, and how a repetition compares with the run it repeats."""

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version as installed_version
from math import isclose
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from backtesting.models import BacktestRun, BacktestTrade
from exchanges import candles
from exchanges.models import Market
from exchanges.ports import CandleFrame
from exchanges.timeframes import TIMEFRAME_MS
from traderai.lib.version import code_version

if TYPE_CHECKING:
    from backtesting.preparation import Prepared

SEED = 0
"""Of everything in a run that draws lots."""
LIBRARIES = ("numpy", "numba", "ta-lib")
MOST_DIFFERENCES = 50
RELATIVE = 1e-9
"""Prices and amounts this near count as the same: another processor may round the last bit differently."""
EXACT = ("signal_ms", "exit_ms", "leverage", "tps_hit", "exit_reason")
NEAR = ("entry_price", "exit_price", "qty", "stop", "tp1", "fees", "funding", "pnl", "probability")
WORDS = {
    "signal_ms": "decided", "exit_ms": "left", "leverage": "leverage", "tps_hit": "targets reached", "exit_reason": "left by",
    "entry_price": "entry price", "exit_price": "average exit", "qty": "quantity", "stop": "stop", "tp1": "first target", "fees": "fees",
    "funding": "funding", "pnl": "P&L", "probability": "probability",
}  # fmt: skip


# --- what was read


def data_hashes(prepared: Sequence["Prepared"], bitcoin: CandleFrame | None, *, start_ms: int, warm_up_bars: int) -> dict[str, str]:
    """BLAKE2b of each series that a run read, up to the close of its market's last bar: candles with the warm-up before start_ms, funding,
    mark prices and finer bars where it used them, and Bitcoin's candles where they are a feature."""
    series: dict[str, Sequence[NDArray[Any]]] = {}
    newest_ms = start_ms
    bar_ms = TIMEFRAME_MS[settings.BASE_TIMEFRAME]
    for item in prepared:
        symbol, end_ms = item.market.symbol, int(item.frame.timestamp[-1]) + bar_ms if len(item.frame) else start_ms
        before = candles.read(item.market, settings.BASE_TIMEFRAME, end_ms=start_ms, last=warm_up_bars)
        series[f"{symbol} candles"] = (*before[2:], *item.frame[2:])
        series[f"{symbol} funding"] = candles.funding(item.market, end_ms=end_ms)
        for name, frame in (("mark prices", item.marks), ("finer candles", item.details)):
            if frame is not None and len(frame):
                series[f"{symbol} {name}"] = frame[2:]
        newest_ms = max(newest_ms, end_ms)
    if bitcoin is not None:
        series["Bitcoin candles"] = bitcoin.slice(0, int(bitcoin.timestamp.searchsorted(newest_ms)))[2:]
    with ThreadPoolExecutor() as pool:  # hashing lets other threads work
        return dict(zip(series, pool.map(_hash, series.values()), strict=True))


def _hash(columns: Iterable[NDArray[Any]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for column in columns:
        digest.update(column.shape[0].to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def data_hash(series: Mapping[str, str]) -> str:
    """One hash of all series, whatever their order."""
    text = "\n".join(f"{name} {value}" for name, value in sorted(series.items()))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def configuration(run: BacktestRun, markets: Sequence[Market], series: Mapping[str, str]) -> dict[str, Any]:
    """What is kept beside a run's settings so that it can be repeated and compared."""
    model = run.model
    return {
        "seed": SEED,
        "code_version": code_version(),
        "model": None if model is None else {"scope": model.scope, "version": model.version, "manifest_sha256": model.manifest_sha256},
        "data": dict(series),
        "markets": {market.symbol: _venue_rules(market) for market in markets},
        "libraries": {"python": platform.python_version(), **{name: installed_version(name) for name in LIBRARIES}},
    }


def _venue_rules(market: Market) -> dict[str, Any]:
    return {
        "tick_size": float(market.tick_size),
        "step_size": float(market.step_size),
        "min_notional": float(market.min_notional),
        "max_leverage": market.max_leverage,
        "maintenance_tiers": [list(tier) for tier in market.tiers],
        **asdict(market.costs),
    }


# --- what came of it


def compare(old: BacktestRun, params: Mapping[str, Any], trades: Sequence[BacktestTrade]) -> dict[str, Any]:
    """How a repetition with these settings and trades compares with `old`.

    {same, trades: number of both's trades, differing, differences: the first MOST_DIFFERENCES sentences, causes: what else differs}
    """
    before = list(BacktestTrade.objects.filter(run=old).order_by("number"))
    sentences = differences(before, trades)
    return {
        "same": not sentences,
        "trades": [len(before), len(trades)],
        "differing": len(sentences),
        "differences": sentences[:MOST_DIFFERENCES],
        "causes": causes(old.params, json.loads(json.dumps(params))),  # as it will be read back: tuples are lists there
    }


def differences(before: Sequence[BacktestTrade], after: Sequence[BacktestTrade]) -> list[str]:
    """One sentence for each trade that is not in both lists or not the same in both, by time of entry."""
    old, new = _keyed(before), _keyed(after)
    said = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if was is None or now is None:
            trade, word = (now, "only in the repetition") if was is None else (was, "missing in the repetition")
            assert trade is not None
            said.append(f"Trade {trade.number}, {trade.side} {trade.symbol}: {word}.")
        elif changed := [_change(name, was, now) for name in (*EXACT, *NEAR) if not _same(name, was, now)]:
            said.append(f"Trade {was.number}, {was.side} {was.symbol}: {'; '.join(changed)}.")
    return said


def _keyed(trades: Sequence[BacktestTrade]) -> dict[tuple[int, str, str, int], BacktestTrade]:
    """By time of entry, market and side, and the how-manieth of these it is."""
    found: dict[tuple[int, str, str, int], BacktestTrade] = {}
    seen: Counter[tuple[int, str, str]] = Counter()
    for trade in trades:
        key = (trade.entry_ms, trade.symbol, trade.side)
        found[*key, seen[key]] = trade
        seen[key] += 1
    return found


def _same(name: str, was: BacktestTrade, now: BacktestTrade) -> bool:
    old, new = getattr(was, name), getattr(now, name)
    if name in EXACT or old is None or new is None:
        return bool(old == new)
    return isclose(old, new, rel_tol=RELATIVE, abs_tol=1e-12)


def _change(name: str, was: BacktestTrade, now: BacktestTrade) -> str:
    return f"{WORDS[name]} was {getattr(was, name)}, is {getattr(now, name)}"


def causes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between the stored settings of two runs: data, code, model files, libraries, venue rules and the rest. Old runs kept less:
    what one of them does not know is said as unknown."""
    said = []
    if "data" not in before:
        said.append("The first run kept no hash of its data and no code version, so a change of either cannot be told.")
    else:
        said += [f"The data changed: {name} were not read before." for name in sorted(after["data"].keys() - before["data"].keys())]
        said += [f"The data changed: {name} are not read any more." for name in sorted(before["data"].keys() - after["data"].keys())]
    if "costs" in before and "costs" not in after:
        said.append(
            "The rules changed: the first run took slippage and what a stop costs from its first market for all of them, and counted funding "
            "where there is none."
        )
    old, new = dict(_flat(before)), dict(_flat(after))
    return said + [_cause(name, old[name], new[name]) for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _cause(name: str, was: Any, now: Any) -> str:
    if name.startswith("data."):
        return f"The data changed: {name.removeprefix('data.')} are not what the first run read."
    if name == "code_version":
        return f"The code changed: version {was} then, {now} now."
    if name == "model.manifest_sha256":
        return "The model's files changed."
    if name.startswith("libraries."):
        return f"A library changed: {name.removeprefix('libraries.')} {was} then, {now} now."
    if name.startswith("markets."):
        symbol, _, rule = name.removeprefix("markets.").rpartition(".")
        return f"The venue's rules changed: {rule} of {symbol} was {was}, is {now}."
    return f"A setting changed: {name} was {was}, is {now}."
