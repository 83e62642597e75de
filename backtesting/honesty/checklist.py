"""All answers about one run, in the order of the questions."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from backtesting import arrays, counting, metrics
from backtesting.honesty import costs, deciding, fills, lived, repeating, series, statistics, timing, training
from backtesting.honesty.again import Again, Finer, Simulation
from backtesting.honesty.sayings import FAIL, PASS, WARN, Check, said
from backtesting.models import BacktestRun, LookaheadCheck
from backtesting.parity.beside import Traded
from backtesting.preparation import Prepared
from backtesting.workload import Workload
from exchanges import candles
from exchanges.compiled import cores
from exchanges.exits import END_OF_DATA
from exchanges.models import JobStatus
from exchanges.timeframes import TIMEFRAME_MS
from signals import features, rules
from signals.features.plan_atr import warmup_bars as plan_warm_up
from signals.rules import decisions
from traderai.lib import clock

HOUR_MS = 3_600_000
UNIT_CUTS = 50
SAME_UNIT = 1e-9
"""Of its size: an average that begins elsewhere rounds its last digits differently."""


class Case(NamedTuple):
    """What is judged: the run, what it simulated, what its other assumptions bring, what it found so far (backtesting.reporting) with how many
    independent trades, and what makes it repeatable (backtesting.reproduction)."""

    run: BacktestRun
    work: Workload
    done: Simulation
    again: Again
    finer: Finer | None
    found: Mapping[str, Any]
    independent: float
    configuration: Mapping[str, Any]
    data_hash: str


def answers(case: Case) -> list[Check]:
    """At least one for each of the 24 questions."""
    return sorted(_all(case), key=lambda check: check["point"])


def _all(case: Case) -> Iterator[Check]:
    done, work = case.done, case.work
    yield from _timing(case)
    yield from timing.fills(done.result.trades)
    yield from fills.paths(done, case.again)
    yield fills.inside(done, case.again, case.finer)
    yield from fills.gaps(done)
    yield costs.costs(case.found["costs_paid"], case.again)
    yield _funding(case)
    yield from fills.volume(done)
    perpetual = [item for item in work.prepared if not item.market.is_cash]
    marked = sum(0 if item.marks is None else len(item.marks) for item in perpetual)
    yield from fills.liquidation(done, marked, sum(len(item.frame) for item in perpetual))
    yield from fills.venue(done)
    yield series.universe(case.run.symbols)
    bar_ms = TIMEFRAME_MS[case.run.timeframe]
    with ThreadPoolExecutor(cores()) as pool:
        counted = list(
            pool.map(lambda item: series.count(item.frame.timestamp, item.frame.close, item.frame.volume, bar_ms), work.prepared)
        )
    yield from series.data(counted)
    yield series.span([(item.market.symbol, item.frame.timestamp) for item in work.prepared], *_asked_span(case), bar_ms)
    yield from _training(case)
    yield training.language_models()
    yield from statistics.of(case.found, independent=case.independent)
    yield from repeating.answers(case.configuration, case.data_hash)
    yield _lived(case)


# --- what a decision knew


def _timing(case: Case) -> Iterator[Check]:
    run = case.run
    if run.model is None:
        yield from timing.of_rule(examined(case))
        yield _unit(case)
        return
    checks = LookaheadCheck.objects.filter(strategy=run.strategy, model=run.model, status=JobStatus.DONE)
    newest = checks.order_by("-id").first()
    when = "" if newest is None or newest.finished_at is None else f"{newest.finished_at:%Y-%m-%d}"
    yield from timing.of_model(None if newest is None else newest.findings["markets"], when)


def examined(case: Case) -> deciding.Examined:
    """A rule's decisions again, without the future, with noise in its place, and with less of the past."""
    run, first, trades = case.run, case.done.bars.first, case.done.result.trades
    strategy = rules.rule(run.strategy)
    row = strategy.row(run.strategy_params)
    longest = max(int(run.strategy_params[known.name]) for known in strategy.parameters if known.unit == "bars")
    histories = [
        deciding.History(
            item.frame.high, item.frame.low, item.frame.close, item.candidates.side,
            np.unique(trades.decided[trades.symbol == number] - first[number]), _past(case.work, item),
        )
        for number, item in enumerate(case.work.prepared)
    ]  # fmt: skip

    def decide(high: NDArray[np.float64], low: NDArray[np.float64], close: NDArray[np.float64]) -> NDArray[np.int8]:
        found, side = decisions.decide(strategy, high, low, close, [row]), np.zeros(close.shape[0], np.int8)
        side[found.rows] = found.sides
        return side

    return deciding.examine(decide, histories, longest=longest, warm_up=case.work.warm_up_bars, seed=case.configuration["seed"])


def _past(work: Workload, item: Prepared) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """High, low and close of the bars that a market's decisions warmed up on."""
    frame = candles.read(item.market, settings.BASE_TIMEFRAME, end_ms=work.start_ms, last=work.warm_up_bars)
    return frame.high, frame.low, frame.close


