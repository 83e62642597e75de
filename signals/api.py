"""Signals and strategies over HTTP; mounted below /api/v1."""

from datetime import UTC, datetime
from typing import Any, Literal, cast

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Router, Schema
from pydantic import ConfigDict

from accounts import audit
from accounts.models import User
from exchanges import candles
from exchanges.models import Market, Provenance
from exchanges.timeframes import TIMEFRAME_MS
from signals import autotrade, processing, registry
from signals.models import Signal, StrategyConfig
from signals.strategies import TEMPLATES
from signals.views import explanation
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.http import refuse_unknown

router = Router(tags=["signals"])

CANDLES_BEFORE = 160
CANDLES_AFTER = 160
Regime = Literal["sideways", "bull", "bear", "volatile", "crisis"]


class Input(Schema):
    """A body or query that holds nothing unknown."""

    model_config = ConfigDict(extra="forbid")


class SignalFilter(Input):
    symbol: str | None = Field(None, max_length=40)
    side: Literal["long", "short"] | None = None
    status: Literal["open", "expired", "superseded"] | None = None
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0, le=1_000_000)


class ReasonOut(Schema):
    feature: str
    value: float | None
    contribution: float
    text: str


class VoteOut(Schema):
    voter: str
    weight: float
    side: str
    probability: float
    reasons: list[ReasonOut]
    note: str = ""


class SignalOut(Schema):
    """Prices in quote currency, percentages of notional without leverage, sizes per risk profile in % of equity."""

    id: int
    symbol: str
    simulated: bool = Field(description="True when the candles come from a generated market.")
    strategy: str
    model_version: int | None
    timeframe: str
    bar_ms: int = Field(description="Open of the deciding bar.")
    side: str
    status: str
    ended_reason: str
    entry: float
    stop: float
    tp1: float
    tp2: float
    tp3: float
    trail_distance: float
    max_hold_hours: float
    probability: float
    confidence: float
    agreement: float
    gross_gain_pct: float
    cost_pct: float
    net_profit_pct: float
    expectancy_pct: float
    risk_reward: float
    sizing: dict[str, dict[str, float]]
    regime: str
    style: str
    votes: list[VoteOut]
    created_at: datetime
    expires_at: datetime

    @staticmethod
    def resolve_symbol(signal: Signal) -> str:
        return signal.market.symbol

    @staticmethod
    def resolve_simulated(signal: Signal) -> bool:
        return signal.market.is_simulated

    @staticmethod
    def resolve_model_version(signal: Signal) -> int | None:
        return None if signal.model is None else signal.model.version


class SignalPage(Schema):
    items: list[SignalOut]
    count: int


class LineOut(Schema):
    price: float
    label: str
    kind: Literal["entry", "stop", "target"]


class MarkerOut(Schema):
    time_ms: int
    kind: Literal["entry"]
    side: str
    text: str


class RegimeOut(Schema):
    """One regime, known at every close of a base bar from since_ms to until_ms, both included."""

    since_ms: int
    until_ms: int
    regime: Regime


class ChartOut(Schema):
    """Candles as [open time in ms, open, high, low, close, volume]; `lines` are the plan's price levels, the marker is the deciding bar."""

    symbol: str
    simulated: bool
    timeframe: str
    length_ms: int
    decided_ms: int
    regimes: list[RegimeOut] = Field(description="Oldest first; a bar shows what was known at its close.")
    candles: list[tuple[int, float, float, float, float, float]]
    lines: list[LineOut]
    markers: list[MarkerOut]


def _known(**narrow: Any) -> "QuerySet[Signal]":
    return Signal.objects.newest_first().filter(**{field: value for field, value in narrow.items() if value})


@router.get("/signals", response=SignalPage)
def list_signals(request: HttpRequest, query: Query[SignalFilter]) -> dict[str, Any]:
    """All issued signals, newest first."""
    refuse_unknown(request, SignalFilter)
    rows = _known(market__symbol=query.symbol, side=query.side, status=query.status)
    return {"items": list(rows[query.offset : query.offset + query.limit]), "count": rows.count()}


@router.get("/signals/{int:signal_id}", response=SignalOut)
def get_signal(request: HttpRequest, signal_id: int) -> Signal:
    return get_object_or_404(_known(), pk=signal_id)


@router.get("/signals/{int:signal_id}/candles", response=ChartOut)
def get_signal_candles(request: HttpRequest, signal_id: int) -> dict[str, Any]:
    """The bars around a signal's decision, oldest first, with its levels and the market's regimes."""
    from signals import regimes  # numba: a second for the first caller, none for a process that starts

    signal = get_object_or_404(_known(), pk=signal_id)
    step_ms = TIMEFRAME_MS[signal.timeframe]
    start_ms, end_ms = signal.bar_ms - CANDLES_BEFORE * step_ms, signal.bar_ms + CANDLES_AFTER * step_ms
    frame = candles.read(signal.market, signal.timeframe, start_ms=start_ms, end_ms=end_ms)
    columns = (frame.timestamp, frame.open, frame.high, frame.low, frame.close, frame.volume)
    return {
        "symbol": signal.market.symbol,
        "simulated": signal.market.is_simulated,
        "timeframe": signal.timeframe,
        "length_ms": step_ms,
        "decided_ms": signal.bar_ms,
        "regimes": [stretch._asdict() for stretch in regimes.stretches(signal.market, start_ms=start_ms, end_ms=end_ms)],
        "candles": list(zip(*(column.tolist() for column in columns), strict=True)),
        "lines": [{"price": getattr(signal, name), "label": label, "kind": kind} for name, label, kind in explanation.LINES],
        "markers": [{"time_ms": signal.bar_ms, "kind": "entry", "side": signal.side, "text": signal.get_side_display()}],
    }


