"""Trading in the staff site: money rows are read, never written; the kill switch is the staff's."""

from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts import audit
from accounts.models import User
from exchanges.models import Fill, KillSwitch, LedgerEntry, Order, OrderEvent, Position, TradingAccount


class ReadOnly:
    """Rows that services alone write."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(TradingAccount)
class TradingAccountAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("name", "user", "venue", "environment", "balance", "state", "is_active")
    list_filter = ("environment", "state")
    search_fields = ("user__email", "name")
    list_select_related = ("user", "venue")


class OrderEventInline(ReadOnly, admin.TabularInline):
    model = OrderEvent
    extra = 0


@admin.register(Order)
class OrderAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "account", "market", "side", "qty", "state", "origin", "reason", "created_at")
    list_filter = ("state", "side", "reduce_only")
    search_fields = ("client_order_id", "origin", "account__user__email")
    list_select_related = ("account", "market")
    inlines = [OrderEventInline]


@admin.register(Fill)
class FillAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "account", "side", "qty", "price", "fee", "liquidity", "reason", "at")
    list_filter = ("reason", "liquidity")
    list_select_related = ("account",)


@admin.register(Position)
class PositionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = (
        "id",
        "account",
        "market",
        "side",
        "status",
        "qty",
        "entry_price",
        "stop_price",
        "realised_pnl",
        "exit_reason",
        "opened_at",
    )
    list_filter = ("status", "side", "exit_reason")
    list_select_related = ("account", "market")


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "account", "kind", "amount", "reference", "at")
    list_filter = ("kind",)
    list_select_related = ("account",)


@admin.register(KillSwitch)
class KillSwitchAdmin(admin.ModelAdmin):
    list_display = ("id", "user", "venue", "level", "reason", "changed_at")
    list_filter = ("level",)
    list_select_related = ("user", "venue")

    def save_model(self, request: HttpRequest, obj: KillSwitch, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit.record(cast(User, request.user), "kill_switch_set", request, owner=obj.user_id, venue=obj.venue_id, level=obj.level)

    def delete_model(self, request: HttpRequest, obj: KillSwitch) -> None:
        audit.record(cast(User, request.user), "kill_switch_removed", request, owner=obj.user_id, venue=obj.venue_id, level=obj.level)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[KillSwitch]) -> None:
        for switch in queryset:
            self.delete_model(request, switch)
