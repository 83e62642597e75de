"""Training runs over HTTP; mounted below /api/v1. Staff with a second factor only."""

from datetime import datetime
from typing import Any, cast

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Router, Schema, Status
from pydantic import ConfigDict

from accounts import audit
from accounts.models import User
from exchanges.models import JobStatus
from signals import training
from signals.models import TrainingLine, TrainingRun
from traderai.lib.errors import UserError
from traderai.lib.http import refuse_unknown, staff_only

router = Router(tags=["training"])
LINES_TOLD = 50


class TrainIn(Schema):
    """What to train on. `params` names training parameters; what is left out keeps its default."""

    model_config = ConfigDict(extra="forbid")

    symbols: list[str] = Field(min_length=1, max_length=100, examples=[["BTC/USDT:USDT"]])
    params: dict[str, Any] = Field(
        default_factory=dict, description="timeframe, venue, folds, stride, rounds, scope and so on.", examples=[{"folds": 4, "stride": 4}]
    )
    alongside: bool = Field(False, description="Also when a training of the same scope and markets is not over.")


class TrainingFilter(Schema):
    model_config = ConfigDict(extra="forbid")

    status: JobStatus | None = None
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0, le=1_000_000)


class TrainingOut(Schema):
    id: int
    status: JobStatus
    stage: str
    progress: float = Field(description="0 to 1")
    symbols: list[str]
    scope: str
    params: dict[str, Any]
    error: str
    model_id: int | None
    model_version: int | None
    worked_s: float | None = Field(description="seconds it has worked, while it is running")
    eta_s: float | None = Field(description="seconds left if it goes on as it did; null before anybody can tell")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class LineOut(Schema):
    at: datetime
    text: str


class TrainingDetail(TrainingOut):
    log: list[LineOut] = Field(description=f"The newest {LINES_TOLD} lines, oldest first.")


class TrainingPage(Schema):
    items: list[TrainingOut]
    count: int


@router.get("/train", response=TrainingPage, auth=staff_only)
def list_trainings(request: HttpRequest, query: Query[TrainingFilter]) -> dict[str, Any]:
    """Training runs, newest first."""
    refuse_unknown(request, TrainingFilter)
    rows = TrainingRun.objects.select_related("model").order_by("-pk")
    if query.status:
        rows = rows.filter(status=query.status)
    return {"items": [_told(row) for row in rows[query.offset : query.offset + query.limit]], "count": rows.count()}


@router.post("/train/start", response={202: TrainingOut}, auth=staff_only)
def start_training(request: HttpRequest, body: TrainIn) -> Status[dict[str, Any]]:
    """Queue a training: walk-forward validation, then a registered model. What it cannot be asked for is a 422 that names the field."""
    user = cast(User, request.user)
    row = training.start(body.symbols, params=body.params, requested_by=user, alongside=body.alongside)
    audit.record(user, "training_started", request, run=row.pk, symbols=row.symbols, scope=row.scope)
    return Status(202, _told(_run(row.pk)))


@router.get("/train/status/{int:run_id}", response=TrainingDetail, auth=staff_only)
def get_training(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """How far a training is, and what it has logged."""
    row = _run(run_id)
    lines = TrainingLine.objects.filter(run=row).order_by("-pk")[:LINES_TOLD]
    return {**_told(row), "log": [{"at": line.at, "text": line.text} for line in reversed(lines)]}


@router.post("/train/{int:run_id}/cancel", response=TrainingOut, auth=staff_only)
def cancel_training(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """End a training that waits or works; its worker stops within seconds and registers nothing. 422 when it is over."""
    row, user = _run(run_id), cast(User, request.user)
    if not training.cancel(row.pk, by=user):
        raise UserError(f"status: training {row.pk} is {row.status} and cannot be cancelled", field="status")
    audit.record(user, "training_cancelled", request, run=row.pk)
    return _told(_run(run_id))


@router.post("/train/{int:run_id}/restart", response={202: TrainingOut}, auth=staff_only)
def restart_training(request: HttpRequest, run_id: int) -> Status[dict[str, Any]]:
    """Queue a failed or cancelled training again, from the start. 422 when it is neither."""
    row, user = _run(run_id), cast(User, request.user)
    if not training.restart(row.pk, by=user):
        raise UserError(f"status: training {row.pk} is {row.status} and cannot be restarted; start a new one", field="status")
    audit.record(user, "training_restarted", request, run=row.pk)
    return Status(202, _told(_run(run_id)))


def _run(run_id: int) -> TrainingRun:
    return get_object_or_404(TrainingRun.objects.select_related("model"), pk=run_id)


def _told(row: TrainingRun) -> dict[str, Any]:
    pace = training.pace(row)
    plain = ("status", "stage", "progress", "symbols", "scope", "params", "error", "model_id", "created_at", "started_at", "finished_at")
    return {
        "id": row.pk,
        **{name: getattr(row, name) for name in plain},
        "model_version": None if row.model is None else row.model.version,
        "worked_s": pace.worked_s,
        "eta_s": pace.eta_s,
    }