# --- regimes


class RegimeQuery(Input):
    """Times without a zone are UTC; milliseconds since 1970 are understood, too."""

    start: datetime | None = Field(None, description="Closes after this. Default: a thousand base bars before the end.")
    end: datetime | None = Field(None, description="Closes up to this. Default: the newest.")


class RegimesOut(Schema):
    """Each stretch is known at its closes and changes no more, whatever comes after them."""

    market_id: int
    symbol: str
    simulated: bool
    timeframe: str = Field(description="Of the base bars at whose closes a regime is known.")
    regimes: list[RegimeOut] = Field(description="Oldest first. Empty without a month of history, and for markets that close at night.")


@router.get("/regimes/{int:market_id}", response=RegimesOut)
def get_regimes(request: HttpRequest, market_id: int, query: Query[RegimeQuery]) -> dict[str, Any]:
    """What kind of market it was, as far as it was known at the time; of a long span the newest four years."""
    from signals import regimes  # numba: a second for the first caller, none for a process that starts

    refuse_unknown(request, RegimeQuery)
    market = get_object_or_404(Market.objects.exclude(provenance=Provenance.NONE), pk=market_id)
    start_ms, end_ms = _ms(query.start), _ms(query.end)
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        raise UserError("start: has to be before end; correct one of them", field="start")
    if start_ms is None:
        start_ms = (processing.clock_ms(market) if end_ms is None else end_ms) - 1_000 * processing.bar_ms()
    return {
        "market_id": market.pk,
        "symbol": market.symbol,
        "simulated": market.is_simulated,
        "timeframe": settings.BASE_TIMEFRAME,
        "regimes": [stretch._asdict() for stretch in regimes.stretches(market, start_ms=start_ms, end_ms=end_ms)],
    }


def _ms(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return clock.to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


# --- strategies


class TemplateOut(Schema):
    slug: str
    name: str
    description: str
    style: str
    min_confidence: float
    min_net_profit_pct: float


class ConfigOut(Schema):
    id: int
    template: str
    name: str
    symbols: list[str]
    risk_profile: str
    min_confidence: float
    environment: str = Field(description="paper: fills are simulated.")
    auto_trade: bool
    started_at: datetime | None
    stopped_at: datetime | None

    @staticmethod
    def resolve_environment(config: StrategyConfig) -> str:
        return config.account.environment


class StrategiesOut(Schema):
    templates: list[TemplateOut]
    configs: list[ConfigOut] = Field(description="The caller's own.")


class OrderOut(Schema):
    id: int
    origin: str
    symbol: str
    side: str
    state: str
    reason: str
    created_at: datetime

    @staticmethod
    def resolve_symbol(order: Any) -> str:
        return order.market.symbol


class AutoTradeStatus(Schema):
    config: ConfigOut
    orders_made: int
    orders_denied: int
    newest_orders: list[OrderOut]
    held: str = Field(description='Why signals of the model in charge are not traded by themselves now; "" when they are.')


class ConfigRef(Input):
    config_id: int = Field(ge=1, le=2**63 - 1)


def _configs(request: HttpRequest) -> "QuerySet[StrategyConfig]":
    return StrategyConfig.objects.for_user(request.user).select_related("account").order_by("id")


@router.get("/strategies", response=StrategiesOut)
def list_strategies(request: HttpRequest) -> dict[str, Any]:
    """The templates on offer and the caller's configurations."""
    offered = []
    for template in TEMPLATES.values():
        rule = processing.entry_rule(template)
        described = {"slug": template.slug, "name": template.name, "description": template.description, "style": template.style}
        offered.append({**described, "min_confidence": rule.min_confidence, "min_net_profit_pct": rule.min_net_profit_pct})
    return {"templates": offered, "configs": list(_configs(request))}


@router.post("/strategies/auto-trade/start", response=ConfigOut)
def start_auto_trade(request: HttpRequest, body: ConfigRef) -> StrategyConfig:
    """Let one of the caller's configurations trade. Starting what runs changes nothing."""
    autotrade.start(get_object_or_404(_configs(request), pk=body.config_id))
    audit.record(cast(User, request.user), "autotrade_started", request, config=body.config_id)
    return _configs(request).get(pk=body.config_id)


@router.post("/strategies/auto-trade/stop", response=ConfigOut)
def stop_auto_trade(request: HttpRequest, body: ConfigRef) -> StrategyConfig:
    """No new orders; open positions keep their exits."""
    autotrade.stop(get_object_or_404(_configs(request), pk=body.config_id))
    audit.record(cast(User, request.user), "autotrade_stopped", request, config=body.config_id)
    return _configs(request).get(pk=body.config_id)


@router.get("/strategies/auto-trade/status", response=list[AutoTradeStatus])
def get_auto_trade_status(request: HttpRequest) -> list[dict[str, Any]]:
    """What each of the caller's configurations did since it was started, refusals with their reasons included."""
    held = autotrade.held(registry.champion())
    statuses = [autotrade.status(config, held) for config in _configs(request)]
    return [
        {"config": s.config, "orders_made": s.made, "orders_denied": s.denied, "newest_orders": s.orders, "held": s.held} for s in statuses
    ]
