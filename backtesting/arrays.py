"""From prepared histories to what the kernel takes: bars with funding, mark prices and finer bars, the venue's rules, the account's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from backtesting import kernel
from backtesting.engine import Engine
from backtesting.preparation import Prepared
from exchanges import candles
from exchanges import funding as funding_rule
from exchanges.models import Market
from exchanges.ports import CandleFrame, FundingFrame
from exchanges.risk.profiles import RiskProfile
from exchanges.timeframes import TIMEFRAME_MS
from signals import processing
from signals.plan import PlanConfig

USUAL = Engine()
RULE_SIGNAL_BARS = 0
"""A rule's decisions are events: each is a signal of its own."""


def with_extras(item: Prepared, detail: str) -> Prepared:
    """The same with the mark prices of its span, and its finer bars of the frame `detail` ("": none)."""
    frame, bar_ms = item.frame, TIMEFRAME_MS[settings.BASE_TIMEFRAME]
    if not len(frame):
        return item
    details = (
        candles.read(item.market, detail, start_ms=int(frame.timestamp[0]), end_ms=int(frame.timestamp[-1]) + bar_ms) if detail else None
    )
    return item._replace(marks=marks_of(item.market, frame), details=details)


def marks_of(market: Market, frame: CandleFrame) -> CandleFrame | None:
    """The mark prices of these bars' span; None of a market that has none, or without bars."""
    if market.is_cash or not len(frame):
        return None
    end_ms = int(frame.timestamp[-1]) + TIMEFRAME_MS[settings.BASE_TIMEFRAME]
    return candles.read(market, settings.BASE_TIMEFRAME, start_ms=int(frame.timestamp[0]), end_ms=end_ms, price=candles.MARK)


def merge(prepared: Sequence[Prepared]) -> tuple[kernel.Bars, kernel.Entries]:
    """All symbols on one line of time, and what is wanted of each, the best expectancy first."""
    bars = kernel.join([series(item.market, item.frame, item.funding, item.marks, item.details) for item in prepared])
    side, unit, expectancy = (
        np.concatenate(columns)
        for columns in zip(*((item.candidates.side, item.unit, item.candidates.expectancy) for item in prepared), strict=True)
    )
    return bars, kernel.entries_of(bars, side, np.nan_to_num(unit), expectancy)


def series(
    market: Market, frame: CandleFrame, funding: FundingFrame, marks: CandleFrame | None = None, details: CandleFrame | None = None
) -> kernel.Series:
    """One symbol's bars as the kernel takes them, with what funding falls due with each."""
    due, bar_ms = funding_due(market, frame, funding), TIMEFRAME_MS[settings.BASE_TIMEFRAME]
    paying = funding_rule.paying_bar(due.timestamp, frame.timestamp, bar_ms)
    paid = paying < len(frame)
    row = paying[paid]
    price = frame.open[row] if marks is None else funding_rule.prices(due.timestamp[paid], marks, frame.open[row], bar_ms)
    return kernel.Series(
        frame.timestamp, frame.open, frame.high, frame.low, frame.close, frame.volume,
        due_row=row, due_price=price, due_rate=due.rate[paid], due_cost=due.cost[paid],
        **_mark_columns(frame, marks), **_detail_columns(frame, details),
    )  # fmt: skip


def _mark_columns(frame: CandleFrame, marks: CandleFrame | None) -> dict[str, NDArray[Any]]:
    """The mark price's extremes of every bar, the last price's where no mark is stored; nothing when none is."""
    if marks is None or not len(marks):
        return {}
    high, low = frame.high.copy(), frame.low.copy()
    place = np.searchsorted(frame.timestamp, marks.timestamp)
    known = (place < len(frame)) & (frame.timestamp[np.minimum(place, len(frame) - 1)] == marks.timestamp)
    high[place[known]], low[place[known]] = marks.high[known], marks.low[known]
    return {"mark_high": high, "mark_low": low}


