"""What this app tells the others, always after commit (traderai.lib.events.send_after_commit)."""

from django.dispatch import Signal

candle_closed = Signal()
"""market_id: int, symbol: str, timeframe: str, timestamp: int (open of the closed bar, ms). One per market and bar of the base frame."""

backfill_requested = Signal()
"""job_id: int"""

order_ready = Signal()
"""account_id: int. There is an order in READY for this account."""

position_changed = Signal()
"""position_id: int, user_id: int. Opened, partly closed, marked or closed."""

position_closed = Signal()
"""position_id: int, user_id: int"""
