"""Market data over HTTP; mounted below /api/v1. Staff with a second factor only: history is everybody's."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Router, Schema, Status
from pydantic import ConfigDict

from accounts import audit
from accounts.models import User
from exchanges import backfill
from exchanges.models import BackfillJob, JobStatus
from traderai.lib import clock
from traderai.lib.http import staff_only

router = Router(tags=["market data"])


class BackfillIn(Schema):
    """What to fetch. Times without a zone are UTC."""

    model_config = ConfigDict(extra="forbid")

    symbols: list[str] = Field(min_length=1, max_length=100, examples=[["BTC/USDT:USDT"]])
    timeframe: str = Field(settings.BASE_TIMEFRAME, max_length=3)
    since: datetime = Field(examples=["2024-01-01"])
    until: datetime | None = None
    venue: str = Field(settings.DEFAULT_VENUE, max_length=50)


class BackfillFilter(Schema):
    status: JobStatus | None = None
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0, le=1_000_000)


class SeriesOut(Schema):
    """One market of a backfill."""

    symbol: str
    progress: float = Field(description="0 to 1, of its candles")
    begins: datetime | None = Field(description="the venue's first bar, where its history begins later than asked and that was looked up")
    has_history: bool = Field(description="false when the venue has no bar in the time asked for")
    errors: list[str] = Field(description="why its candles or its funding rates stopped")


class BackfillOut(Schema):
    id: int
    venue: str
    symbols: list[str]
    timeframe: str
    since: datetime
    until: datetime
    status: JobStatus
    progress: float = Field(description="0 to 1")
    rows: int = Field(description="candles written so far")
    requests: int = Field(description="questions put to the venue so far, tries included")
    rate: float | None = Field(description="candles a second over the last minute of work")
    eta_s: float | None = Field(description="seconds left at the pace of the last minute, while it is running")
    error: str
    series: list[SeriesOut]


class BackfillPage(Schema):
    items: list[BackfillOut]
    count: int


@router.get("/backfill", response=BackfillPage, auth=staff_only)
def list_backfills(request: HttpRequest, query: Query[BackfillFilter]) -> dict[str, Any]:
    """Backfills, newest first."""
    jobs = BackfillJob.objects.select_related("venue").order_by("-pk")
    if query.status:
        jobs = jobs.filter(status=query.status)
    return {"items": [_told(job) for job in jobs[query.offset : query.offset + query.limit]], "count": jobs.count()}


@router.post("/backfill/start", response={202: BackfillOut}, auth=staff_only)
def start_backfill(request: HttpRequest, body: BackfillIn) -> Status[dict[str, Any]]:
    """Fetch history from the venue's public API. Asking again for the same continues an unfinished job."""
    user = cast(User, request.user)
    job = backfill.request(
        symbols=body.symbols,
        timeframe=body.timeframe,
        since_ms=_ms(body.since),
        until_ms=None if body.until is None else _ms(body.until),
        venue=body.venue,
        requested_by=user,
    )
    audit.record(user, "backfill_started", request, job=job.pk)
    return Status(202, _told(_job(job.pk)))


@router.get("/backfill/status/{int:job_id}", response=BackfillOut, auth=staff_only)
def get_backfill(request: HttpRequest, job_id: int) -> dict[str, Any]:
    """How far a backfill is."""
    return _told(_job(job_id))


@router.post("/backfill/{int:job_id}/pause", response=BackfillOut, auth=staff_only)
def pause_backfill(request: HttpRequest, job_id: int) -> dict[str, Any]:
    """Let a queued or running backfill rest after what is on its way. 422 when it is neither."""
    return _changed(request, job_id, backfill.pause, "paused")


@router.post("/backfill/{int:job_id}/resume", response=BackfillOut, auth=staff_only)
def resume_backfill(request: HttpRequest, job_id: int) -> dict[str, Any]:
    """Continue a paused, failed or cancelled backfill at its checkpoint, and try again what has failed. 422 when it is none of these."""
    return _changed(request, job_id, backfill.resume, "resumed")


@router.post("/backfill/{int:job_id}/cancel", response=BackfillOut, auth=staff_only)
def cancel_backfill(request: HttpRequest, job_id: int) -> dict[str, Any]:
    """Stop a backfill that is not over after what is on its way; what was fetched stays. 422 when it is over."""
    return _changed(request, job_id, backfill.cancel, "cancelled")


def _job(job_id: int) -> BackfillJob:
    return get_object_or_404(BackfillJob.objects.select_related("venue"), pk=job_id)


def _changed(request: HttpRequest, job_id: int, change: Callable[[BackfillJob], bool], what: str) -> dict[str, Any]:
    job = _job(job_id)
    if not change(job):
        raise backfill.BackfillRefused(f"status: job {job.pk} is {job.status} and cannot be {what}", field="status")
    audit.record(cast(User, request.user), f"backfill_{what}", request, job=job.pk)
    return _told(_job(job_id))


def _told(job: BackfillJob) -> dict[str, Any]:
    pace = backfill.pace(job)
    return {
        "id": job.pk,
        "venue": job.venue.slug,
        "symbols": job.symbols,
        "timeframe": job.timeframe,
        "since": clock.from_ms(job.since_ms),
        "until": clock.from_ms(job.until_ms),
        "status": job.status,
        "progress": round(job.progress, 4),
        "rows": job.rows_written,
        "requests": job.requests,
        "rate": pace.rows_per_s,
        "eta_s": pace.eta_s,
        "error": job.error,
        "series": [_series(job, symbol) for symbol in job.symbols],
    }


def _series(job: BackfillJob, symbol: str) -> dict[str, Any]:
    first_ms = job.starts.get(symbol)
    return {
        "symbol": symbol,
        "progress": round(job.progress_of(symbol), 4),
        "begins": None if first_ms is None else clock.from_ms(first_ms),
        "has_history": symbol not in job.starts or first_ms is not None,
        "errors": [reason for key, reason in job.errors.items() if key in (symbol, f"{symbol} funding")],
    }


def _ms(moment: datetime) -> int:
    return clock.to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
