"""Backtests in the staff site: read only, because figures are computed, not written."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from backtesting.models import BacktestRun, BacktestTrade, GateDecision, LookaheadCheck, WatchLook
from traderai.lib import clock


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


@admin.register(GateDecision)
class GateDecisionAdmin(ReadOnlyAdmin):
    list_display = (
        "id", "candidate", "champion", "verdict", "candidate_trades", "champion_trades", "days", "mean_pct", "interval", "p_value", "level",
        "attempt", "span", "created_at",
    )  # fmt: skip
    list_filter = ("verdict", "candidate__scope")
    list_select_related = ("candidate", "champion")

    @admin.display(description="difference, % a day")
    def mean_pct(self, decision: GateDecision) -> str:
        return "" if decision.mean is None else f"{decision.mean:+.4f}"

    @admin.display(description="90 % interval")
    def interval(self, decision: GateDecision) -> str:
        return "" if decision.low is None or decision.high is None else f"{decision.low:+.4f} to {decision.high:+.4f}"

    @admin.display(description="span of both")
    def span(self, decision: GateDecision) -> str:
        if decision.start_ms is None or decision.end_ms is None:
            return ""
        return f"{clock.from_ms(decision.start_ms):%Y-%m-%d %H:%M} to {clock.from_ms(decision.end_ms):%Y-%m-%d %H:%M}"


@admin.register(WatchLook)
class WatchLookAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "champion",
        "former",
        "number",
        "days",
        "rows",
        "mean",
        "p_value",
        "signals",
        "realised_pct",
        "promised_pct",
        "realised_p",
        "level",
        "is_worse",
        "created_at",
    )
    list_filter = ("is_worse", "champion__scope")
    list_select_related = ("champion", "former")
