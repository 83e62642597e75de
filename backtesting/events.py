"""What this app tells the others, always after commit."""

from django.dispatch import Signal

backtest_requested = Signal()
"""run_id: int"""

lookahead_requested = Signal()
"""check_id: int"""

parameter_search_requested = Signal()
"""search_id: int"""
