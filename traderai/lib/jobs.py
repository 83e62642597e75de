"""Jobs as rows: one worker claims one, tells how far it is, and ends it.

The heartbeat that a worker left last proves that the job is still its own, and the status says whether to go on: a worker that was taken for
dead can change nothing any more once another one has claimed the row. Contested changes are conditional updates: whoever's counts has won.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar

import structlog
from django.db import DatabaseError, models, transaction
from django.db.models import Q, QuerySet

from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.room import OutOfRoom, is_out_of_room

log = structlog.get_logger(__name__)


class JobStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)
LONG_STEP_S = 60


class Job(models.Model):
    """What the row of every job has that is done in one go: it starts anew when its worker died."""

    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.QUEUED)
    stage = models.CharField(max_length=80, blank=True)
    progress = models.FloatField(default=0.0, help_text="0 to 1")
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(
        null=True, blank=True, help_text="The worker's sign of life, and what proves that the run is its own."
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def is_unfinished(self) -> bool:
        return self.status in UNFINISHED

    @property
    def silent_s(self) -> int:
        """Seconds without news from the worker, once they are more than most steps take; else 0."""
        if self.status != JobStatus.RUNNING or self.heartbeat_at is None:
            return 0
        seconds = int((clock.now() - self.heartbeat_at).total_seconds())
        return seconds if seconds >= LONG_STEP_S else 0


Row = TypeVar("Row", bound=Job)


class Withdrawn(UserError):
    """The job was removed, cancelled or taken over while it was worked on: what this worker has found counts no more."""

    def __init__(self, row: Job) -> None:
        super().__init__(f"{row._meta.verbose_name} {row.pk} was cancelled or removed, or another process has taken it over")


class Claim(Generic[Row]):
    """One worker's hold on one job. `row` is the job as this worker has left it."""

    def __init__(self, row: Row) -> None:
        self.row = row

    @classmethod
    def take(cls, rows: QuerySet[Row], job_id: int) -> Self | None:
        """Make a job that waits this worker's own; None when it does not wait. Raises DoesNotExist."""
        now = clock.now()
        started: dict[str, Any] = {"status": JobStatus.RUNNING, "started_at": now, "heartbeat_at": now, "progress": 0.0}
        won = rows.filter(pk=job_id, status=JobStatus.QUEUED).update(**started, stage="Starting", error="")
        row = rows.get(pk=job_id)
        if not won:
            return None
        row.heartbeat_at = now  # whatever it has become since: this is what is ours
        return cls(row)

    def beat(self, **told: Any) -> None:
        """Give a sign of life and say what is new. Raises Withdrawn."""
        if not self._change(heartbeat_at=clock.now(), **told):
            raise Withdrawn(self.row)

    def finish(self, **found: Any) -> None:
        """The job is done. For the transaction that stores what it made: raises Withdrawn, and nothing of it must be kept."""
        if not self._change(status=JobStatus.DONE, stage="Done", progress=1.0, finished_at=clock.now(), **found):
            raise Withdrawn(self.row)

    def end(self, status: JobStatus, error: str) -> bool:
        """Say on the row why it is over, as far as the database takes it; False when the job is no longer this worker's."""
        with suppress(DatabaseError), transaction.atomic():
            return self._change(status=status, error=error, finished_at=clock.now())
        return False

    @contextmanager
    def ending(self) -> Iterator[None]:
        """What leaves the block ends the job: a failure is kept on the row, Ctrl-C cancels it, and both are raised. Withdrawn leaves the row alone.

        Raises OutOfRoom for a database whose disk is full.
        """
        try:
            yield
        except Withdrawn:
            raise
        except UserError as error:
            self.end(JobStatus.FAILED, error.message)
            raise
        except Exception as error:
            if isinstance(error, DatabaseError) and is_out_of_room(error):
                self.end(JobStatus.FAILED, OutOfRoom().message)
                raise OutOfRoom from error
            log.exception("job failed", job=str(self.row))
            self.end(JobStatus.FAILED, self.unforeseen(error))
            raise
        except BaseException:  # nobody waits for it any more
            self.end(JobStatus.CANCELLED, "Stopped while it ran.")
            raise

    def unforeseen(self, error: Exception) -> str:
        """What the row says of a failure that nobody expected: no more than everybody may read."""
        return f"It failed unexpectedly ({type(error).__name__}); the log has the details."

    def _change(self, **changes: Any) -> bool:
        rows = type(self.row)._default_manager.filter(pk=self.row.pk, status=JobStatus.RUNNING, heartbeat_at=self.row.heartbeat_at)
        if not rows.update(**changes):
            return False
        for name, value in changes.items():
            setattr(self.row, name, value)
        return True


def wake(rows: QuerySet[Row], *, silent_for: timedelta) -> list[int]:
    """Queue again what a killed worker left running. Returns the ids of those and of what nobody has begun for so long, oldest first."""
    stale = clock.now() - silent_for
    rows.filter(status=JobStatus.RUNNING, heartbeat_at__lt=stale).update(status=JobStatus.QUEUED)
    waiting = rows.filter(status=JobStatus.QUEUED).filter(Q(heartbeat_at__lt=stale) | Q(created_at__lt=stale))
    return list(waiting.order_by("pk").values_list("pk", flat=True))
