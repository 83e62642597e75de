"""Backtests: the list, the form, a run while it goes and its report when it is done."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from backtesting import runs, wording
from backtesting.forms import BacktestForm
from backtesting.models import BacktestRun
from backtesting.views import parity, report, shared, trades
from exchanges.models import JobStatus
from signals import rules
from signals.models import ModelVersion
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.http import wants_fragment

PAGE_SIZE = 25


@login_required
@require_safe
def run_list(request: HttpRequest) -> HttpResponse:
    """My runs, newest first."""
    mine = BacktestRun.objects.for_user(request.user).select_related("model").defer("equity", "params", "comparison")
    page = Paginator(mine.order_by("-pk"), PAGE_SIZE).get_page(request.GET.get("page"))
    run: Any
    for run in page:
        run.settings = wording.briefly(run.engine)
        if run.start_ms is not None and run.end_ms is not None:
            run.first_day, run.last_day = clock.from_ms(run.start_ms), clock.from_ms(run.end_ms)
    return render(request, "backtesting/list.html", {"page": page, "model": ModelVersion.objects.champion()})


@login_required
@require_http_methods(["GET", "POST"])
def run_new(request: HttpRequest) -> HttpResponse:
    """Ask for a run of the newest champion."""
    model = ModelVersion.objects.champion()
    form = BacktestForm(request.POST or None, model=model, initial=_defaults(request, model))
    if request.method == "POST" and form.is_valid():
        asked: dict[str, Any] = {name: form.cleaned_data[name] for name in ("symbols", "capital", "risk_profile")} | form.span_ms()
        try:
            run = runs.start(request.user, engine=form.engine(), **asked)
        except UserError as error:
            is_known = error.field in form.fields
            form.add_error(error.field if is_known else None, error.at_field if is_known else error.message)
        else:
            return redirect("backtests:detail", pk=run.pk)
    context = {"form": form, "model": model, "strategies": rules.STRATEGIES.values()}
    return render(request, "backtesting/form.html", context, status=422 if form.is_bound else 200)


def run_detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Progress, failure or report; when htmx asks, the list of trades or the progress alone."""
    if not wants_fragment(request):
        return _page(request, pk)
    return _trades(request, pk) if request.htmx.target == trades.FRAGMENT else _progress(request, pk)  # type: ignore[attr-defined]


@login_required
@require_safe
def _trades(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(BacktestRun.objects.for_user(request.user), pk=pk, status=JobStatus.DONE)
    context = {"run": run, "found": run.metrics, **trades.listing(request.GET, run), **trades.own_files(run)}
    return render(request, "backtesting/_trades.html", context)


@require_safe
def _progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The fragment, and the end of polling: the whole page again once the run is over or removed, or its owner is signed out."""
    run = BacktestRun.objects.for_user(request.user).filter(pk=pk).first() if request.user.is_authenticated else None
    if run is not None and run.is_unfinished:
        return render(request, "backtesting/_progress.html", {"run": run})
    reply = HttpResponseClientRefresh()
    reply.status_code = 200 if run else 404
    return reply


@login_required
@require_safe
def _page(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(BacktestRun.objects.for_user(request.user).select_related("model", "repeats"), pk=pk)
    context: dict[str, Any] = {"run": run, "is_over": not run.is_unfinished}
    if run.status == JobStatus.DONE:
        context |= report.context(request, run) | trades.own_files(run) | shared.own_links(request, run)
        context["has_positions"] = parity.has_positions(run)
    return render(request, "backtesting/detail.html", context)


@login_required
@require_POST
def run_again(request: HttpRequest, pk: int) -> HttpResponse:
    """The same settings once more, with the champion of today."""
    old = get_object_or_404(BacktestRun.objects.for_user(request.user), pk=pk)
    try:
        run = runs.start(
            request.user,
            symbols=old.symbols,
            capital=old.capital,
            risk_profile=old.risk_profile,
            strategy=old.strategy,
            strategy_params=old.strategy_params,
            engine=old.engine,
            start_ms=old.requested_start_ms,
            end_ms=old.requested_end_ms,
        )
    except UserError as error:
        messages.error(request, error.message)
        return redirect("backtests:detail", pk=old.pk)
    return redirect("backtests:detail", pk=run.pk)


@login_required
@require_POST
def run_repeat(request: HttpRequest, pk: int) -> HttpResponse:
    """The same settings with the same model on the same span; in the end the trades are compared."""
    old = get_object_or_404(BacktestRun.objects.for_user(request.user).select_related("model", "user"), pk=pk)
    try:
        run = runs.repeat(old)
    except UserError as error:
        messages.error(request, error.message)
        return redirect("backtests:detail", pk=old.pk)
    return redirect("backtests:detail", pk=run.pk)


@login_required
@require_POST
def run_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a run and its trades."""
    get_object_or_404(BacktestRun.objects.for_user(request.user), pk=pk).delete()
    messages.success(request, f"Backtest {pk} is removed.")
    return redirect("backtests:list")


def _defaults(request: HttpRequest, model: ModelVersion | None) -> dict[str, Any]:
    profile = request.user.profile  # type: ignore[union-attr]
    return {"capital": profile.simulation_capital, "risk_profile": profile.risk_profile, "symbols": model.symbols if model else []}