def _detail_columns(frame: CandleFrame, details: CandleFrame | None) -> dict[str, NDArray[Any]]:
    """The finer bars of those bars that have all of them; nothing when none are stored."""
    if details is None or not len(details):
        return {}
    bar_ms = TIMEFRAME_MS[settings.BASE_TIMEFRAME]
    whole = bar_ms // TIMEFRAME_MS[details.timeframe]
    begins = np.searchsorted(details.timestamp, frame.timestamp)
    ends = np.searchsorted(details.timestamp, frame.timestamp + bar_ms)
    count = np.where(ends - begins == whole, whole, 0)
    kept = np.repeat(count > 0, ends - begins) if len(frame) else np.zeros(0, np.bool_)
    inside = np.zeros(len(details), np.bool_)
    picked = np.concatenate([np.zeros(0, np.int64), _ranges(begins, ends)])
    inside[picked[kept]] = True
    return {
        "detail_first": np.concatenate(([0], np.cumsum(count))).astype(np.int64),
        "detail_open": details.open[inside], "detail_high": details.high[inside], "detail_low": details.low[inside],
    }  # fmt: skip


def _ranges(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """begins[0], ..., ends[0] - 1, begins[1], ... in one array."""
    lengths = ends - begins
    return np.arange(int(lengths.sum())) + np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)


def funding_due(market: Market, frame: CandleFrame, funding: FundingFrame) -> funding_rule.Due:
    """What a position held all along would pay: the live positions' rule on the stored history."""
    at, bar_ms = frame.timestamp, TIMEFRAME_MS[settings.BASE_TIMEFRAME]
    start_ms, end_ms = (int(at[0]), int(at[-1]) + bar_ms) if at.shape[0] else (0, 0)
    return funding_rule.due(funding, start_ms=start_ms, end_ms=end_ms, hourly_cost=market.default_funding)


def specs(markets: Sequence[Market], engine: Engine = USUAL) -> list[kernel.Spec]:
    """What the venue asks of each symbol, and what each costs."""
    return [
        kernel.Spec(
            step_size=float(market.step_size),
            tick=float(market.tick_size),
            min_notional=float(market.min_notional),
            max_leverage=market.max_leverage,
            maker=market.costs.fee_rate(maker=True),
            taker=market.costs.fee_rate(maker=False),
            liquidation_fee=engine.liquidation_fee_pct / 100.0,
            tiers=market.tiers,
            slippage=market.costs.slippage_bps * 1e-4,
            stop_cost_pct=market.costs.stop_cost_pct(hours=0.0),
            hold_cost_pct=market.costs.funding_bps_per_hour / 100.0,
        )
        for market in markets
    ]


def rules(
    capital: float,
    profile: RiskProfile,
    plan: PlanConfig,
    engine: Engine = USUAL,
    signal_bars: int = processing.EXPIRE_AFTER_BARS,
) -> kernel.Rules:
    """The profile's limits, the plan and the engine's settings as the kernel takes them."""
    found = kernel.Rules(
        capital=capital,
        risk_pct=profile.risk_per_trade_pct,
        max_margin_pct=profile.max_margin_pct,
        max_leverage=profile.max_leverage,
        max_open=profile.max_open_positions,
        max_daily_loss_pct=profile.max_daily_loss_pct,
        max_drawdown_pct=profile.max_drawdown_pct,
        stop=plan.stop_atr,
        tp1=plan.tp1_atr,
        tp2=plan.tp2_atr,
        tp3=plan.tp3_atr,
        trail=plan.trail_atr,
        share1=plan.shares[0],
        share2=plan.shares[1],
        share3=plan.shares[2],
        max_hold_ms=plan.max_hold_ms,
        bar_ms=TIMEFRAME_MS[settings.BASE_TIMEFRAME],
        signal_bars=signal_bars,
    )
    return found._replace(**engine.changes())
