"""Celery tasks of markets and trading, by subject."""

from exchanges.tasks.market_data import run_backfill, sweep_backfills
from exchanges.tasks.trading import execute_orders, manage_positions, sweep_orders, sweep_positions

__all__ = ["execute_orders", "manage_positions", "run_backfill", "sweep_backfills", "sweep_orders", "sweep_positions"]
