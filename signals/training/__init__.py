"""Training as a job: ask for it, run it, find what a dead worker left. The fitting itself is loaded when a run begins."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from exchanges.models import JobStatus
from signals import events, registry
from signals.models import ModelStatus, ModelVersion, TrainingRun
from signals.training.origin import check_origin
from signals.training.params import TrainingParams, parse, to_json
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit

__all__ = ["NotStartable", "TrainingCancelled", "TrainingParams", "cancel", "queue", "run", "start", "sweep"]

Progress = Callable[[str, float], None]
STALE_AFTER = timedelta(minutes=15)
UNCLAIMED_AFTER = timedelta(minutes=1)
MAX_RESTARTS = 3
RESTARTS = "restarts"


class NotStartable(UserError):
    """This run is not waiting: it runs elsewhere, or it ended."""


class TrainingCancelled(UserError):
    """Someone cancelled the run, or took it over, while it worked."""


def queue(symbols: Sequence[str], *, params: dict[str, Any] | None = None, requested_by: Any = None) -> TrainingRun:
    """A run that waits, checked as far as that is quick. Raises UserError (UnknownSymbol among them) naming the field and the remedy."""
    from exchanges import candles  # database reads only, but it brings numpy's array code with it

    wanted = sorted({symbol.strip() for symbol in symbols if symbol.strip()})
    if not wanted:
        raise UserError("symbols: name at least one market, such as BTC/USDT:USDT", field="symbols")
    checked = parse(params)
    check_origin([candles.find_market(symbol, venue=checked.venue or None, field="symbols") for symbol in wanted])
    return TrainingRun.objects.create(symbols=wanted, params=to_json(checked), requested_by=requested_by)


def start(symbols: Sequence[str], *, params: dict[str, Any] | None = None, requested_by: Any = None) -> TrainingRun:
    """Queue a run and tell the workers."""
    run_row = queue(symbols, params=params, requested_by=requested_by)
    send_after_commit(events.training_requested, run_id=run_row.pk)
    return run_row


def cancel(run_id: int) -> bool:
    """Stop a waiting run at once and a working one at its next step. False when it had already ended."""
    ended = TrainingRun.objects.filter(pk=run_id, status__in=[JobStatus.QUEUED, JobStatus.RUNNING])
    return bool(ended.update(status=JobStatus.CANCELLED, finished_at=clock.now(), stage="cancelled"))


def run(run_id: int, *, progress: Progress | None = None) -> ModelVersion:
    """Train, validate and register. A run that is done gives its model again.

    progress -- called with the stage and the share done, 0 to 1
    Raises NotStartable, TrainingCancelled, or the UserError that ended the run; the row then says why.
    """
    row = TrainingRun.objects.get(pk=run_id)
    if row.status == JobStatus.DONE and row.model is not None:
        return row.model
    now = clock.now()
    waiting = TrainingRun.objects.filter(pk=run_id, status=JobStatus.QUEUED)
    if not waiting.update(status=JobStatus.RUNNING, started_at=now, heartbeat_at=now, progress=0.0, error=""):
        raise NotStartable(f"training {run_id} is {TrainingRun.objects.get(pk=run_id).status}: ask for a new one, or wait for it")
    try:
        return _train(row, progress)
    except TrainingCancelled:
        raise
    except BaseException as error:
        message = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        failed = TrainingRun.objects.filter(pk=run_id, status=JobStatus.RUNNING)
        failed.update(status=JobStatus.FAILED, error=message or type(error).__name__, finished_at=clock.now())
        raise


def _train(row: TrainingRun, progress: Progress | None) -> ModelVersion:
    from signals.training import pipeline  # numba, TA-Lib, LightGBM and XGBoost: only a process that trains pays for them

    def tell(stage: str, share: float) -> None:
        beating = TrainingRun.objects.filter(pk=row.pk, status=JobStatus.RUNNING)
        if not beating.update(stage=stage, progress=share, heartbeat_at=clock.now()):
            raise TrainingCancelled(f"training {row.pk} was cancelled")
        if progress is not None:
            progress(stage, share)

    params = parse({name: value for name, value in row.params.items() if name != RESTARTS})
    trained = pipeline.train(row.symbols, params, tell)
    tell("registering", 0.99)
    with transaction.atomic():
        is_first = registry.champion(params.scope) is None
        status, reason = (ModelStatus.CHAMPION, "first of its scope") if is_first else (ModelStatus.CANDIDATE, "")
        model = registry.register(
            ensemble=trained.ensemble, scope=params.scope, manifest=trained.manifest, facts=trained.facts, status=status, reason=reason
        )
        done = TrainingRun.objects.filter(pk=row.pk, status=JobStatus.RUNNING)
        if not done.update(status=JobStatus.DONE, stage="done", progress=1.0, model=model, finished_at=clock.now()):
            raise TrainingCancelled(f"training {row.pk} was cancelled")
        send_after_commit(events.model_trained, model_id=model.pk)
    if progress is not None:
        progress("done", 1.0)
    return model


def sweep() -> list[int]:
    """Put runs of dead workers back in the queue, tell the workers of every run that waits too long, remove orphaned files.

    Returns the ids that were told. A run that died MAX_RESTARTS times is failed with a message.
    """
    now = clock.now()
    for row in TrainingRun.objects.filter(status=JobStatus.RUNNING, heartbeat_at__lt=now - STALE_AFTER):
        _revive(row)
    registry.sweep()
    overdue = TrainingRun.objects.filter(status=JobStatus.QUEUED).filter(Q(created_at__lt=now - UNCLAIMED_AFTER))
    waiting = list(overdue.order_by("id").values_list("id", flat=True))
    for run_id in waiting:
        send_after_commit(events.training_requested, run_id=run_id)
    return waiting


def _revive(row: TrainingRun) -> None:
    """Queue a silent run again, or give it up."""
    restarts = int(row.params.get(RESTARTS, 0)) + 1
    silent = TrainingRun.objects.filter(pk=row.pk, status=JobStatus.RUNNING, heartbeat_at=row.heartbeat_at)
    if restarts > MAX_RESTARTS:
        silent.update(
            status=JobStatus.FAILED,
            finished_at=clock.now(),
            error=f"its worker died {restarts} times: look for memory or time limits, then train again",
        )
        return
    silent.update(
        status=JobStatus.QUEUED, stage="its worker died: waiting to start again", progress=0.0, params={**row.params, RESTARTS: restarts}
    )
