"""From stored history and a model to what the kernel takes: the same features, judgement and plan as the live scan, on out-of-sample bars only."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from backtesting import remembered
from exchanges import candles
from exchanges import funding as funding_rule
from exchanges.costs import CostModel
from exchanges.models import Market
from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import TIMEFRAME_MS
from signals import features, net_profit, processing, sequences
from signals.plan import PlanConfig
from signals.ports import SIDES, SIGN, FeatureFrame, Template, TrainedEnsemble
from signals.rules import RuleStrategy, Values, decisions
from signals.training import panel
from signals.voters import ml

Progress = Callable[[str, float], None]
Compute = Callable[..., FeatureFrame]
RULE_WARM_UP_BARS = 5_000
"""Bars before the span that a rule's indicators and the plan's unit warm up on: five of the longest windows."""
STAGES = ("no_history", "abstained", "confidence", "agreement", "net_profit", "expectancy")
"""The tests of net_profit.assess in their order."""


class Candidates(NamedTuple):
    """By deciding bar, arrays of length n: side +1, -1 or 0 (none), the plan's prices and its trail's distance, its expectancy in % and the
    probability behind it."""

    side: NDArray[np.int8]
    stop: NDArray[np.float64]
    tp1: NDArray[np.float64]
    tp2: NDArray[np.float64]
    tp3: NDArray[np.float64]
    trail: NDArray[np.float64]
    expectancy: NDArray[np.float64]
    probability: NDArray[np.float64]


class Prepared(NamedTuple):
    """One symbol's out-of-sample bars and what the model says at each of them (arrays of the frame's length), with the plan's unit. marks: its
    bars of mark prices; details: its finer bars, of the same span; None or empty where none are stored.

    judged: how many bars ended at each of STAGES (their better side counts); bars that became candidates are not in it.
    """

    market: Market
    frame: CandleFrame
    funding: FundingFrame
    candidates: Candidates
    unit: NDArray[np.float64]
    judged: dict[str, int]
    marks: CandleFrame | None = None
    details: CandleFrame | None = None


def prepare(
    market: Market,
    ensemble: TrainedEnsemble,
    template: Template,
    *,
    start_ms: int,
    end_ms: int | None,
    bitcoin: CandleFrame | None,
    model_hash: str = "",
) -> Prepared:
    """Judge every bar from start_ms on; bars before it only warm the features up. As in the scan, a bar with less history is no candidate.

    model_hash -- of the model's manifest: with it what the model answers is kept, and asked once for the same history
    """
    warm_up = candles.read(market, settings.BASE_TIMEFRAME, end_ms=start_ms, last=features.WARMUP_BARS + ensemble.lookback - 1)
    since_ms = int(warm_up.timestamp[0]) if len(warm_up) else start_ms
    history = candles.read(market, settings.BASE_TIMEFRAME, start_ms=since_ms, end_ms=end_ms)
    funding = candles.funding(market)
    first = int(history.timestamp.searchsorted(start_ms))
    if model_hash:
        read = (*history[2:], *funding, *(bitcoin[2:] if bitcoin is not None else ()))
        answers = remembered.recall(
            (model_hash, history.timeframe, str(first)), read, lambda: _answers(history, funding, bitcoin, ensemble, first)
        )
    else:
        answers = _answers(history, funding, bitcoin, ensemble, first)
    said = _decide(history, funding, answers, ensemble=ensemble, template=template, market=market, first=first)
    found = said.candidates
    if market.is_cash:  # as the live gate: what is not borrowed cannot be sold
        found = found._replace(side=np.maximum(found.side, 0))
    return Prepared(market, history.slice(first, len(history)), funding, found, said.unit, said.judged)


def prepare_rule(
    market: Market, strategy: RuleStrategy, values: Values, plan: PlanConfig, *, start_ms: int | None, end_ms: int | None
) -> Prepared:
    """What a rule decides from start_ms on; the bars before only warm its indicators up. A bar without a unit yet is no candidate."""
    since_ms = None
    if start_ms is not None:
        before = candles.read(market, settings.BASE_TIMEFRAME, end_ms=start_ms, last=RULE_WARM_UP_BARS)
        since_ms = int(before.timestamp[0]) if len(before) else start_ms
    history = candles.read(market, settings.BASE_TIMEFRAME, start_ms=since_ms, end_ms=end_ms)
    first = 0 if start_ms is None else int(history.timestamp.searchsorted(start_ms))
    said = decisions.decide(strategy, history.high, history.low, history.close, [strategy.row(values)])
    side = np.zeros(len(history), np.int8)
    side[said.rows] = said.sides
    unit = features.plan_atr(history, plan)
    side[~(unit > 0.0)] = 0
    if market.is_cash:
        side = np.maximum(side, 0)
    n = len(history) - first
    found = _planned(history.close[first:], unit[first:], side[first:], np.zeros(n), np.full(n, np.nan), plan)
    unready = int(np.count_nonzero(~(unit[first:] > 0.0)))
    judged = {"no_history": unready} if unready else {}
    return Prepared(market, history.slice(first, len(history)), candles.funding(market), found, unit[first:], judged)


class Decided(NamedTuple):
    """What a strategy says about a history of n bars: features of all of them, the rest of the m bars from `first` on. Second axis of [m, 2]:
    LONG, SHORT; NaN where the model was not asked. `unit` is the plan's, in price units [m]; `expectancy` in % of notional and
    `ended`, the number in STAGES of the first test that failed or len(STAGES), both [m, 2] and of every bar, whatever became of it."""

    features: FeatureFrame
    probability: NDArray[np.float64]
    agreement: NDArray[np.float64]
    unit: NDArray[np.float64]
    expectancy: NDArray[np.float64]
    ended: NDArray[np.int64]
    candidates: Candidates
    judged: dict[str, int]


NO_FEATURES = FeatureFrame("", (), np.empty(0, np.int64), np.empty((0, 0)))


def decide(
    history: CandleFrame,
    funding: FundingFrame,
    bitcoin: CandleFrame | None,
    *,
    ensemble: TrainedEnsemble,
    template: Template,
    market: Market,
    first: int = 0,
    compute: Compute | None = None,
) -> Decided:
    """The whole way from closed bars to candidates: features (`compute` in place of signals.features.compute), prediction, net-profit
    filter with the market's costs, plan. The model is asked about a bar when WARMUP_BARS bars, itself included, lie behind it."""
    seen = (compute or features.compute)(history, funding=funding, btc=bitcoin)
    answers = _asked(seen, history, ensemble, first)
    said = _decide(history, funding, answers, ensemble=ensemble, template=template, market=market, first=first)
    return said._replace(features=seen)


