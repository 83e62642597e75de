"""Backtests over HTTP; mounted below /api/v1. Own runs only: a stranger's is a 404."""

from datetime import UTC, date, datetime, time
from typing import Any, Literal

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Field, Query, Router, Schema, Status
from pydantic import ConfigDict

from backtesting import runs
from backtesting.models import BacktestRun, BacktestTrade

router = Router(tags=["backtests"])


class RunIn(Schema):
    model_config = ConfigDict(extra="forbid")

    symbols: list[str] = Field(description="ccxt's spelling, e.g. BTC/USDT:USDT", max_length=200)
    capital: float = Field(100, strict=True, description="Starting equity in quote currency.")
    risk_profile: str = Field("medium", description="low, medium or high")
    strategy: str = Field("ml-ensemble", description="ml-ensemble, judged by the champion, or a rule such as sma-cross.", max_length=40)
    strategy_params: dict[str, Any] = Field(
        default_factory=dict, description="A rule's parameters and its plan's multiples; defaults for what is left out."
    )
    engine: dict[str, Any] = Field(
        default_factory=dict, description="How it is simulated: path, detail, entry, sizing, slippage ...; usual for what is left out."
    )
    start: date | None = Field(None, description="First day, not before out-of-sample time begins.")
    end: date | None = None


class QueuedOut(Schema):
    id: int
    status: str
    status_url: str


class RunOut(Schema):
    """`metrics` is empty until status is done; every figure in it has its span and sample size. What is kept of how it was computed is empty
    until then, too, and two runs with the same data_hash, code_version, model and settings have the same trades."""

    id: int
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str
    progress: float
    error: str
    symbols: list[str]
    capital: float
    risk_profile: str
    strategy: str
    strategy_params: dict[str, Any]
    engine: dict[str, Any]
    simulated: bool
    start_ms: int | None = Field(description="Open of the first simulated bar.")
    end_ms: int | None = Field(description="Close of the last simulated bar.")
    model_version: int | None
    data_hash: str = Field(description="BLAKE2b over every candle and funding rate that was read.")
    code_version: str
    seed: int | None
    repeats: int | None = Field(description="The run that this one repeats exactly.")
    comparison: dict[str, Any] = Field(
        description="Of a repetition: whether its trades are the same, what differs, and what changed since."
    )
    params: dict[str, Any] = Field(description="Costs, plan and entry rule as they were used.")
    metrics: dict[str, Any]

    @staticmethod
    def resolve_model_version(run: BacktestRun) -> int | None:
        return run.model.version if run.model else None

    @staticmethod
    def resolve_seed(run: BacktestRun) -> int | None:
        return run.params.get("seed")

    @staticmethod
    def resolve_repeats(run: BacktestRun) -> int | None:
        return run.repeats_id

    @staticmethod
    def resolve_simulated(run: BacktestRun) -> bool:
        return run.provenance == "simulated"


class EquityOut(Schema):
    """Arrays of one length; timestamps are bar opens in ms UTC."""

    timestamps: list[int]
    equity: list[float]
    drawdown_pct: list[float]
    buy_and_hold: list[float]


class TradeOut(Schema):
    number: int
    symbol: str
    side: str
    signal_ms: int
    entry_ms: int
    exit_ms: int
    entry_price: float
    exit_price: float
    qty: float
    leverage: int
    stop: float
    tp1: float
    tps_hit: int
    exit_reason: str
    fees: float
    funding: float
    pnl: float
    pnl_pct: float
    probability: float | None


class TradesOut(Schema):
    items: list[TradeOut]
    count: int


@router.post("/backtest/run", response={202: QueuedOut})
def run_backtest(request: HttpRequest, body: RunIn) -> Status[QueuedOut]:
    """Queue a backtest of the newest champion on out-of-sample time, or of a rule. Ask status_url how it goes."""
    run = runs.start(
        request.user,
        symbols=body.symbols,
        capital=body.capital,
        risk_profile=body.risk_profile,
        strategy=body.strategy,
        strategy_params=body.strategy_params,
        engine=body.engine,
        start_ms=_ms(body.start),
        end_ms=_ms(body.end),
    )
    run.refresh_from_db()
    return Status(202, QueuedOut(id=run.pk, status=run.status, status_url=reverse("api:get_backtest", kwargs={"run_id": run.pk})))


@router.get("/backtest/{int:run_id}", response=RunOut)
def get_backtest(request: HttpRequest, run_id: int) -> BacktestRun:
    """How a run goes, and its figures when it is done."""
    return _mine(request, run_id)


@router.get("/backtest/{int:run_id}/equity", response=EquityOut)
def get_backtest_equity(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """The curves of a finished run, thinned to at most 2,000 points; empty before it is done."""
    run = _mine(request, run_id)
    return run.equity or {"timestamps": [], "equity": [], "drawdown_pct": [], "buy_and_hold": []}


@router.get("/backtest/{int:run_id}/trades", response=TradesOut)
def get_backtest_trades(
    request: HttpRequest, run_id: int, limit: int = Query(100, ge=1, le=200), offset: int = Query(0, ge=0, le=1_000_000)
) -> dict[str, Any]:
    """The trades in order."""
    trades = BacktestTrade.objects.filter(run=_mine(request, run_id)).order_by("number")
    return {"items": list(trades[offset : offset + limit]), "count": trades.count()}


def _mine(request: HttpRequest, run_id: int) -> BacktestRun:
    return get_object_or_404(BacktestRun.objects.for_user(request.user).select_related("model"), pk=run_id)


def _ms(day: date | None) -> int | None:
    return None if day is None else int(datetime.combine(day, time(), UTC).timestamp() * 1000)