def _unit(case: Case) -> Check:
    """The plan's unit, on which stops and targets hang, from windows that end at some of the trades' deciding bars."""
    trades, first, length = case.done.result.trades, case.done.bars.first, plan_warm_up(case.work.plan, case.run.timeframe)
    compared = moved = 0
    for number, item in enumerate(case.work.prepared):
        rows = np.unique(trades.decided[trades.symbol == number] - first[number])
        rows = rows[rows >= length - 1]
        for end in rows[:: max(1, -(-rows.shape[0] * len(case.work.prepared) // UNIT_CUTS))].tolist():
            unit = features.plan_atr(item.frame.slice(end + 1 - length, end + 1), case.work.plan)[-1]
            compared += 1
            moved += not abs(unit - item.unit[end]) <= SAME_UNIT * item.unit[end]
    verdict = FAIL if moved else (PASS if compared else WARN)
    detail = f"{moved} of {compared} units of the plan, on which stops and targets hang, moved when what came later was cut off and {length:,} bars were left"
    return said(timing.CUT, "Stops and targets stay when later data is cut off", verdict, f"{moved}", detail)


# --- the rest that is looked up


def _asked_span(case: Case) -> tuple[int, int]:
    """From when and to when the run was asked for, ms UTC; all bars there are where nothing was said."""
    times = case.done.result.times
    end_ms = case.run.requested_end_ms or int(times[-1]) + TIMEFRAME_MS[case.run.timeframe]
    return case.work.start_ms or int(times[0]), end_ms


def _funding(case: Case) -> Check:
    perpetual = [item for item in case.work.prepared if not item.market.is_cash]
    unknown = sum(int((arrays.funding_due(item.market, item.frame, item.funding).cost > 0.0).sum()) for item in perpetual)
    return costs.funding(unknown, sum(len(item.frame) * TIMEFRAME_MS[case.run.timeframe] // HOUR_MS for item in perpetual))


def _lived(case: Case) -> Check:
    """The trades of the run beside its owner's positions."""
    trades, bars = case.done.result.trades, case.done.bars
    columns = (trades.symbol, trades.side, bars.timestamp[trades.decided], trades.qty, trades.pnl)
    rows = [
        Traded(case.work.markets[symbol].symbol, "long" if side > 0 else "short", decided_ms, qty, pnl)
        for symbol, side, decided_ms, qty, pnl in zip(*(column.tolist() for column in columns), strict=True)
    ]
    times = case.done.result.times
    return lived.answer(case.run, rows, int(times[0]), int(times[-1]) + TIMEFRAME_MS[case.run.timeframe])


def _training(case: Case) -> Iterator[Check]:
    run, bars, result = case.run, case.done.bars, case.done.result
    trained, made, trades = _trained(run), _tries(case), result.trades
    known_ms = 0 if run.model is None else run.model.oos_start_ms
    inside = int((bars.timestamp[trades.decided] < known_ms).sum())
    yield from training.kept_back(trained, made, inside, int(trades.pnl.shape[0]))
    yield from training.tries(metrics.daily_returns(result.times, result.equity, case.done.rules.capital), made, trained)
    closed = trades.reason != END_OF_DATA
    probability = np.concatenate([item.candidates.probability for item in case.work.prepared])
    seen = case.found["metrics"]["hit_rate_tp1"]
    interval = metrics.Interval(seen["low"], seen["high"]) if "low" in seen else None
    yield training.calibration(probability[trades.decided[closed]], trades.tps[closed] >= 1, interval, is_model=run.model is not None)


def _trained(run: BacktestRun) -> training.Trained | None:
    model = run.model
    if model is None:
        return None
    begins, ends, kept_back = (
        f"{clock.from_ms(ms):%Y-%m-%d %H:%M}" for ms in (model.train_start_ms, model.train_end_ms, model.oos_start_ms)
    )
    return training.Trained.parse(
        model.metrics, model.params, begins=begins, ends=ends, kept_back=kept_back, label_ms=model.plan.max_hold_ms
    )


def _tries(case: Case) -> training.Tries:
    """What else was tried on time of this span: by the same person for a rule, by nobody's runs (the promotion's, the command's) for a model."""
    run, times = case.run, case.done.result.times
    start_ms, end_ms = int(times[0]), int(times[-1]) + TIMEFRAME_MS[run.timeframe]
    shared = BacktestRun.objects.filter(status=JobStatus.DONE, start_ms__lt=end_ms, end_ms__gt=start_ms)
    if run.model is not None:
        others = shared.filter(user=None, model__scope=run.model.scope).exclude(model=run.model)
        return training.Tries(models=others.values("model").distinct().count())
    made = counting.besides(run, start_ms, end_ms)
    return training.Tries(made.searches, made.searched, made.by_hand, ratios=made.ratios)
