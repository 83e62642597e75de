"""Training as a job: ask for it, run it, stop it, find what a dead worker left. The fitting itself is loaded when a run begins."""

from signals.training.diary import KEPT_LINES, note
from signals.training.jobs import AlreadyTraining, Pace, cancel, check, pace, queue, restart, start, sweep
from signals.training.params import TrainingParams
from signals.training.worker import MAX_RESTARTS, STALE_AFTER, NotStartable, run

__all__ = [
    "KEPT_LINES",
    "MAX_RESTARTS",
    "STALE_AFTER",
    "AlreadyTraining",
    "NotStartable",
    "Pace",
    "TrainingParams",
    "cancel",
    "check",
    "note",
    "pace",
    "queue",
    "restart",
    "run",
    "start",
    "sweep",
]
