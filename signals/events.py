"""What this app tells the others, always after commit."""

from django.dispatch import Signal

signal_issued = Signal()
"""signal_id: int"""

signal_ended = Signal()
"""signal_id: int. It expired or was superseded."""

autotrade_started = Signal()
"""config_id: int"""

training_requested = Signal()
"""run_id: int"""

search_requested = Signal()
"""search_id: int, lanes: int. So many trials of it may begin."""

model_rolled_back = Signal()
"""model_id: int, former_id: int, reason: str. A champion did worse than the one it replaced, which is champion again."""

model_trained = Signal()
"""model_id: int. A candidate was registered; backtesting.promotion decides whether it becomes champion."""
