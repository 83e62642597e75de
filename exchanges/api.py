"""Market data over HTTP; mounted below /api/v1. Staff with a second factor only: history is everybody's."""

from datetime import UTC, datetime
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Router, Schema, Status
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
    rate: float | None = Field(description="candles a second since a worker took the job up")
    eta_s: float | None = Field(description="seconds left at this rate, while it is running")
    error: str


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
    return Status(202, _told(BackfillJob.objects.select_related("venue").get(pk=job.pk)))


@router.get("/backfill/status/{int:job_id}", response=BackfillOut, auth=staff_only)
def get_backfill(request: HttpRequest, job_id: int) -> dict[str, Any]:
    """How far a backfill is."""
    return _told(get_object_or_404(BackfillJob.objects.select_related("venue"), pk=job_id))


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
        "progress": 1.0 if job.status == JobStatus.DONE else round(job.progress, 4),
        "rows": job.rows_written,
        "rate": pace.rows_per_s,
        "eta_s": pace.eta_s,
        "error": job.error,
    }


def _ms(moment: datetime) -> int:
    return clock.to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
