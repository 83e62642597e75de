"""One worker on one training run. It looks every BEAT_S, between the rounds of a fit, too, whether the run is still its own. Model and end of
the run are committed together, after the model's files: a worker that is killed at any instant leaves a run that can start again, and at
most a folder that nothing names.
"""

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from signals import events, registry
from signals.models import ModelStatus, ModelVersion, TrainingRun
from signals.ports import CHECKPOINT
from signals.training.diary import note
from signals.training.params import parse
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit
from traderai.lib.jobs import Claim, JobStatus, Withdrawn

if TYPE_CHECKING:
    from signals.training import pipeline

Progress = Callable[[str, float], None]

BEAT_S = 1.0
STALE_AFTER = timedelta(minutes=5)
"""Longer than a worker is ever silent: it reads, compiles or waits for the database between two signs of life."""
MAX_RESTARTS = 3
RESTARTS = "restarts"


class NotStartable(UserError):
    """This run is not waiting: it runs elsewhere, or it ended."""


def run(run_id: int, *, progress: Progress | None = None) -> ModelVersion:
    """Train, validate and register. A run that is done gives its model again.

    progress -- called with the stage and the share done, 0 to 1
    Raises NotStartable, Withdrawn, or the UserError that ended the run; the row then says why.
    """
    row = TrainingRun.objects.select_related("model").get(pk=run_id)
    if row.status == JobStatus.DONE and row.model is not None:
        return row.model
    worker = _Worker.take(TrainingRun.objects.all(), run_id)
    if worker is None:
        raise NotStartable(f"training {run_id} is {TrainingRun.objects.get(pk=run_id).status}: ask for a new one, or wait for it")
    worker.progress = progress
    note(run_id, f"Process {os.getpid()} begins: {', '.join(row.symbols)}.")
    token = CHECKPOINT.set(worker.look_up)
    try:
        with worker.ending():
            return worker.train()
    finally:
        CHECKPOINT.reset(token)


class _Worker(Claim[TrainingRun]):
    """One claim of one run. Only the thread that made it touches the database."""

    progress: Progress | None = None

    def __init__(self, row: TrainingRun) -> None:
        super().__init__(row)
        self.owner = threading.get_ident()
        self.unwanted = threading.Event()
        self.beaten_s = time.monotonic()
        self.noted: set[str] = set()

    def look_up(self) -> None:
        """For long work, in any thread. Raises Withdrawn as soon as the run is not this worker's to do."""
        if self.unwanted.is_set():
            raise Withdrawn(self.row)
        if threading.get_ident() == self.owner and time.monotonic() - self.beaten_s >= BEAT_S:
            self.beat()

    def tell(self, stage: str, share: float) -> None:
        """A stage begins or has come on; folds are fitted side by side, so it may come again."""
        self.beat(stage=stage, progress=share)
        if stage not in self.noted:
            self.noted.add(stage)
            note(self.row.pk, f"{share:.0%} {stage}")
        if self.progress is not None:
            self.progress(stage, share)

    def beat(self, **told: Any) -> None:
        try:
            super().beat(**told)
        except Withdrawn:
            self.unwanted.set()
            raise
        self.beaten_s = time.monotonic()

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
            self.finish(model=model)
            note(self.row.pk, f"Registered as {model}. {trained.facts['metrics'].get('text', '')}")
            send_after_commit(events.model_trained, model_id=model.pk)
        return model

    def end(self, status: JobStatus, error: str) -> bool:
        ended = super().end(status, error)
        if ended:
            note(self.row.pk, f"{status.label}: {error}")
        return ended

    def unforeseen(self, error: Exception) -> str:
        """In its own words: only staff reads it."""
        return f"{type(error).__name__}: {error}"
