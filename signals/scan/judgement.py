"""One market's newest bar, judged: an unsaved signal, or Refused with a code, a reason and the numbers."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from exchanges import candles, streams
from exchanges import funding as funding_rule
from exchanges.costs import CostModel
from exchanges.models import Market, Provenance
from exchanges.ports import CandleFrame, FundingFrame
from exchanges.risk import sizing
from exchanges.risk.profiles import PROFILES
from signals import features, net_profit, processing, sequences
from signals import plan as plans
from signals.models import ModelVersion, Signal, SignalSide
from signals.net_profit import Assessment
from signals.ports import SIDE_NAME, SIDES, SIGN, Prediction, Template, TrainedEnsemble
from signals.training import panel
from signals.voters import ml
from traderai.lib import clock

STALE_BARS = 2
SIZING_EQUITY = 100.0
SIZING_STEP = 1e-9
"""Sizes of a signal are for 100 units of equity before the venue's steps; the risk gate rounds for the account that trades."""
REGIMES = ("sideways", "bull", "bear", "volatile", "crisis")


class Champion(NamedTuple):
    """The model in charge, loaded."""

    version: ModelVersion
    ensemble: TrainedEnsemble


@dataclass(slots=True)
class Context:
    """What one pass knows before it looks at any market. `absent` says why there is no champion."""

    champion: Champion | None
    absent: str = ""
    bitcoin: dict[int, CandleFrame] = field(default_factory=dict)


class Refused(Exception):
    """The market's newest bar gives no candidate."""

    def __init__(self, code: str, reason: str, *, side: str = "", numbers: dict[str, float | None] | None = None) -> None:
        super().__init__(reason)
        self.code, self.reason, self.side, self.numbers = code, reason, side, numbers or {}


def judge(context: Context, market: Market, template: Template, newest: int | None) -> Signal:
    """The candidate of the market's newest bar as an unsaved signal, or Refused."""
    if market.has_sessions:
        raise Refused("sessions", "The market closes at night, and signals are made for markets that never close.")
    if newest is None:
        raise Refused("no_history", f"No closed {settings.BASE_TIMEFRAME} bar is stored yet.")
    _require_fresh(market, newest)
    champion = _require_champion(context, market, newest)
    frame = candles.read(market, settings.BASE_TIMEFRAME, last=_bars_needed(champion.ensemble))
    rates = candles.funding(market, start_ms=int(frame.timestamp[0]))
    rows, regime = _rows(context, market, frame, rates, champion.ensemble)
    plan = champion.ensemble.plan
    atr = float(features.plan_atr(frame, plan)[-1])
    prediction = champion.ensemble.predict(rows, starts=np.zeros(len(rows), dtype=np.int64), at=np.array([len(rows) - 1]))
    costs, decided_ms = market.costs, newest + processing.bar_ms()
    funding = funding_rule.expected(rates, np.array([decided_ms]), hourly_cost=market.default_funding)[0] * 100.0
    side, seen = _better_side(template, champion.ensemble, prediction, atr, float(frame.close[-1]), costs, funding)
    if seen.code[0]:
        raise _refusal(template, side, seen, prediction)
    try:
        levels = plans.levels(SIGN[side], float(frame.close[-1]), atr, plan)
    except ValueError as error:
        raise Refused("no_plan", str(error), side=SIDE_NAME[side]) from error
    probability = float(prediction.probability[0, side])
    note = "" if market.symbol in champion.version.symbols else "This market was not among those the model learned from."
    vote = ml.vote(champion.ensemble, rows, side=side, probability=probability, note=note)
    atr_pct = atr / levels.entry * 100.0
    payoff = champion.ensemble.payoffs[side]
    net, hourly = float(seen.net_profit_pct[0]), float(funding[side])
    return Signal(
        market=market,
        strategy=template.slug,
        model=champion.version,
        timeframe=settings.BASE_TIMEFRAME,
        bar_ms=newest,
        side=SignalSide(SIDE_NAME[side]),
        entry=levels.entry,
        stop=levels.stop,
        tp1=levels.tp1,
        tp2=levels.tp2,
        tp3=levels.tp3,
        trail_distance=levels.trail,
        max_hold_hours=plan.max_hold_hours,
        atr=atr,
        probability=probability,
        confidence=probability,  # this template's confidence IS its calibrated probability
        agreement=float(prediction.agreement[0, side]),
        gross_gain_pct=float(seen.gross_gain_pct[0]),
        cost_pct=float(seen.cost_pct[0]),
        cost_lines=net_profit.cost_lines(plan, costs, funding_pct_per_hour=hourly)._asdict(),
        net_profit_pct=net,
        expectancy_pct=float(seen.expectancy_pct[0]),
        risk_reward=net_profit.reward_to_risk(
            net_profit_pct=net, atr_pct=atr_pct, payoff=payoff, plan=plan, costs=costs, funding_pct_per_hour=hourly
        ),
        sizing=_sizes(market, levels, costs.stop_cost_pct(hours=plan.max_hold_hours)),
        regime=regime,
        style=template.style,
        votes=[{**vote._asdict(), "reasons": [reason._asdict() for reason in vote.reasons]}],
        expires_at=_expiry(decided_ms),
    )


