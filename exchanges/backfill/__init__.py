"""History from a venue's public API: jobs that can be paused, killed and resumed, bound by nothing but the venue's limit on requests."""

from exchanges.backfill.gaps import Repair, gappy, missing, repair
from exchanges.backfill.jobs import BackfillRefused, Pace, adopt, cancel, pace, pause, request, resume, start, waiting
from exchanges.backfill.worker import run

__all__ = [
    "BackfillRefused",
    "Pace",
    "Repair",
    "adopt",
    "cancel",
    "gappy",
    "missing",
    "pace",
    "pause",
    "repair",
    "request",
    "resume",
    "run",
    "start",
    "waiting",
]
