"""The staff's page of market data: coverage by month, gaps, and backfills with their progress. admin.py mounts it in the staff site."""

from collections.abc import Callable
from itertools import groupby
from typing import Any, cast

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from accounts import audit
from accounts.models import User
from exchanges import backfill
from exchanges.candles import coverage
from exchanges.forms import StartBackfillForm
from exchanges.models import BackfillJob, CandleGap, JobStatus, Market
from exchanges.timeframes import parse
from traderai.lib import clock
from traderai.lib.nudge import nudge
from traderai.lib.staffpage import ask, permitted

VIEW, ACT = "exchanges.view_backfilljob", "exchanges.change_backfilljob"
UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.FAILED)
AT_WORK = (JobStatus.QUEUED, JobStatus.RUNNING)
OVER_SHOWN, GAPS_SHOWN = 5, 100
CHANGES: dict[str, tuple[Callable[[BackfillJob], bool], str]] = {
    "pause": (backfill.pause, "paused"),
    "resume": (backfill.resume, "resumed"),
    "cancel": (backfill.cancel, "cancelled"),
}


def urls() -> list[URLPattern]:
    """Below the address of backfill jobs; every view asks for staff with a second factor."""
    guard = admin.site.admin_view
    return [
        path("data/", guard(page), name="exchanges_market_data"),
        path("data/jobs/", guard(jobs), name="exchanges_market_data_jobs"),
        path("data/start/", guard(start), name="exchanges_market_data_start"),
        path("data/jobs/<int:pk>/<str:what>/", guard(change), name="exchanges_market_data_change"),
        path("data/gaps/<int:market_id>/<str:timeframe>/", guard(repair), name="exchanges_market_data_repair"),
    ]


@require_safe
@permitted(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    return _page(request, StartBackfillForm(venue=request.GET.get("venue", "")))


@require_safe
@permitted(VIEW)
def jobs(request: HttpRequest) -> HttpResponse:
    """The list of jobs alone; it asks for itself again as long as one is at work."""
    return render(request, "admin/exchanges/_jobs.html", _jobs(request))


@require_POST
@permitted(ACT)
def start(request: HttpRequest) -> HttpResponse:
    """Queue a backfill; what it cannot be asked for is said beside the field."""
    form = StartBackfillForm(request.POST, venue=request.POST.get("venue", ""))
    user = cast(User, request.user)
    job = ask(form, backfill.request, requested_by=user)
    if job is None:
        return _page(request, form, status=422)
    audit.record(user, "backfill_started", request, job=job.pk)
    messages.success(request, f"Backfill {job.pk} is on its way.")
    return redirect("admin:exchanges_market_data")


@require_POST
@permitted(ACT)
def change(request: HttpRequest, pk: int, what: str) -> HttpResponse:
    """Pause, resume or cancel a job."""
    if what not in CHANGES:
        raise Http404
    act, word = CHANGES[what]
    job = get_object_or_404(BackfillJob, pk=pk)
    if act(job):
        audit.record(cast(User, request.user), f"backfill_{word}", request, job=pk)
        messages.success(request, f"Backfill {pk} is {word}.")
    else:
        messages.warning(request, f"Backfill {pk} is {JobStatus(job.status).label.lower()} and cannot be {word}.")
    return redirect("admin:exchanges_market_data")


@require_POST
@permitted(ACT)
def repair(request: HttpRequest, market_id: int, timeframe: str) -> HttpResponse:
    """Let a worker ask the venue for what is missing in one series."""
    market = get_object_or_404(Market, pk=market_id)
    if not CandleGap.objects.filter(market=market, timeframe=timeframe).exists():
        raise Http404
    nudge("exchanges.tasks.repair_gaps", market_id=market.pk, timeframe=timeframe)
    audit.record(cast(User, request.user), "gaps_repair_asked", request, market=market.pk, timeframe=timeframe)
    messages.success(request, f"{market.symbol} {timeframe}: a worker asks the venue again; reload to see what came.")
    return redirect("admin:exchanges_market_data")


def _page(request: HttpRequest, form: StartBackfillForm, *, status: int = 200) -> HttpResponse:
    stored = coverage.timeframes_stored()
    asked = request.GET.get("timeframe", "")
    timeframe = asked if asked in stored else "15m" if "15m" in stored else next(iter(stored), "")
    markets = list(Market.objects.select_related("venue").order_by("venue__name", "symbol")) if stored else []
    found = coverage.heat_map(markets, timeframe, now_ms=clock.now_ms()) if stored else coverage.Coverage((), ())
    starts = [clock.from_ms(month_ms) for month_ms in found.months]
    context = {
        **admin.site.each_context(request),
        **_jobs(request),
        "title": "Market data",
        "form": form,
        "timeframes": stored,
        "timeframe": timeframe,
        "coverage": found,
        "months": starts,
        "years": [(year, len(list(group))) for year, group in groupby(start.year for start in starts)],
        "gaps": _gaps(),
        "gaps_count": CandleGap.objects.count(),
    }
    return render(request, "admin/exchanges/market_data.html", context, status=status)


def _jobs(request: HttpRequest) -> dict[str, Any]:
    rows = BackfillJob.objects.select_related("venue").order_by("-pk")
    shown = [*rows.filter(status__in=UNFINISHED), *rows.exclude(status__in=UNFINISHED)[:OVER_SHOWN]]
    return {
        "jobs": [_told(job) for job in shown],
        "at_work": any(job.status in AT_WORK for job in shown),
        "may_act": request.user.has_perm(ACT),
    }


def _told(job: BackfillJob) -> dict[str, Any]:
    pace = backfill.pace(job)
    series = [
        {
            "symbol": symbol,
            "percent": int(job.progress_of(symbol) * 100),
            "errors": [job.errors[key] for key in (symbol, f"{symbol} funding") if key in job.errors],
        }
        for symbol in job.symbols
    ]
    return {
        "job": job,
        "percent": int(job.progress * 100),
        "since": clock.from_ms(job.since_ms),
        "until": clock.from_ms(job.until_ms),
        "rate": pace.rows_per_s if job.status == JobStatus.RUNNING else None,
        "eta_s": pace.eta_s,
        "series": series,
        "may_pause": job.status in AT_WORK,
        "may_resume": job.status in (JobStatus.PAUSED, JobStatus.FAILED, JobStatus.CANCELLED),
        "may_cancel": job.status in UNFINISHED,
    }


def _gaps() -> list[dict[str, Any]]:
    rows = CandleGap.objects.select_related("market__venue").order_by("-state", "market__symbol", "timeframe", "first_ms")
    return [
        {
            "gap": gap,
            "first": clock.from_ms(gap.first_ms),
            "last": clock.from_ms(gap.last_ms),
            "bars": (gap.last_ms - gap.first_ms) // parse(gap.timeframe) + 1,
        }
        for gap in rows[:GAPS_SHOWN]
    ]