def _expiry(decided_ms: int) -> datetime:
    return clock.from_ms(decided_ms + processing.EXPIRE_AFTER_BARS * processing.bar_ms())


def _require_fresh(market: Market, newest: int) -> None:
    """A venue's market is measured against the wall clock, any other against its own newest price: a replay may play in the past."""
    closed_ms = newest + processing.bar_ms()
    if market.provenance == Provenance.VENUE:
        now_ms, measure = clock.now_ms(), "now"
    else:
        tick = streams.latest_tick(market)
        now_ms, measure = closed_ms if tick is None else tick.ts_ms, "the market's newest price"
    late_ms = now_ms - closed_ms
    if late_ms > STALE_BARS * processing.bar_ms():
        reason = f"The newest bar closed {late_ms // 60_000} minutes before {measure}; at most {STALE_BARS} bars are allowed."
        raise Refused("stale_data", reason, numbers={"late_minutes": late_ms / 60_000})


def _require_champion(context: Context, market: Market, newest: int) -> Champion:
    champion = context.champion
    if champion is None:
        raise Refused("no_model", context.absent)
    version = champion.version
    if (version.provenance == Provenance.SIMULATED) != market.is_simulated:
        learned = "a simulated market" if version.provenance == Provenance.SIMULATED else "real prices"
        raise Refused("no_model", f"Model v{version.version} learned from {learned} and is not asked about any other kind.")
    if version.timeframe != settings.BASE_TIMEFRAME:
        raise Refused(
            "no_model", f"Model v{version.version} learned from {version.timeframe} bars, the scan reads {settings.BASE_TIMEFRAME}."
        )
    if newest < version.oos_start_ms:
        raise Refused(
            "in_sample", f"Model v{version.version} learned from time that reaches past this bar: a signal here would be hindsight."
        )
    return champion


def _bars_needed(ensemble: TrainedEnsemble) -> int:
    """Bars that give the newest `lookback` of them every feature."""
    return features.WARMUP_BARS + ensemble.lookback - 1


def _rows(
    context: Context, market: Market, frame: CandleFrame, funding: FundingFrame, ensemble: TrainedEnsemble
) -> tuple[NDArray[np.float64], str]:
    """The rows that the model looks at in its own order, [bars, k], the newest last and no gap between them; and the regime's name."""
    if len(frame) < features.WARMUP_BARS:
        raise Refused("no_history", f"{len(frame)} of the {features.WARMUP_BARS} bars that the features need are stored.")
    seen = features.compute(frame, funding=funding, btc=_bitcoin(context, market, _bars_needed(ensemble)))
    aligned = ml.align(ensemble, seen.names, seen.values[-ensemble.lookback :].T).T
    row = aligned[-1]
    unknown = [name for name, value in zip(ensemble.feature_names, row, strict=True) if not np.isfinite(value)]
    if unknown:
        raise Refused("no_history", f"{len(unknown)} features cannot be computed across a gap in the history, the first is {unknown[0]}.")
    named = dict(zip(seen.names, seen.values[-1], strict=True))
    run = sequences.run_starts(seen.timestamp[-ensemble.lookback :], aligned, processing.bar_ms())
    return aligned[run[-1] :], REGIMES[int(named["regime_code"])] if np.isfinite(named.get("regime_code", np.nan)) else ""


