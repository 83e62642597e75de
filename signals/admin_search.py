"""The staff's page of hyper-parameter searches: start, watch, cancel, go on, train with what was found. admin.py mounts it in the staff site."""

from typing import Any, cast

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from accounts import audit
from accounts.models import User
from exchanges.models import JobStatus
from signals import search as searching
from signals.forms import ResumeSearchForm, StartSearchForm
from signals.models import Search, SearchTrial, TrialState
from traderai.lib.errors import UserError
from traderai.lib.staffpage import ask, permitted

VIEW, ACT = "signals.view_search", "signals.change_search"
AT_WORK = (JobStatus.QUEUED, JobStatus.RUNNING)
SHOWN = 20
CHART_WIDTH, CHART_HEIGHT, CHART_EDGE, CHART_LEFT = 640, 180, 10, 70
MORE_TRIALS = 10
"""Offered to a search that has tried all that it was asked for."""


def urls() -> list[URLPattern]:
    """Below the address of searches; every view asks for staff with a second factor."""
    guard = admin.site.admin_view
    return [
        path("page/", guard(page), name="signals_searches"),
        path("page/start/", guard(start), name="signals_search_start"),
        path("page/<int:pk>/", guard(detail), name="signals_search_detail"),
        path("page/<int:pk>/<str:what>/", guard(change), name="signals_search_change_state"),
    ]


@require_safe
@permitted(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    """All searches and the form for a new one; with htmx the list alone, which asks for itself while one is at work."""
    if request.headers.get("HX-Request"):
        return render(request, "admin/signals/_searches.html", _list(request))
    return _page(request, StartSearchForm(venue=request.GET.get("venue", "")))


@require_POST
@permitted(ACT)
def start(request: HttpRequest) -> HttpResponse:
    """Queue a search; what it cannot be asked for is said beside the field."""
    form = StartSearchForm(request.POST, venue=request.POST.get("venue", ""))
    user = cast(User, request.user)
    row = ask(form, searching.start, requested_by=user)
    if row is None:
        return _page(request, form, status=422)
    audit.record(user, "search_started", request, search=row.pk, symbols=row.symbols, trials=row.trials_wanted)
    messages.success(request, f"Search {row.pk} is on its way.")
    return redirect("admin:signals_search_detail", row.pk)


@require_safe
@permitted(VIEW)
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One search with its trials; with htmx the part that moves."""
    row = get_object_or_404(Search.objects.select_related("requested_by"), pk=pk)
    trials = list(row.trials.order_by("number"))
    context = {
        **_told(row, trials),
        "trials": trials[::-1],
        "chart": chart(trials),
        "may_act": request.user.has_perm(ACT),
        "form": ResumeSearchForm(initial={"more_trials": MORE_TRIALS if row.status == JobStatus.DONE else 0}),
    }
    if request.headers.get("HX-Request"):
        return render(request, "admin/signals/_search.html", context)
    return render(request, "admin/signals/search.html", {**admin.site.each_context(request), **context, "title": f"Search {pk}"})


@require_POST
@permitted(ACT)
def change(request: HttpRequest, pk: int, what: str) -> HttpResponse:
    """Cancel, resume or train with the best parameters."""
    row, user = get_object_or_404(Search, pk=pk), cast(User, request.user)
    onward = redirect("admin:signals_search_detail", pk)
    try:
        told = _change(row, what, request, user)
    except UserError as error:
        messages.error(request, error.message)
    else:
        if told:
            audit.record(user, f"search_{what}", request, search=pk)
            messages.success(request, told)
            if what == "train":
                onward = redirect("admin:signals_training")
        else:
            messages.warning(request, f"Search {pk} is {row.get_status_display().lower()}: that cannot be done now.")
    return onward


def _change(row: Search, what: str, request: HttpRequest, user: User) -> str:
    """What was done, in words; "" when it could not be."""
    if what == "cancel":
        return f"Search {row.pk} is cancelled; what is done stays." if searching.cancel(row) else ""
    if what == "resume":
        form = ResumeSearchForm(request.POST)
        if not form.is_valid():
            raise searching.SearchRefused("more trials: enter a whole number from 0 to 1,000", field="more_trials")
        return f"Search {row.pk} goes on." if searching.resume(row, more_trials=form.cleaned_data["more_trials"] or 0) else ""
    if what == "train":
        run = searching.train_best(row, requested_by=user)
        return f"Training {run.pk} with the best parameters is on its way."
    raise Http404


def chart(trials: list[SearchTrial]) -> dict[str, Any] | None:
    """Skill by trial in the order they were asked for, the best so far as steps, and heights to name, 0 (the base rate) among them, as an SVG's
    points; None before the first is done.
    """
    done = [trial for trial in trials if trial.state == TrialState.DONE and trial.value is not None]
    if not done:
        return None
    values = [cast(float, trial.value) for trial in done]
    low, high = min(0.0, *values), max(0.0, *values)
    room = (high - low) or 1.0
    last = max(done[-1].number, 1)

    def place(number: int, value: float) -> tuple[float, float]:
        x = CHART_LEFT + number / last * (CHART_WIDTH - CHART_LEFT - CHART_EDGE)
        return round(x, 1), round(CHART_HEIGHT - CHART_EDGE - (value - low) / room * (CHART_HEIGHT - 2 * CHART_EDGE), 1)

    best, line = values[0], []
    for trial, value in zip(done, values, strict=True):
        line.append("{},{}".format(*place(trial.number, best)))
        best = max(best, value)
        line.append("{},{}".format(*place(trial.number, best)))
    points = [(*place(trial.number, value), trial) for trial, value in zip(done, values, strict=True)]
    named = [(place(0, value)[1], f"{value:.4f}") for value in sorted({low, 0.0, high})]
    return {
        "width": CHART_WIDTH,
        "height": CHART_HEIGHT,
        "left": CHART_LEFT,
        "points": points,
        "best": " ".join(line),
        "named": named,
        "low": min(values),
        "high": max(values),
    }


def _page(request: HttpRequest, form: StartSearchForm, *, status: int = 200) -> HttpResponse:
    context = {**admin.site.each_context(request), **_list(request), "title": "Searches", "form": form, "tunable": searching.tunable()}
    return render(request, "admin/signals/searches.html", context, status=status)


def _list(request: HttpRequest) -> dict[str, Any]:
    rows = Search.objects.select_related("requested_by").prefetch_related("trials").order_by("-pk")[:SHOWN]
    searches = [_told(row, list(row.trials.all())) for row in rows]
    return {
        "searches": searches,
        "at_work": any(told["is_at_work"] for told in searches),
        "may_act": request.user.has_perm(ACT),
    }


def _told(row: Search, trials: list[SearchTrial]) -> dict[str, Any]:
    done = [trial for trial in trials if trial.state == TrialState.DONE]
    counted = [trial for trial in trials if trial.state in searching.COUNTED]
    best = max(done, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)
    running = sum(trial.state == TrialState.RUNNING for trial in trials)
    return {
        "search": row,
        "best": best,
        "done": len(done),
        "pruned": len(counted) - len(done),
        "running": running,
        "is_moving": row.status in AT_WORK or (running and row.status == JobStatus.CANCELLED),
        "percent": int(100 * len(counted) / row.trials_wanted),
        "is_at_work": row.status in AT_WORK,
        "may_resume": row.status in (JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.DONE),
    }
