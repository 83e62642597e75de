from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from exchanges.models.venue import Venue

MONEY: dict[str, Any] = {"max_digits": 28, "decimal_places": 10}


class Environment(models.TextChoices):
    PAPER = "paper", "Paper (simulated fills)"
    TESTNET = "testnet", "Testnet"
    LIVE = "live", "Live"


class TradingState(models.TextChoices):
    ACTIVE = "active", "Active"
    REDUCE_ONLY = "reduce_only", "Reduce only"
    HALTED = "halted", "Halted"


class TradingAccountQuerySet(models.QuerySet["TradingAccount"]):
    def for_user(self, user: object) -> "TradingAccountQuerySet":
        return self.filter(user=user)


class TradingAccount(models.Model):
    """A user's money at one venue. `balance` is the wallet: start + realised P&L - fees + funding, and equals the ledger's sum."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="trading_accounts")
    venue = models.ForeignKey(Venue, models.PROTECT)
    name = models.CharField(max_length=60)
    environment = models.CharField(max_length=10, choices=Environment, default=Environment.PAPER)
    currency = models.CharField(max_length=10, default="USDT")
    balance = models.DecimalField(**MONEY, default=Decimal(0))
    peak_equity = models.DecimalField(**MONEY, default=Decimal(0))
    state = models.CharField(max_length=12, choices=TradingState, default=TradingState.ACTIVE)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TradingAccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "venue", "environment", "name"], name="account_name_unique_for_its_owner"),
            models.CheckConstraint(condition=Q(environment__in=Environment.values), name="account_environment_known"),
            models.CheckConstraint(condition=Q(state__in=TradingState.values), name="account_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.environment})"


class LedgerKind(models.TextChoices):
    DEPOSIT = "deposit", "Starting balance"
    PNL = "pnl", "Realised P&L"
    FEE = "fee", "Fee"
    FUNDING = "funding", "Funding"


class LedgerEntry(models.Model):
    """Append-only: every change of an account's balance, once. `reference` makes a replayed posting collide instead of counting twice."""

    account = models.ForeignKey(TradingAccount, models.CASCADE, related_name="ledger")
    position = models.ForeignKey("exchanges.Position", models.PROTECT, null=True, blank=True, related_name="ledger")
    kind = models.CharField(max_length=10, choices=LedgerKind)
    amount = models.DecimalField(**MONEY, help_text="Positive adds to the balance.")
    reference = models.CharField(max_length=80)
    at = models.DateTimeField(help_text="Market time of the event.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = [
            models.UniqueConstraint(fields=["account", "kind", "reference"], name="ledger_entry_posted_once"),
            models.CheckConstraint(condition=Q(kind__in=LedgerKind.values), name="ledger_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount} ({self.reference})"
