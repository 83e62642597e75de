"""Markets with candles, and trained models, for the tests of registry and training."""

from typing import Any

import numpy as np

from exchanges import candles
from exchanges.models import Market, Provenance, Venue
from exchanges.ports import CandleFrame
from signals import ensemble, features
from signals.learners import learner
from signals.net_profit import Payoff
from tests.signals.series import START_MS, make_funding, make_series

HISTORY_BARS = 5_600
QUICK = {"folds": 2, "rounds": 12, "patience": 5, "cpcv_groups": 4}


def make_market(symbol: str, frame: CandleFrame, *, provenance: str = Provenance.FILE, funding: bool = True) -> Market:
    """A market of the default venue that holds `frame`."""
    Venue.objects.get_or_create(slug="binance", defaults={"name": "Binance"})
    market = candles.add_market(symbol)
    candles.ingest(market, frame, provenance=provenance)
    if funding:
        candles.ingest_funding(market, make_funding(frame), provenance=provenance)
    return market


def make_pair(n: int = HISTORY_BARS, pull: float = 0.35) -> tuple[Market, Market]:
    """Bitcoin and Ether with the same hours of history."""
    btc = make_market("BTC/USDT:USDT", make_series(n, symbol="BTC/USDT:USDT", seed=21, price=30_000.0, pull=pull))
    return btc, make_market("ETH/USDT:USDT", make_series(n, seed=22, pull=pull))


def make_ensemble(seed: int = 7) -> ensemble.Ensemble:
    """A small real ensemble: both libraries, fitted on noise with one feature that matters."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(600, len(features.NAMES))).astype(np.float32)
    y = (rng.uniform(size=600) < 1.0 / (1.0 + np.exp(-2.0 * x[:, 0]))).astype(np.int8)
    sides = []
    for side in (0, 1):
        models: dict[str, Any] = {}
        for kind in ("lightgbm", "xgboost"):
            models[kind] = learner(kind)(rounds=5, seed=seed)
            models[kind].fit(x, y if side == 0 else 1 - y, np.ones(600), None)
        calibration = ensemble.Calibration((0.3, 0.7), (0.35, 0.6))
        sides.append(ensemble.SideModel(models, {"lightgbm": 0.5, "xgboost": 0.5}, calibration, Payoff(1.5, -1.1, 20.0, 12.0, 40, 60)))
    return ensemble.Ensemble(features.NAMES, sides)


def make_facts(**changes: Any) -> dict[str, Any]:
    """The registry columns that a training would give."""
    facts = {
        "timeframe": "15m",
        "venue_slug": "binance",
        "symbols": ["BTC/USDT:USDT"],
        "params": {},
        "metrics": {},
        "provenance": "file",
        "train_start_ms": START_MS,
        "train_end_ms": START_MS + 1_000,
        "oos_start_ms": START_MS + 2_000,
        "data_hash": "0" * 64,
    }
    return facts | changes
