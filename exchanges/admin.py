"""The staff's view of venues, markets and history."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from accounts import audit
from exchanges import admin_data, admin_trading, backfill, candles  # noqa: F401  (admin_trading registers orders and positions)
from exchanges.models import BackfillJob, JobStatus, Market, Venue
from traderai.lib.errors import UserError


@admin.register(Venue)
class VenueAdmin(admin.ModelAdmin):
    list_display = ["name", "slug", "maker_bps", "taker_bps", "is_active"]
    list_filter = ["is_active"]
    search_fields = ["name", "slug"]


@admin.register(Market)
class MarketAdmin(admin.ModelAdmin):
    list_display = ["symbol", "venue", "kind", "provenance", "tick_size", "step_size", "min_notional", "max_leverage", "is_active"]
    list_filter = ["venue", "kind", "provenance", "is_active"]
    list_select_related = ["venue"]
    search_fields = ["symbol"]
    readonly_fields = ["provenance"]
    actions = ["remove_history"]

    @admin.action(description="Remove the stored history of selected markets", permissions=["change"])
    def remove_history(self, request: HttpRequest, queryset: QuerySet[Market]) -> None:
        for market in queryset:
            try:
                removed = candles.forget(market)
            except UserError as error:
                self.message_user(request, error.message, messages.ERROR)
                continue
            audit.record(request.user, "history_removed", request, market=market.pk, rows=removed)  # type: ignore[arg-type]
            self.message_user(request, f"{market.symbol}: {removed:,} rows removed.", messages.SUCCESS)


@admin.register(BackfillJob)
class BackfillJobAdmin(admin.ModelAdmin):
    list_display = ["id", "venue", "timeframe", "market_list", "status", "progress_bar", "rows_written", "created_at", "error"]
    list_filter = ["status", "venue", "timeframe"]
    list_select_related = ["venue"]
    actions = ["cancel_jobs", "resume_jobs"]

    def get_urls(self) -> list[Any]:
        return [*admin_data.urls(), *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a job is started on the page of market data, with the command or the API, which check what they are asked

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="markets")
    def market_list(self, job: BackfillJob) -> str:
        return f"{', '.join(job.symbols[:3])}{f' and {len(job.symbols) - 3} more' if len(job.symbols) > 3 else ''}"

    @admin.display(description="progress")
    def progress_bar(self, job: BackfillJob) -> str:
        percent = 100 if job.status == JobStatus.DONE else int(job.progress * 100)
        return format_html('<progress max="100" value="{}"></progress> {} %', percent, percent)

    @admin.action(description="Cancel selected jobs after their current page", permissions=["view"])
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[BackfillJob]) -> None:
        self._tell(request, "cancelled", sum(backfill.cancel(job) for job in queryset))

    @admin.action(description="Resume selected failed or cancelled jobs", permissions=["view"])
    def resume_jobs(self, request: HttpRequest, queryset: QuerySet[BackfillJob]) -> None:
        self._tell(request, "resumed", sum(backfill.resume(job) for job in queryset))

    def _tell(self, request: HttpRequest, what: str, count: int) -> None:
        audit.record(request.user, f"backfills_{what}", request, count=count)  # type: ignore[arg-type]
        self.message_user(request, f"{count} {what}.", messages.SUCCESS if count else messages.WARNING)
