"""Backtests: the list, the form, a run while it goes and its report when it is done. Look-ahead checks of strategies."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from backtesting import checks, exports, runs
from backtesting.forms import BacktestForm
from backtesting.models import BacktestRun, BacktestTrade, LookaheadCheck
from exchanges.models import JobStatus
from signals import processing, strategies
from signals.models import ModelVersion
from traderai.lib import clock, csv_export
from traderai.lib.errors import UserError
from traderai.lib.http import wants_fragment

PAGE_SIZE = 25
TABLE_POINTS = 60

LABELS = {
    "hit_rate_tp1": ("Reached TP1", "share"),
    "win_rate": ("Won after costs", "share"),
    "profit_factor": ("Profit factor", "number"),
    "expectancy_pct": ("Expectancy a trade", "percent"),
    "total_return_pct": ("Total return", "percent"),
    "buy_and_hold_pct": ("Buy and hold, same span", "percent"),
    "max_drawdown_pct": ("Deepest drawdown", "fall"),
    "max_drawdown_days": ("Longest drawdown", "days"),
    "sharpe": ("Sharpe, daily, a year", "number"),
    "sortino": ("Sortino, daily, a year", "number"),
    "final_equity": ("Final equity", "money"),
    "trades": ("Trades", "count"),
    "open_at_end": ("Still open at the end", "count"),
    "fees": ("Fees paid", "money"),
    "funding": ("Funding", "money"),
    "exposure_pct": ("Time with a position", "fall"),
}

REFUSED = {
    "equity": "no equity was left",
    "daily_loss": "the day's loss limit was reached",
    "drawdown": "the drawdown limit was reached",
    "open_positions": "as many positions as allowed were open",
    "position": "the market had an open position",
    "deviation": "the open was far from the decision's price",
    "size": "the position would have been under the venue's minimum",
    "margin": "too little margin was free",
    "price_moved": "the open was beyond the stop or the first target",
}
"""Why a signal was not entered, for the kernel's words."""