def _answers(
    history: CandleFrame, funding: FundingFrame, bitcoin: CandleFrame | None, ensemble: TrainedEnsemble, first: int
) -> NDArray[np.float64]:
    return _asked(features.compute(history, funding=funding, btc=bitcoin), history, ensemble, first)


def _asked(seen: FeatureFrame, history: CandleFrame, ensemble: TrainedEnsemble, first: int) -> NDArray[np.float64]:
    """What the model answers from `first` on, [m, 4]: probability LONG, SHORT, agreement LONG, SHORT; NaN where it is not asked."""
    values = ml.align(ensemble, seen.names, seen.values.T).T
    finite = np.isfinite(values).all(axis=1)
    at = np.flatnonzero(finite & (np.arange(len(history)) >= max(first, features.WARMUP_BARS - 1)))
    answers = np.full((len(history) - first, 4), np.nan)
    if at.size:
        starts = sequences.run_starts(history.timestamp, values, TIMEFRAME_MS[settings.BASE_TIMEFRAME])
        prediction = ensemble.predict(values, starts=starts, at=at)
        answers[at - first, :2], answers[at - first, 2:] = prediction.probability, prediction.agreement
    return answers


def _decide(
    history: CandleFrame,
    funding: FundingFrame,
    answers: NDArray[np.float64],
    *,
    ensemble: TrainedEnsemble,
    template: Template,
    market: Market,
    first: int,
) -> Decided:
    """From answers (as `_asked` gives them) to candidates; without features."""
    atr, frame = features.plan_atr(history, ensemble.plan)[first:], history.slice(first, len(history))
    probability, agreement = answers[:, :2], answers[:, 2:]
    closes_at = frame.timestamp + TIMEFRAME_MS[settings.BASE_TIMEFRAME]
    hourly = funding_rule.expected(funding, closes_at, hourly_cost=market.default_funding) * 100.0
    found, expectancy, ended = _judge(frame, atr, probability, agreement, hourly, ensemble, template, market.costs)
    counts = np.bincount(ended.max(axis=1), minlength=len(STAGES))
    judged = {code: int(count) for code, count in zip(STAGES, counts, strict=False) if count}
    return Decided(NO_FEATURES, probability, agreement, atr, expectancy, ended, found, judged)


