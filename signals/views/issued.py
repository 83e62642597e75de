"""Signals, issued and rejected: lists, downloads, and one signal with everything that led to it."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from exchanges.models import Market
from signals import strategies
from signals.forms import RejectionFilterForm, SignalFilterForm
from signals.models import Rejection, Signal
from signals.processing import REJECTION_CODES
from signals.views import explanation
from traderai.lib import clock, csv_export
from traderai.lib.http import wants_fragment

PAGE_SIZE = 25


@login_required
@require_safe
def signal_list(request: HttpRequest) -> HttpResponse:
    """All signals, newest first; the table alone when htmx asks."""
    form = SignalFilterForm(request.GET)
    return _list(request, form, form.narrow(Signal.objects.newest_first()), "signals/list.html")


@login_required
@require_safe
def rejection_list(request: HttpRequest) -> HttpResponse:
    """Candidates that did not become signals, with the reason."""
    form = RejectionFilterForm(request.GET)
    return _list(request, form, form.narrow(Rejection.objects.newest_first()), "signals/rejected.html")


def _list(request: HttpRequest, form: SignalFilterForm, rows: QuerySet, template: str) -> HttpResponse:
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    for row in page:
        row.decided_at = clock.from_ms(row.bar_ms) if row.bar_ms else None
        row.places = explanation.price_places(row.market)
        row.code_label = REJECTION_CODES.get(getattr(row, "code", ""), "")
    name = f"{template}#table" if wants_fragment(request) else template
    return render(request, name, {"form": form, "page": page, "count": page.paginator.count})


@login_required
@require_safe
def signal_csv(request: HttpRequest) -> HttpResponseBase:
    """The filtered list as CSV."""
    columns = [
        "side",
        "status",
        "entry",
        "stop",
        "tp1",
        "tp2",
        "tp3",
        "probability",
        "agreement",
        "net_profit_pct",
        "expectancy_pct",
        "risk_reward",
    ]

    def rows() -> Iterator[list[Any]]:
        for signal in SignalFilterForm(request.GET).narrow(Signal.objects.newest_first()).iterator(chunk_size=500):
            bar = clock.from_ms(signal.bar_ms).isoformat()
            model = "" if signal.model is None else signal.model.version
            cells = [getattr(signal, column) for column in columns]
            yield [signal.pk, signal.market.symbol, signal.market.provenance, signal.strategy, model, bar, *cells, signal.ended_reason]

    header = ["id", "symbol", "data", "strategy", "model_version", "bar_open_utc", *columns, "ended_reason"]
    return csv_export.response("signals.csv", header, rows())


@login_required
@require_safe
def rejection_csv(request: HttpRequest) -> HttpResponseBase:
    """The filtered rejections as CSV."""
    numbers = ["probability", "agreement", "gross_gain_pct", "cost_pct", "net_profit_pct", "expectancy_pct"]

    def rows() -> Iterator[list[Any]]:
        for row in RejectionFilterForm(request.GET).narrow(Rejection.objects.newest_first()).iterator(chunk_size=500):
            bar = clock.from_ms(row.bar_ms).isoformat() if row.bar_ms else ""
            cells = [row.numbers.get(name, "") for name in numbers]
            yield [row.pk, row.market.symbol, row.market.provenance, row.strategy, bar, row.side, row.code, row.reason, *cells]

    header = ["id", "symbol", "data", "strategy", "bar_open_utc", "side", "code", "reason", *numbers]
    return csv_export.response("rejected-candidates.csv", header, rows())


@login_required
@require_safe
def signal_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One signal: plan, chances, costs, reasons, and what it would mean for the reader's own account."""
    signal = get_object_or_404(Signal.objects.select_related("market__venue", "model"), pk=pk)
    template = strategies.TEMPLATES.get(signal.strategy)
    context = {
        "signal": signal,
        "strategy_name": template.name if template else signal.strategy,
        "decided_at": clock.from_ms(signal.bar_ms),
        "places": explanation.price_places(signal.market),
        "levels": explanation.levels(signal),
        "cost_lines": explanation.cost_lines(signal),
        "votes": explanation.votes(signal),
        "own": explanation.own_size(signal, request.user),
        "model": explanation.model(signal),
        "base_timeframe": settings.BASE_TIMEFRAME,
    }
    return render(request, "signals/detail.html", context)


@login_required
@require_safe
def signals_of_market(request: HttpRequest, pk: int) -> HttpResponse:
    """The open signals of one market as a part of the market's page, with their levels for its chart."""
    market = get_object_or_404(Market.objects.active(), pk=pk)
    found = list(Signal.objects.newest_first().open().filter(market=market))
    lines = [
        {"kind": kind, "label": f"{label} (signal {signal.pk})", "price": getattr(signal, name)}
        for signal in found
        for name, label, kind in explanation.LINES
    ]
    context = {"market": market, "signals": found, "lines": lines, "places": explanation.price_places(market)}
    return render(request, "signals/_of_market.html", context)
