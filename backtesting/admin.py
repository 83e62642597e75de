"""Backtests in the staff site: read only, because figures are computed, not written."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from backtesting.models import BacktestRun, BacktestTrade, LookaheadCheck


class ReadOnlyAdmin(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(BacktestRun)
class BacktestRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "model", "symbols", "capital", "risk_profile", "status", "created_at")
    list_filter = ("status", "risk_profile", "provenance")
    list_select_related = ("user", "model")


@admin.register(BacktestTrade)
class BacktestTradeAdmin(ReadOnlyAdmin):
    list_display = ("run", "number", "symbol", "side", "entry_price", "exit_price", "exit_reason", "pnl")
    list_filter = ("exit_reason", "side")


@admin.register(LookaheadCheck)
class LookaheadCheckAdmin(ReadOnlyAdmin):
    list_display = ("id", "strategy", "model", "symbols", "status", "passed", "requested_by", "created_at")
    list_filter = ("status", "passed", "strategy")
    list_select_related = ("model", "requested_by")
