"""One worker on one training run. The heartbeat it left last proves that the run is still its own, and the run's status says whether to go
on; it looks every BEAT_S, between the rounds of a fit, too. Model and end of the run are committed together, after the model's files: a
worker that is killed at any instant leaves a run that can start again, and at most a folder that nothing names.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from django.db import DatabaseError, IntegrityError, transaction

from exchanges.models import JobStatus
from signals import events, registry
from signals.models import ModelStatus, ModelVersion, TrainingRun
from signals.ports import CHECKPOINT
from signals.training.diary import note
from signals.training.params import parse
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit
from traderai.lib.room import OutOfRoom, is_out_of_room

if TYPE_CHECKING:
    from signals.training import pipeline

log = structlog.get_logger(__name__)
Progress = Callable[[str, float], None]

BEAT_S = 1.0
STALE_AFTER = timedelta(minutes=5)
"""Longer than a worker is ever silent: it reads, compiles or waits for the database between two signs of life."""
MAX_RESTARTS = 3
RESTARTS = "restarts"


class NotStartable(UserError):
    """This run is not waiting: it runs elsewhere, or it ended."""


class TrainingCancelled(UserError):
    """Someone cancelled the run, or took it over, while it worked."""


def run(run_id: int, *, progress: Progress | None = None) -> ModelVersion:
    """Train, validate and register. A run that is done gives its model again.

    progress -- called with the stage and the share done, 0 to 1
    Raises NotStartable, TrainingCancelled, or the UserError that ended the run; the row then says why.
    """
    row = TrainingRun.objects.select_related("model").get(pk=run_id)
    if row.status == JobStatus.DONE and row.model is not None:
        return row.model
    row.heartbeat_at = clock.now()
    claimed = TrainingRun.objects.filter(pk=run_id, status=JobStatus.QUEUED).update(
        status=JobStatus.RUNNING, started_at=row.heartbeat_at, heartbeat_at=row.heartbeat_at, progress=0.0, stage="starting", error=""
    )
    if not claimed:
        raise NotStartable(f"training {run_id} is {TrainingRun.objects.get(pk=run_id).status}: ask for a new one, or wait for it")
    note(run_id, f"Process {os.getpid()} begins: {', '.join(row.symbols)}.")
    worker = _Worker(row, progress)
    token = CHECKPOINT.set(worker.look_up)
    try:
        return worker.train()
    except TrainingCancelled:
        raise
    except (KeyboardInterrupt, SystemExit):
        worker.end(JobStatus.CANCELLED, "Stopped while it ran.")
        raise
    except DatabaseError as error:
        if not is_out_of_room(error):
            worker.end(JobStatus.FAILED, f"{type(error).__name__}: {error}")
            raise
        worker.end(JobStatus.FAILED, OutOfRoom().message)
        raise OutOfRoom from error
    except UserError as error:
        worker.end(JobStatus.FAILED, error.message)
        raise
    except BaseException as error:
        worker.end(JobStatus.FAILED, f"{type(error).__name__}: {error}")
        raise
    finally:
        CHECKPOINT.reset(token)


class _Worker:
    """One claim of one run. Only the thread that made it touches the database."""

    def __init__(self, row: TrainingRun, progress: Progress | None) -> None:
        self.row = row
        self.progress = progress
        self.owner = threading.get_ident()
        self.unwanted = threading.Event()
        self.beaten_s = time.monotonic()
        self.noted: set[str] = set()

    def look_up(self) -> None:
        """For long work, in any thread. Raises TrainingCancelled as soon as the run is not this worker's to do."""
        if self.unwanted.is_set():
            raise self._unwanted()
        if threading.get_ident() == self.owner and time.monotonic() - self.beaten_s >= BEAT_S:
            self._beat()

    def tell(self, stage: str, share: float) -> None:
        """A stage begins or has come on; folds are fitted side by side, so it may come again."""
        self._beat(stage=stage, progress=share)
        if stage not in self.noted:
            self.noted.add(stage)
            note(self.row.pk, f"{share:.0%} {stage}")
        if self.progress is not None:
            self.progress(stage, share)

    def _beat(self, **told: Any) -> None:
        now = clock.now()
        mine = TrainingRun.objects.filter(pk=self.row.pk, status=JobStatus.RUNNING, heartbeat_at=self.row.heartbeat_at)
        if not mine.update(heartbeat_at=now, **told):
            self.unwanted.set()
            raise self._unwanted()
        self.row.heartbeat_at, self.beaten_s = now, time.monotonic()

    def _unwanted(self) -> TrainingCancelled:
        return TrainingCancelled(f"training {self.row.pk} was cancelled, or another process has taken it over")

    def train(self) -> ModelVersion:
        from signals.training import pipeline  # numba, TA-Lib, LightGBM and XGBoost: only a process that trains pays for them

        params = parse({name: value for name, value in self.row.params.items() if name != RESTARTS})
        trained = pipeline.train(self.row.symbols, params, self.tell)
        self.tell("registering", 0.99)
        try:
            model = self._register(trained, params.scope)
        except IntegrityError:  # another run has made the scope's first champion in between
            model = self._register(trained, params.scope)
        if self.progress is not None:
            self.progress("done", 1.0)
        return model

    def _register(self, trained: "pipeline.Trained", scope: str) -> ModelVersion:
        with transaction.atomic():
            is_first = registry.champion(scope) is None
            status, reason = (ModelStatus.CHAMPION, "first of its scope") if is_first else (ModelStatus.CANDIDATE, "")
            if trained.refusal:
                status, reason = ModelStatus.REFUSED, trained.refusal
            model = registry.register(
                ensemble=trained.ensemble,
                scope=scope,
                manifest=trained.manifest,
                facts=trained.facts,
                reference=trained.reference,
                status=status,
                reason=reason,
            )
            mine = TrainingRun.objects.filter(pk=self.row.pk, status=JobStatus.RUNNING, heartbeat_at=self.row.heartbeat_at)
            if not mine.update(status=JobStatus.DONE, stage="done", progress=1.0, model=model, finished_at=clock.now()):
                raise self._unwanted()
            note(self.row.pk, f"Registered as {model}. {trained.facts['metrics'].get('text', '')}")
            send_after_commit(events.model_trained, model_id=model.pk)
        return model

    def end(self, status: JobStatus, error: str) -> None:
        """Say on the row why it is over, as far as the database takes it; a run that is no longer this worker's is left alone."""
        mine = TrainingRun.objects.filter(pk=self.row.pk, status=JobStatus.RUNNING, heartbeat_at=self.row.heartbeat_at)
        with suppress(DatabaseError), transaction.atomic():
            if mine.update(status=status, error=error, finished_at=clock.now()):
                note(self.row.pk, f"{status.label}: {error}")
        log.info("training ended", run=self.row.pk, status=str(status), error=error)
