"""Backtests in the staff site: read only, because figures are computed, not written."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join

from backtesting.models import BacktestRun, BacktestTrade, GateDecision, LookaheadCheck, ParameterSearch, SharedLink, WatchLook
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


class EvidenceAdmin(ReadOnlyAdmin):
    """What a model or a parameter was judged by stays: removing a comparison or a search would give luck another chance that nobody counts."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ParameterSearch)
class ParameterSearchAdmin(EvidenceAdmin):
    list_display = ("id", "user", "strategy", "symbols", "method", "status", "tried", "wanted", "walk", "created_at")
    list_filter = ("status", "strategy", "method", "provenance")
    list_select_related = ("user",)


@admin.register(GateDecision)
class GateDecisionAdmin(EvidenceAdmin):
    list_display = (
        "id", "candidate", "champion", "verdict", "mean_pct", "interval", "p", "level", "candidate_trades", "champion_trades", "days",
        "attempt", "span", "created_at",
    )  # fmt: skip
    fields = (
        "verdict", "reason", "candidate", "champion", "figures", "span", "days", "candidate_trades", "champion_trades", "mean_pct", "interval",
        "p", "level", "block_days", "attempt", "candidate_run", "champion_run", "created_at",
    )  # fmt: skip
    list_filter = ("verdict", "candidate__scope")
    list_select_related = ("candidate", "champion")

    @admin.display(description="difference, % a day")
    def mean_pct(self, decision: GateDecision) -> str:
        return "" if decision.mean is None else f"{decision.mean:+.4f}"

    @admin.display(description="90 % interval")
    def interval(self, decision: GateDecision) -> str:
        return "" if decision.low is None or decision.high is None else f"{decision.low:+.4f} to {decision.high:+.4f}"

    @admin.display(description="p")
    def p(self, decision: GateDecision) -> str:
        return "" if decision.p_value is None else f"{decision.p_value:.4f}"

    @admin.display(description="figures")
    def figures(self, decision: GateDecision) -> str:
        both = [(reverse("models:detail", args=[model.pk]), model) for model in (decision.candidate, decision.champion)]
        return format_html_join(", ", '<a href="{}">{}</a>', both)

    @admin.display(description="span of both (UTC)")
    def span(self, decision: GateDecision) -> str:
        if decision.start_ms is None or decision.end_ms is None:
            return ""
        return f"{clock.from_ms(decision.start_ms):%Y-%m-%d %H:%M} to {clock.from_ms(decision.end_ms):%Y-%m-%d %H:%M}"


@admin.register(WatchLook)
class WatchLookAdmin(EvidenceAdmin):
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


@admin.register(SharedLink)
class SharedLinkAdmin(ReadOnlyAdmin):
    """Removing a link revokes it."""

    list_display = ("id", "run", "created_at", "expires_at")
    fields = ("run", "created_at", "expires_at")
    list_select_related = ("run",)
