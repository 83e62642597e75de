from django.conf import settings
from django.db import models
from django.db.models import Q

from exchanges.models import TradingAccount
from exchanges.risk.profiles import PROFILES

RISK_CHOICES = [(name, name.capitalize()) for name in PROFILES]


class StrategyConfigQuerySet(models.QuerySet["StrategyConfig"]):
    def for_user(self, user: object) -> "StrategyConfigQuerySet":
        return self.filter(user=user)

    def trading(self) -> "StrategyConfigQuerySet":
        return self.filter(auto_trade=True)


class StrategyConfig(models.Model):
    """A user's own settings of a strategy template, and whether it trades by itself."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="strategy_configs")
    account = models.ForeignKey(TradingAccount, models.PROTECT, related_name="strategy_configs")
    template = models.SlugField(help_text="A key of signals.strategies.")
    name = models.CharField(max_length=60)
    symbols = models.JSONField(default=list, blank=True, help_text="Empty: every market that is scanned.")
    risk_profile = models.CharField(max_length=6, choices=RISK_CHOICES, default="medium")
    min_confidence = models.FloatField(default=0.55)
    auto_trade = models.BooleanField(default=False)
    started_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = StrategyConfigQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="strategy_config_name_unique_for_its_owner"),
            models.CheckConstraint(condition=Q(risk_profile__in=list(PROFILES)), name="strategy_config_risk_profile_known"),
            models.CheckConstraint(condition=Q(min_confidence__gte=0.5, min_confidence__lte=1), name="strategy_config_confidence_floor"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.template})"

    @property
    def min_probability_pct(self) -> float:
        return self.min_confidence * 100.0