def _judge(
    frame: CandleFrame,
    atr: NDArray[np.float64],
    probability: NDArray[np.float64],
    agreement: NDArray[np.float64],
    hourly: NDArray[np.float64],
    ensemble: TrainedEnsemble,
    template: Template,
    costs: CostModel,
) -> tuple[Candidates, NDArray[np.float64], NDArray[np.int64]]:
    """The side that passes with the best expectancy at each bar, as the scan chooses it, with its plan; and both sides' expectancy and end
    [m, 2], as Decided has them. hourly -- expected funding of the sides [m, 2], % an hour."""
    n = len(frame)
    expectancy, ended = np.full((n, 2), np.nan), np.zeros((n, 2), np.int64)
    best, side, chance = np.full(n, -np.inf), np.zeros(n, np.int8), np.zeros(n)
    rule = processing.entry_rule(template)
    abstained = ensemble.abstains(probability, rule.coverage) if rule.coverage else None
    for index in SIDES:
        seen = net_profit.assess(
            atr_pct=atr / frame.close * 100.0,
            probability=probability[:, index],
            agreement=agreement[:, index],
            payoff=ensemble.payoffs[index],
            plan=ensemble.plan,
            costs=costs,
            funding_pct_per_hour=hourly[:, index],
            rule=rule,
            abstained=None if abstained is None else abstained[:, index],
        )
        expectancy[:, index] = seen.expectancy_pct
        ended[:, index] = np.select([seen.code == code for code in STAGES], range(len(STAGES)), default=len(STAGES))
        wins = (seen.code == "") & (seen.expectancy_pct > best)
        best = np.where(wins, seen.expectancy_pct, best)
        side = np.where(wins, np.int8(SIGN[index]), side).astype(np.int8)
        chance = np.where(wins, probability[:, index], chance)
    return _planned(frame.close, atr, side, np.where(side != 0, best, 0.0), chance, ensemble.plan), expectancy, ended


def _planned(
    close: NDArray[np.float64],
    atr: NDArray[np.float64],
    side: NDArray[np.int8],
    expectancy: NDArray[np.float64],
    probability: NDArray[np.float64],
    plan: PlanConfig,
) -> Candidates:
    """signals.plan.levels for whole arrays; a candidate one of whose levels is not a positive price is none."""
    distance = np.nan_to_num(atr) * side
    stop = close - plan.stop_atr * distance
    tp1, tp2, tp3 = (close + factor * distance for factor in (plan.tp1_atr, plan.tp2_atr, plan.tp3_atr))
    possible = np.minimum.reduce([stop, tp1, tp2, tp3]) > 0.0
    return Candidates(
        np.where(possible, side, 0).astype(np.int8), stop, tp1, tp2, tp3, plan.trail_atr * np.nan_to_num(atr), expectancy, probability
    )


def bitcoin_for(markets: Sequence[Market], start_ms: int, end_ms: int | None, *, lookback: int = 1) -> CandleFrame | None:
    """Bitcoin's bars for the cross-asset features, as training and scan see them."""
    found = panel.bitcoin_market(markets[0])
    if found is None:
        return None
    bar_ms = TIMEFRAME_MS[settings.BASE_TIMEFRAME]
    frame = candles.read(found, settings.BASE_TIMEFRAME, start_ms=start_ms - (features.WARMUP_BARS + lookback - 1) * bar_ms, end_ms=end_ms)
    return frame if len(frame) else None
