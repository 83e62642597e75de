"""Entries into a market with a known history."""

from decimal import Decimal

import numpy as np

from exchanges import candles, execution
from exchanges.models import LedgerEntry, Market, Order
from exchanges.ports import CandleFrame, EntryPlan

START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z
BAR_MS = 900_000


def store(market: Market, closes: list[float], start_ms: int = START_MS, provenance: str = "file", price: str = candles.LAST) -> int:
    """Flat bars at these closes; returns the close time of the last one."""
    close = np.array(closes, float)
    n = len(closes)
    frame = CandleFrame(market.symbol, "15m", start_ms + np.arange(n) * BAR_MS, close, close * 1.0005, close * 0.9995, close, np.ones(n))
    candles.ingest(market, frame, provenance=provenance, price=price)
    return start_ms + n * BAR_MS


def plan_at(price: float, decided_ms: int, side: int = 1) -> EntryPlan:
    return EntryPlan(
        reference_price=price,
        stop=price * (1 - 0.02 * side),
        tp1=price * (1 + 0.02 * side),
        tp2=price * (1 + 0.04 * side),
        tp3=price * (1 + 0.06 * side),
        trail_distance=price * 0.015,
        max_hold_ms=48 * 3_600_000,
        decided_ms=decided_ms,
        shares=(0.3, 0.4, 0.3),
    )


def submit(account, market, plan, *, side="buy", origin="signal:1", risk_profile="medium") -> Order:
    return execution.submit(account, market=market, side=side, origin=origin, plan=plan, risk_profile=risk_profile)


def ledger_sum(account) -> Decimal:
    return sum(LedgerEntry.objects.filter(account=account).values_list("amount", flat=True), Decimal(0))
