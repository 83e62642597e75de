"""A run's trades: the list and the files."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from backtesting import exports
from backtesting.models import BacktestRun
from traderai.lib import csv_export


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