def _bitcoin(context: Context, market: Market, bars: int) -> CandleFrame | None:
    """The same Bitcoin that training sees, read once per pass; None for Bitcoin itself and where there is none."""
    found = None if market.base == "BTC" else panel.bitcoin_market(market)
    if found is None:
        return None
    if found.pk not in context.bitcoin:
        context.bitcoin[found.pk] = candles.read(found, settings.BASE_TIMEFRAME, last=bars)
    return context.bitcoin[found.pk]


def _better_side(
    template: Template,
    ensemble: TrainedEnsemble,
    prediction: Prediction,
    atr: float,
    close: float,
    costs: CostModel,
    funding: NDArray[np.float64],
) -> tuple[int, Assessment]:
    """The side that passes with the best expectancy; when none passes, the one that comes closest by expectancy. `funding` [2]: % an hour."""
    judged = {}
    rule = processing.entry_rule(template)
    abstained = ensemble.abstains(prediction.probability[:1], rule.coverage) if rule.coverage else None
    for side in SIDES:
        judged[side] = net_profit.assess(
            atr_pct=np.array([atr / close * 100.0]),
            probability=prediction.probability[:1, side],
            agreement=prediction.agreement[:1, side],
            payoff=ensemble.payoffs[side],
            plan=ensemble.plan,
            costs=costs,
            funding_pct_per_hour=funding[side : side + 1],
            rule=rule,
            abstained=None if abstained is None else abstained[:, side],
        )
    side = max(SIDES, key=lambda side: (judged[side].code[0] == "", np.nan_to_num(judged[side].expectancy_pct[0], nan=-np.inf)))
    return side, judged[side]


def _refusal(template: Template, side: int, seen: Assessment, prediction: Prediction) -> Refused:
    rule, code = processing.entry_rule(template), str(seen.code[0])
    numbers = {
        "probability": float(prediction.probability[0, side]),
        "agreement": float(prediction.agreement[0, side]),
        "gross_gain_pct": float(seen.gross_gain_pct[0]),
        "cost_pct": float(seen.cost_pct[0]),
        "net_profit_pct": float(seen.net_profit_pct[0]),
        "expectancy_pct": float(seen.expectancy_pct[0]),
    }
    reasons = {
        "no_history": "The plan's ATR or the prediction cannot be computed from the stored history.",
        "abstained": f"At {rule.coverage:.0%} coverage a probability of {numbers['probability']:.1%} decides for neither outcome, so the model abstains.",
        "confidence": f"Probability {numbers['probability']:.1%} is below {rule.min_confidence:.1%}.",
        "agreement": f"The models agree to {numbers['agreement']:.1%}, {rule.min_agreement:.1%} is asked.",
        "net_profit": f"The full ladder would leave {numbers['net_profit_pct']:.2f} % after costs, {rule.min_net_profit_pct:.2f} % is asked.",
        "expectancy": f"On average it would bring {numbers['expectancy_pct']:+.2f} % after costs, which is not a gain.",
    }
    finite = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
    return Refused(code, reasons[code], side=SIDE_NAME[side], numbers=finite)


def _sizes(market: Market, levels: plans.Levels, stop_cost_pct: float) -> dict[str, dict[str, float]]:
    """Per risk profile: leverage, and what is risked, put up as margin and held, in % of equity."""
    out = {}
    loss_share = abs(levels.entry - levels.stop) / levels.entry + stop_cost_pct / 100.0
    for name, profile in PROFILES.items():
        leverage_cap = min(profile.max_leverage, market.max_leverage)
        size = sizing.fixed_fractional(
            SIZING_EQUITY,
            levels.entry,
            levels.stop,
            profile.risk_per_trade_pct,
            profile.max_margin_pct,
            leverage_cap,
            stop_cost_pct,
            SIZING_STEP,
            0.0,
        )
        notional_pct = size.qty * levels.entry / SIZING_EQUITY * 100.0
        out[name] = {
            "leverage": int(size.leverage),
            "risk_pct": notional_pct * loss_share,
            "margin_pct": size.margin / SIZING_EQUITY * 100.0,
            "notional_pct": notional_pct,
        }
    return out
