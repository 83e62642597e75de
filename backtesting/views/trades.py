"""A run's trades: the list with its order and filters, and the files."""

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Q, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_safe

from backtesting import exports
from backtesting.forms import TRADE_COLUMNS, TradeFilterForm
from backtesting.models import BacktestRun, BacktestTrade
from exchanges.models import JobStatus
from traderai.lib import clock, csv_export

PAGE_SIZE = 25
HOUR_MS = 3_600_000
MONEY = ("fees", "pnl")
FRAGMENT = "trades"
"""The id of what the list is rendered in."""


def listing(query: QueryDict, run: BacktestRun) -> dict[str, Any]:
    """What the list's template needs: a page of the trades that the query string wants, in its order, and what they add up to."""
    form = TradeFilterForm(query, run=run)
    trades = form.narrow(BacktestTrade.objects.filter(run=run))
    page = Paginator(trades, PAGE_SIZE).get_page(query.get("page"))
    trade: Any
    for trade in page:
        trade.entered_at, trade.left_at = clock.from_ms(trade.entry_ms), clock.from_ms(trade.exit_ms)
        trade.hours = trade.held / HOUR_MS
        trade.reason = trade.exit_reason.replace("_", " ")
    return {
        "form": form,
        "page": page,
        "columns": [_heading(column.key, column.label, column.is_number, form.sort_by) for column in TRADE_COLUMNS],
        "sums": trades.order_by().aggregate(net=Sum("pnl"), won=Count("pk", filter=Q(pnl__gt=0))),
        "export_query": _without_page(query),
    }


def own_files(run: BacktestRun) -> dict[str, str]:
    """Where its owner gets the trades as files, and on a chart."""
    return {
        "csv_url": reverse("backtests:trades_csv", args=[run.pk]),
        "parquet_url": reverse("backtests:trades_parquet", args=[run.pk]),
        "chart_url": reverse("backtests:chart", args=[run.pk]),
    }


def _heading(key: str, label: str, is_number: bool, sort_by: str) -> dict[str, Any]:
    """A column's heading: which order a click asks for, and which one it has."""
    order = {key: "ascending", f"-{key}": "descending"}.get(sort_by, "")
    first = f"-{key}" if is_number and key != "number" else key
    to = {"ascending": f"-{key}", "descending": key}.get(order, first)
    return {"key": key, "label": label, "is_number": is_number, "is_money": key in MONEY, "order": order, "to": to}


def _without_page(query: QueryDict) -> str:
    return urlencode([(name, value) for name, value in query.items() if value and name != "page"])


def csv_of(query: QueryDict, run: BacktestRun, name: str) -> HttpResponseBase:
    """The trades that the query string wants as a CSV file."""
    trades = TradeFilterForm(query, run=run).narrow(BacktestTrade.objects.filter(run=run))
    return csv_export.response(name, exports.HEADER, exports.rows(run, trades))


@login_required
@require_safe
def trades_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The trades of a finished run."""
    run = get_object_or_404(BacktestRun.objects.for_user(request.user), pk=pk, status=JobStatus.DONE)
    return csv_of(request.GET, run, f"backtest-{pk}-trades.csv")


@login_required
@require_safe
def trades_parquet(request: HttpRequest, pk: int) -> HttpResponse:
    """The trades of a finished run."""
    run = get_object_or_404(BacktestRun.objects.for_user(request.user), pk=pk, status=JobStatus.DONE)
    trades = TradeFilterForm(request.GET, run=run).narrow(BacktestTrade.objects.filter(run=run))
    reply = HttpResponse(exports.parquet(run, trades), content_type="application/vnd.apache.parquet")
    reply["Content-Disposition"] = f'attachment; filename="backtest-{pk}-trades.parquet"'
    return reply
