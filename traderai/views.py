"""Pages made of several apps."""

from decimal import Decimal
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_safe

from exchanges.models import Market, Position, TradingAccount
from signals.models import ModelVersion, ScanRun, Signal, StrategyConfig


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The front door: the dashboard for those who are in, a welcome for those who are not."""
    if request.user.is_authenticated:
        return redirect("dashboard")
    return render(request, "traderai/welcome.html")


@login_required
@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    """What a trader wants to know first: money, positions, newest signals, and whether the machine is working."""
    return render(request, "traderai/dashboard.html", _dashboard(request))


def _dashboard(request: HttpRequest) -> dict[str, Any]:
    user = request.user
    positions = list(Position.objects.for_user(user).open().select_related("market", "account").order_by("-opened_at", "-id"))
    accounts = list(TradingAccount.objects.for_user(user).filter(is_active=True).order_by("id"))
    balance = sum((account.balance for account in accounts), Decimal(0))
    unrealised = sum((position.unrealised_pnl for position in positions), Decimal(0))
    return {
        "accounts": accounts,
        "balance": balance,
        "unrealised": unrealised,
        "equity": balance + unrealised,
        "positions": positions,
        "closed_count": Position.objects.for_user(user).closed().count(),
        "signals": Signal.objects.open().select_related("market").order_by("-created_at", "-id")[:6],
        "configs": list(StrategyConfig.objects.for_user(user).select_related("account").order_by("id")),
        "model": ModelVersion.objects.champion(),
        "last_scan": ScanRun.objects.order_by("-id").first(),
        "markets": list(Market.objects.with_candles().select_related("venue").order_by("symbol")[:30]),
    }
