"""Markets with candles, a real small ensemble whose answers a test can set, and what people own."""

from collections.abc import Iterable

import numpy as np

from accounts.models import User
from exchanges import candles, paper_accounts
from exchanges.models import Market, TradingAccount
from exchanges.ports import CandleFrame
from signals import features, registry
from signals.conformal import Conformal
from signals.ensemble import Calibration, Ensemble, SideModel
from signals.learners import DEFAULT, learner
from signals.models import ModelStatus, ModelVersion, Rejection, ScanRun, Signal, StrategyConfig
from signals.net_profit import Payoff
from tests.signals.series import START_MS as START_MS
from tests.signals.series import make_series
from traderai.lib import clock

BAR_MS = 900_000
BARS = features.WARMUP_BARS + 40
GENEROUS = Payoff(win_atr=2.0, loss_atr=-1.2, win_hours=10.0, loss_hours=6.0, wins=500, losses=500)
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def fit_learners(frame: CandleFrame) -> dict:
    """Both kinds of learner, really fitted, on the frame's own features and a coin's labels."""
    rows = features.compute(frame).values
    rows = rows[np.isfinite(rows).all(axis=1)].astype(np.float32)
    labels = np.random.default_rng(5).integers(0, 2, rows.shape[0]).astype(np.int8)
    fitted = {}
    for kind in DEFAULT:
        fitted[kind] = learner(kind)(rounds=5, patience=5, seed=1)
        fitted[kind].fit(rows, labels, np.ones(rows.shape[0]), None)
    return fitted


def make_ensemble(
    learners: dict, *, long: float = 0.7, short: float = 0.3, payoff: Payoff = GENEROUS, thresholds: Conformal | None = None
) -> Ensemble:
    """An ensemble that always answers these probabilities: its calibration is flat."""
    weights = dict.fromkeys(learners, 1.0 / len(learners))
    sides = [SideModel(learners, weights, Calibration((0.0, 1.0), (chance, chance)), payoff, thresholds) for chance in (long, short)]
    return Ensemble(features.NAMES, sides)


def make_champion(
    ensemble: Ensemble, *, symbols: Iterable[str] = (BTC, ETH), provenance: str = "simulated", oos_start_ms: int = 1, **more
) -> ModelVersion:
    """Register it as the champion of its scope, files and all."""
    ModelVersion.objects.filter(status=ModelStatus.CHAMPION).update(status=ModelStatus.ARCHIVED)
    facts = {
        "timeframe": "15m",
        "venue_slug": "binance",
        "symbols": list(symbols),
        "params": {},
        "metrics": {"text": "No edge after costs was found out of fold.", "independent_samples": {"long": 120.5, "short": 118.0}},
        "provenance": provenance,
        "data_hash": "0" * 64,
        "train_start_ms": 0,
        "train_end_ms": 0,
        "oos_start_ms": oos_start_ms,
        **more,
    }
    return registry.register(
        ensemble=ensemble, scope="default", manifest={"samples": 1, "params": facts["params"]}, facts=facts, status=ModelStatus.CHAMPION
    )


def make_market(
    symbol: str = BTC, *, bars: int = BARS, provenance: str = "simulated", seed: int = 7, frame: CandleFrame | None = None
) -> Market:
    """A listed market with candles."""
    market = candles.find_market(symbol)
    candles.ingest(market, make_series(bars, symbol=symbol, seed=seed) if frame is None else frame, provenance=provenance)
    return market


def next_bars(market: Market, rows: list[tuple[float, float, float, float]]) -> None:
    """Append bars of (open, high, low, close) after the newest one."""
    start_ms = candles.last_open_ms(market, "15m") + BAR_MS
    table = np.array(rows)
    timestamp = start_ms + np.arange(len(rows), dtype=np.int64) * BAR_MS
    frame = CandleFrame(market.symbol, "15m", timestamp, *(np.ascontiguousarray(table[:, k]) for k in range(4)), np.ones(len(rows)))
    candles.ingest(market, frame, provenance=market.provenance)


def make_signal(
    market: Market, *, bar_ms: int | None = None, side: str = "long", entry: float = 100.0, step: float = 2.0, save: bool = True, **more
) -> Signal:
    """A signal with levels `step` apart; on the market's newest bar when none is named."""
    newest = candles.last_open_ms(market, "15m") if bar_ms is None else bar_ms
    sign = 1 if side == "long" else -1
    facts = {
        "strategy": "ml-ensemble",
        "timeframe": "15m",
        "stop": entry - sign * step,
        "tp1": entry + sign * step,
        "tp2": entry + sign * 2 * step,
        "tp3": entry + sign * 3 * step,
        "trail_distance": step,
        "atr": step,
        "probability": 0.7,
        "confidence": 0.7,
        "agreement": 0.9,
        "gross_gain_pct": 4.0,
        "cost_pct": 0.58,
        "cost_lines": {"entry_fee_pct": 0.05, "entry_slippage_pct": 0.03, "exit_fee_pct": 0.02, "funding_pct": 0.48},
        "net_profit_pct": 3.42,
        "expectancy_pct": 0.8,
        "risk_reward": 1.6,
        "sizing": {
            "low": {"leverage": 2, "risk_pct": 0.9, "margin_pct": 5.0, "notional_pct": 10.0},
            "medium": {"leverage": 5, "risk_pct": 1.8, "margin_pct": 10.0, "notional_pct": 50.0},
            "high": {"leverage": 8, "risk_pct": 2.7, "margin_pct": 10.0, "notional_pct": 80.0},
        },
        "votes": [
            {
                "voter": "ml",
                "weight": 1.0,
                "side": side,
                "probability": 0.7,
                "note": "",
                "reasons": [
                    {"feature": "rsi_14", "value": 0.4, "contribution": 0.2, "text": "RSI of 14 bars: +0.40, speaks for a long"},
                    {
                        "feature": "ret_16",
                        "value": -0.01,
                        "contribution": -0.1,
                        "text": "Price change over 4 hours: -1.00 %, speaks against a long",
                    },
                ],
            }
        ],
        "expires_at": clock.from_ms(newest + 5 * BAR_MS),
        **more,
    }
    signal = Signal(market=market, bar_ms=newest, side=side, entry=entry, **facts)
    if save:
        signal.save()
    return signal


def make_rejection(market: Market, *, bar_ms: int = BAR_MS, code: str = "confidence", **more) -> Rejection:
    reason = more.pop("reason", "Probability 51.0% is below 55.0%.")
    return Rejection.objects.create(market=market, strategy="ml-ensemble", bar_ms=bar_ms, code=code, reason=reason, **more)


def make_account(user: User, *, balance: int = 1_000, is_active: bool = True) -> TradingAccount:
    """The user's paper account, opened with `balance`."""
    user.profile.simulation_capital = balance
    user.profile.save()
    account = paper_accounts.open_for(user)
    TradingAccount.objects.filter(pk=account.pk).update(is_active=is_active)
    account.refresh_from_db()
    return account


def make_config(user: User, account: TradingAccount, **more) -> StrategyConfig:
    return StrategyConfig.objects.create(**{"user": user, "account": account, "template": "ml-ensemble", "name": "Mine", **more})


def make_run(slot: str = "test") -> ScanRun:
    return ScanRun.objects.create(slot=slot)
