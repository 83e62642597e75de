"""Celery tasks of markets and trading, by subject."""

from exchanges.tasks.market_data import repair_gaps, run_backfill, sweep_backfills, sweep_gaps
from exchanges.tasks.trading import execute_orders, manage_positions, sweep_orders, sweep_positions

__all__ = [
    "execute_orders",
    "manage_positions",
    "repair_gaps",
    "run_backfill",
    "sweep_backfills",
    "sweep_gaps",
    "sweep_orders",
    "sweep_positions",
]
