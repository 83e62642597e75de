"""From stored candles to results: the decisions of all combinations, then one sweep of the kernel over all cores."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import arrays, kernel
from backtesting.combos import ranking, space
from backtesting.combos.space import Space
from backtesting.engine import Engine
from backtesting.models import ParameterSearch
from backtesting.preparation import RULE_WARM_UP_BARS
from backtesting.searches.walking import Evaluate, Evaluated
from exchanges import candles
from exchanges.models import Market
from exchanges.ports import CandleFrame, FundingFrame
from exchanges.risk import profiles
from signals import features
from signals.plan import PlanConfig
from signals.rules.decisions import Decisions, cores, decide

F = NDArray[np.float64]
CHUNK = 256
"""Combinations of one sweep: their decisions and daily equities are in memory at once."""
MOST_REMEMBERED = 300_000_000
"""Bytes of decisions that are kept for the next window of a walk-forward test; what is beyond is decided anew."""


class History(NamedTuple):
    """One market: its bars with those of the warm-up, the plan's unit at each in price, its funding, its mark prices where it has some, and
    the finer bars that were asked for."""

    market: Market
    frame: CandleFrame
    unit: F
    funding: FundingFrame
    marks: CandleFrame | None
    details: CandleFrame | None


def evaluator(search: ParameterSearch, found: Space) -> Evaluate:
    """What evaluates combinations of this search on its markets and costs. Raises UnknownSymbol."""
    engine = Engine.parse(search.engine)
    histories = [_history(symbol, search, engine) for symbol in search.symbols]
    markets = [history.market for history in histories]
    profile, specs = profiles.profile(search.risk_profile), arrays.specs(markets, engine)
    recall = _memory(histories, found)

    def evaluate(table: F, start_ms: int, end_ms: int, capital: float) -> Evaluated:
        bars, unit, edges = _bars(histories, start_ms, end_ms)
        swept = []
        for first in range(0, table.shape[0], CHUNK):
            some = table[first : first + CHUNK]
            plans = [space.plan_of(dict(zip(found.names, row, strict=True))) for row in some.tolist()]
            rules = [arrays.rules(capital, profile, plan, engine, arrays.RULE_SIGNAL_BARS) for plan in plans]
            swept.append(kernel.sweep(bars, _entries(recall(some), histories, edges, bars, unit), specs, rules, threads=cores()))
        daily = np.concatenate([part.daily for part in swept])
        parts = [
            ranking.results(
                balance=part.balance, trades=part.trades, wins=part.wins, gain=part.gross_profit, loss=part.gross_loss,
                fall=part.max_drawdown, daily=part.daily, capital=capital,
            )
            for part in swept
        ]  # fmt: skip
        days = bars.times[bars.days[:-1]] // kernel.DAY_MS * kernel.DAY_MS
        return Evaluated(ranking.joined(parts), days, daily)

    return evaluate


class Recalled(NamedTuple):
    """The decisions of each market for the different rule parameters of some combinations, and which of them each combination has, [c]."""

    decisions: list[Decisions]
    which: NDArray[np.int64]


def _memory(histories: list[History], found: Space) -> Callable[[F], Recalled]:
    """Decides on whole histories, once for all windows as far as memory goes: a decision never knows what comes after it."""
    kept: dict[bytes, list[Decisions]] = {}

    def recall(table: F) -> Recalled:
        own, which = np.unique(table[:, : len(found.rule.parameters)], axis=0, return_inverse=True)
        key = own.tobytes()
        decisions = kept.get(key)
        if decisions is None:
            decisions = [decide(found.rule, each.frame.high, each.frame.low, each.frame.close, own) for each in histories]
            if sum(_size(each) for many in (*kept.values(), decisions) for each in many) <= MOST_REMEMBERED:
                kept[key] = decisions
        return Recalled(decisions, which.ravel())

    return recall


def _size(decisions: Decisions) -> int:
    return decisions.rows.nbytes + decisions.sides.nbytes


def _history(symbol: str, search: ParameterSearch, engine: Engine) -> History:
    market = candles.find_market(symbol, venue=search.venue_slug)
    warm_up = candles.read(market, search.timeframe, end_ms=search.start_ms, last=RULE_WARM_UP_BARS)
    since_ms = int(warm_up.timestamp[0]) if len(warm_up) else search.start_ms
    frame = candles.read(market, search.timeframe, start_ms=since_ms, end_ms=search.end_ms)
    since, until = search.start_ms, search.end_ms
    marks = None if market.is_cash else candles.read(market, search.timeframe, start_ms=since, end_ms=until, price=candles.MARK)
    details = candles.read(market, engine.detail, start_ms=since, end_ms=until) if engine.detail else None
    return History(market, frame, features.plan_atr(frame, PlanConfig()), candles.funding(market), marks, details)


def _bars(histories: list[History], start_ms: int, end_ms: int) -> tuple[kernel.Bars, F, list[tuple[int, int]]]:
    """The bars of a stretch of time, the unit at each, and the rows of every history that belong to it."""
    edges = [(int(low), int(high)) for low, high in (each.frame.timestamp.searchsorted([start_ms, end_ms]) for each in histories)]
    slices = [(each, each.frame.slice(low, high)) for each, (low, high) in zip(histories, edges, strict=True)]
    extras = [(_within(each.marks, start_ms, end_ms), _within(each.details, start_ms, end_ms)) for each in histories]
    bars = kernel.join([arrays.series(each.market, frame, each.funding, *more) for (each, frame), more in zip(slices, extras, strict=True)])
    unit = np.concatenate([each.unit[low:high] for each, (low, high) in zip(histories, edges, strict=True)])
    return bars, np.nan_to_num(unit), edges


def _within(frame: CandleFrame | None, start_ms: int, end_ms: int) -> CandleFrame | None:
    return None if frame is None else frame.slice(*(int(row) for row in frame.timestamp.searchsorted([start_ms, end_ms])))


def _entries(recalled: Recalled, histories: list[History], edges: list[tuple[int, int]], bars: kernel.Bars, unit: F) -> kernel.Entries:
    """What every combination wants on these bars: combinations that share their rule's parameters share their rows."""
    starts, stops, rows, sides, used = [], [], [], [], 0
    for number, (found, each, (low, high)) in enumerate(zip(recalled.decisions, histories, edges, strict=True)):
        kept = (found.rows >= low) & (found.rows < high)
        kept[kept] = each.unit[found.rows[kept]] > 0.0
        if each.market.is_cash:  # as the live gate: what is not borrowed cannot be sold
            kept &= found.sides > 0
        places = np.concatenate([[0], np.cumsum(kept)]) + used
        starts.append(places[found.offsets[:-1]][recalled.which])
        stops.append(places[found.offsets[1:]][recalled.which])
        rows.append(found.rows[kept] - low + int(bars.first[number]))
        sides.append(found.sides[kept])
        used = int(places[-1])
    return kernel.Entries(
        np.stack(starts, axis=1).astype(np.int64), np.stack(stops, axis=1).astype(np.int64), np.concatenate(rows).astype(np.int64),
        np.concatenate(sides), np.empty(0), unit,
    )  # fmt: skip