@login_required
@require_safe
def run_list(request: HttpRequest) -> HttpResponse:
    """My runs, newest first."""
    page = Paginator(BacktestRun.objects.for_user(request.user).select_related("model").order_by("-pk"), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
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
            run = runs.start(request.user, **asked)
        except UserError as error:
            form.add_error(error.field if error.field in form.fields else None, error.message)
        else:
            return redirect("backtests:detail", pk=run.pk)
    return render(request, "backtesting/form.html", {"form": form, "model": model}, status=422 if form.is_bound else 200)


def run_detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Progress, failure or report; the progress alone when htmx asks."""
    return _progress(request, pk) if wants_fragment(request) else _page(request, pk)


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
    run = get_object_or_404(BacktestRun.objects.for_user(request.user).select_related("model"), pk=pk)
    context: dict[str, Any] = {"run": run, "is_over": not run.is_unfinished}
    if run.status == JobStatus.DONE:
        context |= _report(request, run)
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
            start_ms=old.requested_start_ms,
            end_ms=old.requested_end_ms,
        )
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


@login_required
@require_safe
def trades_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    run = get_object_or_404(BacktestRun.objects.for_user(request.user), pk=pk)
    return csv_export.response(f"backtest-{pk}-trades.csv", exports.HEADER, exports.rows(run))


@login_required
@require_safe
def trades_parquet(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(BacktestRun.objects.for_user(request.user), pk=pk)
    reply = HttpResponse(exports.parquet(run), content_type="application/vnd.apache.parquet")
    reply["Content-Disposition"] = f'attachment; filename="backtest-{pk}-trades.parquet"'
    return reply


def _defaults(request: HttpRequest, model: ModelVersion | None) -> dict[str, Any]:
    profile = request.user.profile  # type: ignore[union-attr]
    return {"capital": profile.simulation_capital, "risk_profile": profile.risk_profile, "symbols": model.symbols if model else []}


def _report(request: HttpRequest, run: BacktestRun) -> dict[str, Any]:
    found, curves = run.metrics, run.equity
    stamps = curves["timestamps"]
    every = max(1, len(stamps) // TABLE_POINTS)
    trades = BacktestTrade.objects.filter(run=run).order_by("number")
    page = Paginator(trades, PAGE_SIZE).get_page(request.GET.get("page"))
    trade: Any
    for trade in page:
        trade.entered_at, trade.left_at = clock.from_ms(trade.entry_ms), clock.from_ms(trade.exit_ms)
    return {
        "found": found,
        "figures": [_figure(name, found["metrics"][name], run.currency) for name in LABELS],
        "start": clock.from_ms(found["span"]["start_ms"]),
        "end": clock.from_ms(found["span"]["end_ms"]),
        "equity_rows": {
            "equity": [list(row) for row in zip(stamps, curves["equity"], strict=True)],
            "benchmark": [list(row) for row in zip(stamps, curves["buy_and_hold"], strict=True)],
        },
        "judged": [
            (processing.REJECTION_CODES[code], count)
            for code, count in sorted(found["sample"]["judged"].items(), key=lambda item: -item[1])
        ],
        "refused": [(REFUSED[word], count) for word, count in sorted(found["sample"]["refused"].items(), key=lambda item: -item[1])],
        "drawdown_rows": [[at, -fall] for at, fall in zip(stamps, curves["drawdown_pct"], strict=True)],
        "table": [
            {
                "at": clock.from_ms(stamps[i]),
                "equity": curves["equity"][i],
                "drawdown": curves["drawdown_pct"][i],
                "hold": curves["buy_and_hold"][i],
            }
            for i in range(0, len(stamps), every)
        ],
        "page": page,
    }


def _figure(name: str, figure: dict[str, Any], currency: str) -> dict[str, Any]:
    """One figure as a person reads it: shares in %, intervals beside them, and why there is none."""
    label, kind = LABELS[name]
    factor, unit = (
        (100.0, "%") if kind == "share" else (1.0, {"percent": "%", "fall": "%", "days": "days", "money": currency}.get(kind, ""))
    )
    value = None if figure["value"] is None else figure["value"] * factor
    interval = f"{figure['low'] * factor:.1f} to {figure['high'] * factor:.1f}{' %' if unit == '%' else ''}" if "low" in figure else ""
    return {
        "label": label,
        "value": value,
        "unit": unit,
        "is_signed": kind == "percent",
        "places": 0 if kind == "count" else 2,
        "interval": interval,
        "n": figure["n"],
        "reason": figure.get("reason", ""),
    }


# --- look-ahead checks


@login_required
@require_safe
def lookahead(request: HttpRequest, slug: str) -> HttpResponse:
    """Whether a strategy with the champion knows its future: the newest check; as a part of the strategy's page when htmx asks."""
    template = strategies.TEMPLATES.get(slug)
    if template is None:
        raise Http404
    champion = ModelVersion.objects.champion()
    check = None if champion is None else LookaheadCheck.objects.newest(slug, champion)
    context: dict[str, Any] = {
        "template": template,
        "champion": champion,
        "check": check,
        "may_start": checks.may_start(request.user, slug),
    }
    if check is not None and check.status == JobStatus.DONE:
        context |= {"markets": [_examined(report) for report in check.findings["markets"]]}
    name = "backtesting/_lookahead.html" if wants_fragment(request) else "backtesting/lookahead.html"
    return render(request, name, context)


@login_required
@require_POST
def lookahead_start(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for a new check. For staff, and for traders who have set the strategy up."""
    if slug not in strategies.TEMPLATES:
        raise Http404
    if not checks.may_start(request.user, slug):
        raise PermissionDenied
    try:
        checks.start(request.user, strategy=slug)
    except UserError as error:
        messages.error(request, error.message)
    return redirect("backtests:lookahead", slug=slug)


def _examined(report: dict[str, Any]) -> dict[str, Any]:
    """A market's report with its times as times."""
    findings = [{**found, "at": clock.from_ms(found["at_ms"]), "end": clock.from_ms(found["end_ms"])} for found in report["findings"]]
    slowest = sorted(((bars, name) for name, bars in report["needs"].items() if bars is not None), reverse=True)[:5]
    return {
        **report,
        "findings": findings,
        "first": clock.from_ms(report["first_ms"]),
        "last": clock.from_ms(report["last_ms"]),
        "slowest": [{"name": name, "bars": bars} for bars, name in slowest],
        "restless": [name for name, bars in report["needs"].items() if bars is None],
    }
