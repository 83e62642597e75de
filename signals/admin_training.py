"""The staff's page of trainings: start, watch, cancel, restart, read the log. admin.py mounts it in the staff site."""

from typing import Any, cast

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from accounts import audit
from accounts.models import User
from exchanges.models import JobStatus
from signals import training
from signals.forms import StartTrainingForm
from signals.models import TrainingRun
from traderai.lib.errors import UserError
from traderai.lib.staffpage import ask, permitted

VIEW, ACT = "signals.view_trainingrun", "signals.change_trainingrun"
AT_WORK = (JobStatus.QUEUED, JobStatus.RUNNING)
STOPPED = (JobStatus.FAILED, JobStatus.CANCELLED)
OVER_SHOWN, LINES_SHOWN = 10, 6
CHANGES = {"cancel": (training.cancel, "cancelled"), "restart": (training.restart, "restarted")}


def urls() -> list[URLPattern]:
    """Below the address of training runs; every view asks for staff with a second factor."""
    guard = admin.site.admin_view
    return [
        path("training/", guard(page), name="signals_training"),
        path("training/runs/", guard(runs), name="signals_training_runs"),
        path("training/start/", guard(start), name="signals_training_start"),
        path("training/runs/<int:pk>/log/", guard(diary), name="signals_training_log"),
        path("training/runs/<int:pk>/<str:what>/", guard(change), name="signals_training_change"),
    ]


@require_safe
@permitted(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    return _page(request, StartTrainingForm(venue=request.GET.get("venue", "")))


@require_safe
@permitted(VIEW)
def runs(request: HttpRequest) -> HttpResponse:
    """The list of runs alone; it asks for itself again as long as one is at work."""
    return render(request, "admin/signals/_trainings.html", _runs(request))


@require_safe
@permitted(VIEW)
def diary(request: HttpRequest, pk: int) -> HttpResponse:
    """One run's whole log; while it works the page asks for it again."""
    row = get_object_or_404(TrainingRun.objects.select_related("model"), pk=pk)
    context = {**_told(row), "lines": row.lines.order_by("pk")}
    if request.headers.get("HX-Request"):
        return render(request, "admin/signals/_training_log.html", context)
    context |= {**admin.site.each_context(request), "title": f"Log of training {pk}", "kept": training.KEPT_LINES}
    return render(request, "admin/signals/training_log.html", context)


@require_POST
@permitted(ACT)
def start(request: HttpRequest) -> HttpResponse:
    """Queue a training; what it cannot be asked for is said beside the field."""
    form = StartTrainingForm(request.POST, venue=request.POST.get("venue", ""))
    user = cast(User, request.user)
    row = ask(form, training.start, requested_by=user)
    if row is None:
        return _page(request, form, status=422)
    audit.record(user, "training_started", request, run=row.pk, symbols=row.symbols, scope=row.scope)
    messages.success(request, f"Training {row.pk} is on its way.")
    return redirect("admin:signals_training")


@require_POST
@permitted(ACT)
def change(request: HttpRequest, pk: int, what: str) -> HttpResponse:
    """Cancel or restart a run."""
    if what not in CHANGES:
        raise Http404
    act, word = CHANGES[what]
    row = get_object_or_404(TrainingRun, pk=pk)
    user = cast(User, request.user)
    try:
        is_changed = act(row.pk, by=user)
    except UserError as error:
        messages.error(request, error.message)
        return redirect("admin:signals_training")
    if is_changed:
        audit.record(user, f"training_{word}", request, run=pk)
        messages.success(request, f"Training {pk} is {word}.")
    else:
        messages.warning(request, f"Training {pk} is {row.get_status_display().lower()} and cannot be {word}.")
    return redirect("admin:signals_training")


def _page(request: HttpRequest, form: StartTrainingForm, *, status: int = 200) -> HttpResponse:
    context = {**admin.site.each_context(request), **_runs(request), "title": "Training", "form": form}
    return render(request, "admin/signals/training.html", context, status=status)


def _runs(request: HttpRequest) -> dict[str, Any]:
    rows = TrainingRun.objects.select_related("model", "requested_by").order_by("-pk")
    shown = [*rows.filter(status__in=AT_WORK), *rows.exclude(status__in=AT_WORK)[:OVER_SHOWN]]
    return {
        "runs": [_told(row) for row in shown],
        "at_work": any(row.status in AT_WORK for row in shown),
        "may_act": request.user.has_perm(ACT),
    }


def _told(row: TrainingRun) -> dict[str, Any]:
    is_at_work = row.status in AT_WORK
    pace = training.pace(row)
    return {
        "run": row,
        "percent": int(row.progress * 100),
        "worked_s": pace.worked_s,
        "eta_s": pace.eta_s,
        "settings": ", ".join(f"{name} {row.params[name]}" for name in ("timeframe", "folds", "stride", "rounds") if name in row.params),
        "newest": reversed(row.lines.order_by("-pk")[:LINES_SHOWN]) if is_at_work else [],
        "is_at_work": is_at_work,
        "may_restart": row.status in STOPPED,
    }
