"""The staff's view of models, trainings, scans and signals. Figures are read here, never edited."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts import audit
from accounts.models import User
from signals import admin_search, admin_training
from signals.models import DriftReport, ModelStatus, ModelVersion, Rejection, ScanRun, Search, Signal, StrategyConfig, TrainingRun
from traderai.lib import clock
from traderai.lib.errors import UserError


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that services write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReasonForm(ActionForm):
    """The action bar with a place for the reason."""

    reason = forms.CharField(required=False, max_length=300, label="Reason")


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "pages", "promoted_at", "reason", "provenance", "timeframe", "trained_on", "train_end", "out_of_sample_from")
    fields = (
        "pages", "scope", "version", "status", "reason", "promoted_at", "replaces", "timeframe", "venue_slug", "trained_on", "provenance",
        "train_start", "train_end", "out_of_sample_from", "data_hash", "artefact", "manifest_sha256", "created_at",
    )  # fmt: skip
    list_filter = ("status", "scope", "provenance")
    actions = ("promote", "roll_back")
    action_form = ReasonForm

    @admin.display(description="markets")
    def trained_on(self, model: ModelVersion) -> str:
        return ", ".join(model.symbols)

    @admin.display(description="train start (UTC)")
    def train_start(self, model: ModelVersion) -> str:
        return f"{clock.from_ms(model.train_start_ms):%Y-%m-%d %H:%M}"

    @admin.display(description="train end (UTC)")
    def train_end(self, model: ModelVersion) -> str:
        return f"{clock.from_ms(model.train_end_ms):%Y-%m-%d %H:%M}"

    @admin.display(description="out of sample from (UTC)")
    def out_of_sample_from(self, model: ModelVersion) -> str:
        return f"{clock.from_ms(model.oos_start_ms):%Y-%m-%d %H:%M}"

    @admin.display(description="pages")
    def pages(self, model: ModelVersion) -> str:
        addresses = [reverse(name, args=[model.pk]) for name in ("models:detail", "models:drift")]
        return format_html('<a href="{}">figures and leak tests</a>, <a href="{}">drift</a>', *addresses)

    def has_promote_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("signals.change_modelversion")

    @admin.action(description="Promote to champion (with a reason)", permissions=["promote"])
    def promote(self, request: HttpRequest, chosen: QuerySet[ModelVersion]) -> None:
        self._champion(request, chosen, ModelStatus.CANDIDATE)

    @admin.action(description="Roll back to this archived model (with a reason)", permissions=["promote"])
    def roll_back(self, request: HttpRequest, chosen: QuerySet[ModelVersion]) -> None:
        self._champion(request, chosen, ModelStatus.ARCHIVED)

    def _champion(self, request: HttpRequest, chosen: QuerySet[ModelVersion], expected: str) -> None:
        from signals import registry

        models = list(chosen[:2])
        reason = request.POST.get("reason", "").strip()
        if len(models) != 1:
            self.message_user(request, "Choose exactly one model.", messages.ERROR)
        elif models[0].status != expected:
            self.message_user(request, f"{models[0]} is not {expected}.", messages.ERROR)
        else:
            try:
                model = registry.promote(models[0], f"{reason} ({request.user})" if reason else "")
            except UserError as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                self.log_change(request, model, f"champion: {reason}")
                action = "model_promoted" if expected == ModelStatus.CANDIDATE else "model_rolled_back"
                audit.record(cast(User, request.user), action, request, model=model.pk, scope=model.scope, reason=reason)
                self.message_user(request, f"{model} decides from now on.", messages.SUCCESS)


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "stage", "share_done", "model", "requested_by", "created_at", "finished_at", "error")
    list_filter = ("status",)
    list_select_related = ("model", "requested_by")

    def get_urls(self) -> list[Any]:
        return [*admin_training.urls(), *super().get_urls()]

    @admin.display(description="progress")
    def share_done(self, run: TrainingRun) -> str:
        return f"{run.progress:.0%}"


@admin.register(DriftReport)
class DriftReportAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "model", "verdict", "different", "tested", "rows", "retrain", "reason", "plots")
    list_filter = ("verdict", "day")
    list_select_related = ("model", "retrain")

    @admin.display(description="plots")
    def plots(self, report: DriftReport) -> str:
        address = reverse("models:drift", args=[report.model_id])
        return format_html('<a href="{}?day={}">plots</a>', address, report.day.isoformat())


@admin.register(Search)
class SearchAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "symbols", "trials_wanted", "workers", "requested_by", "created_at", "finished_at", "error")
    list_filter = ("status",)
    list_select_related = ("requested_by",)

    def get_urls(self) -> list[Any]:
        return [*admin_search.urls(), *super().get_urls()]


@admin.register(Signal)
class SignalAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "market",
        "side",
        "strategy",
        "status",
        "probability",
        "net_profit_pct",
        "expectancy_pct",
        "created_at",
        "expires_at",
    )
    list_filter = ("status", "side", "strategy")
    list_select_related = ("market",)


@admin.register(Rejection)
class RejectionAdmin(ReadOnlyAdmin):
    list_display = ("id", "market", "side", "strategy", "code", "reason", "created_at")
    list_filter = ("code", "strategy")
    list_select_related = ("market",)


@admin.register(ScanRun)
class ScanRunAdmin(ReadOnlyAdmin):
    list_display = ("slot", "started_at", "finished_at", "markets", "issued", "rejected", "error")


@admin.register(StrategyConfig)
class StrategyConfigAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "name", "template", "account", "risk_profile", "min_confidence", "auto_trade", "started_at", "stopped_at")
    list_filter = ("template", "auto_trade", "risk_profile")
    list_select_related = ("user", "account")
