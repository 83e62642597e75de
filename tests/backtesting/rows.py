"""Backtests as rows: what a finished run leaves behind, without simulating anything."""

from accounts.models import User
from backtesting.models import BacktestRun, BacktestTrade
from backtesting.views.report import LABELS
from signals.models import ModelStatus, ModelVersion
from tests.signals.scenes import BTC

DAY_MS = 86_400_000
START_MS = 1_735_689_600_000
SPAN = {"start": "2025-01-01T00:00:00+00:00", "end": "2025-01-04T00:00:00+00:00"}
CURVES = {
    "timestamps": [START_MS + k * DAY_MS for k in range(3)],
    "equity": [1000.0, 990.0, 1010.0],
    "drawdown_pct": [0.0, 1.0, 0.0],
    "buy_and_hold": [1000.0, 1001.0, 1002.0],
}


def make_model(**more) -> ModelVersion:
    facts = {
        "version": 1,
        "status": ModelStatus.CHAMPION,
        "timeframe": "15m",
        "venue_slug": "binance",
        "symbols": [BTC],
        "features": [],
        "params": {},
        "metrics": {},
        "provenance": "simulated",
        "train_start_ms": 0,
        "train_end_ms": 0,
        "oos_start_ms": START_MS,
    }
    return ModelVersion.objects.create(**facts | more)


def make_run(user: User | None, model: ModelVersion, **more) -> BacktestRun:
    facts = {
        "venue_slug": "binance",
        "symbols": [BTC],
        "timeframe": "15m",
        "capital": 1000,
        "risk_profile": "medium",
        "provenance": "simulated",
    }
    return BacktestRun.objects.create(user=user, model=model, **facts | more)


def make_finished(user: User | None, model: ModelVersion, *, figures: dict | None = None, trades: int = 0, **more) -> BacktestRun:
    """A run that is done; `figures` replaces single metrics."""
    metrics = {name: {"value": 1.5, "n": 7, **SPAN} for name in LABELS} | (figures or {})
    found = {
        "span": {**SPAN, "start_ms": START_MS, "end_ms": START_MS + 3 * DAY_MS, "days": 3.0},
        "sample": {
            "trades": trades, "open_at_end": 0, "bars": 288, "candidates": 9, "judged": {}, "signals": 8, "refused": {},
            "symbols": [BTC], "enough": False, "note": f"{trades} trades are too few to judge by; every figure may be luck.",
        },
        "model": {"version": model.version, "scope": model.scope, "oos_start": SPAN["start"]},
        "provenance": "simulated",
        "label": "SIMULATED MARKET",
        "costs": [{"symbols": [BTC], "maker_bps": 2.0, "taker_bps": 5.0, "slippage_bps": 3.0, "funding_bps_per_hour": 1.0}],
        "metrics": metrics,
        "notes": ["Out of sample: the model has never seen this span."],
        "checks": [{"name": "Sample size", "verdict": "warn", "detail": "few trades"}],
    }  # fmt: skip
    run = make_run(user, model, status="done", progress=1.0, metrics=found, equity=CURVES, **more)
    BacktestTrade.objects.bulk_create(make_trade(run, number) for number in range(1, trades + 1))
    return run


def make_trade(run: BacktestRun, number: int, **more) -> BacktestTrade:
    facts = {
        "symbol": BTC, "side": "long", "signal_ms": START_MS, "entry_ms": START_MS + 900_000, "exit_ms": START_MS + 9_000_000,
        "entry_price": 100.0, "exit_price": 101.0, "qty": 1.0, "leverage": 5, "stop": 98.0, "tp1": 102.0, "tps_hit": 1, "exit_reason": "stop",
        "fees": 0.07, "funding": 0.01, "pnl": 0.92, "pnl_pct": 0.92, "probability": 0.61,
    }  # fmt: skip
    return BacktestTrade(run=run, number=number, **facts | more)
