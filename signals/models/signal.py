from django.db import models
from django.db.models import F, Q

from exchanges.models import Market
from signals.models.model import ModelVersion


class SignalSide(models.TextChoices):
    LONG = "long", "Long"
    SHORT = "short", "Short"


class SignalStatus(models.TextChoices):
    OPEN = "open", "Open"
    EXPIRED = "expired", "Expired"
    SUPERSEDED = "superseded", "Superseded"


class ScanRun(models.Model):
    """One pass over the markets. `slot` makes a doubled beat harmless."""

    slot = models.CharField(max_length=40, unique=True)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    markets = models.PositiveIntegerField(default=0)
    issued = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"scan {self.slot}"


class SignalQuerySet(models.QuerySet["Signal"]):
    def open(self) -> "SignalQuerySet":
        return self.filter(status=SignalStatus.OPEN)

    def newest_first(self) -> "SignalQuerySet":
        return self.select_related("market", "model").order_by("-created_at", "-id")


class Signal(models.Model):
    """A trade idea that passed the net-profit filter, fixed when it was issued."""

    market = models.ForeignKey(Market, models.PROTECT, related_name="signals")
    strategy = models.SlugField(help_text="Template that issued it, a key of signals.strategies.")
    model = models.ForeignKey(ModelVersion, models.PROTECT, null=True, blank=True, related_name="signals")
    scan = models.ForeignKey(ScanRun, models.PROTECT, null=True, blank=True, related_name="signals")
    timeframe = models.CharField(max_length=3)
    bar_ms = models.BigIntegerField(help_text="Open of the closed bar that decided, ms UTC. No fill may be earlier than its close.")
    side = models.CharField(max_length=5, choices=SignalSide)
    status = models.CharField(max_length=12, choices=SignalStatus, default=SignalStatus.OPEN)
    entry = models.FloatField(help_text="Close of the deciding bar: the reference for the plan.")
    stop = models.FloatField()
    tp1 = models.FloatField()
    tp2 = models.FloatField()
    tp3 = models.FloatField()
    trail_distance = models.FloatField()
    max_hold_hours = models.FloatField(default=48.0)
    atr = models.FloatField(help_text="ATR(14) of the plan's timeframe, in price units.")
    probability = models.FloatField(help_text="Calibrated probability that TP1 comes before the stop.")
    confidence = models.FloatField()
    agreement = models.FloatField(help_text="1 when all voters say the same.")
    gross_gain_pct = models.FloatField(help_text="The ladder's weighted gain, % of notional, before costs.")
    cost_pct = models.FloatField()
    cost_lines = models.JSONField(
        default=dict, help_text="{entry_fee_pct, entry_slippage_pct, exit_fee_pct, funding_pct}: what cost_pct is made of."
    )
    net_profit_pct = models.FloatField(help_text="gross_gain_pct - cost_pct, unlevered.")
    expectancy_pct = models.FloatField(help_text="Probability-weighted, after costs, % of notional.")
    risk_reward = models.FloatField()
    sizing = models.JSONField(help_text="{risk profile: {leverage, risk_pct, margin_pct}} for 100 units of equity.")
    regime = models.CharField(max_length=12, blank=True)
    style = models.CharField(max_length=12, blank=True)
    votes = models.JSONField(help_text="[{voter, weight, side, probability, reasons: [{feature, value, contribution, text}]}]")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(help_text="Market time until which it may be taken.")
    ended_reason = models.CharField(max_length=200, blank=True, help_text="Why it is no longer open.")

    objects = SignalQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["market", "strategy"], condition=Q(status="open"), name="signal_one_open_per_market_and_strategy"
            ),
            models.UniqueConstraint(fields=["market", "strategy", "bar_ms"], name="signal_once_per_bar"),
            models.CheckConstraint(condition=Q(side__in=SignalSide.values), name="signal_side_known"),
            models.CheckConstraint(condition=Q(status__in=SignalStatus.values), name="signal_status_known"),
            models.CheckConstraint(
                condition=Q(side="long", stop__lt=F("entry"), tp1__gt=F("entry"), tp2__gt=F("tp1"), tp3__gt=F("tp2"))
                | Q(side="short", stop__gt=F("entry"), tp1__lt=F("entry"), tp2__lt=F("tp1"), tp3__lt=F("tp2")),
                name="signal_plan_in_order",
            ),
            models.CheckConstraint(
                condition=Q(probability__gte=0, probability__lte=1, confidence__gte=0, confidence__lte=1), name="signal_chances_0_to_1"
            ),
        ]
        indexes = [models.Index(fields=["-created_at"], name="signal_newest")]

    def __str__(self) -> str:
        return f"{self.side} {self.market_id} at {self.bar_ms} ({self.strategy})"

    @property
    def probability_pct(self) -> float:
        return self.probability * 100.0

    @property
    def agreement_pct(self) -> float:
        return self.agreement * 100.0

    @property
    def is_long(self) -> bool:
        return self.side == SignalSide.LONG

    @property
    def is_open(self) -> bool:
        return self.status == SignalStatus.OPEN


class RejectionQuerySet(models.QuerySet["Rejection"]):
    def newest_first(self) -> "RejectionQuerySet":
        return self.select_related("market").order_by("-created_at", "-id")


class Rejection(models.Model):
    """A candidate that did not become a signal, kept with its reason and its numbers."""

    market = models.ForeignKey(Market, models.CASCADE, related_name="rejections")
    strategy = models.SlugField()
    scan = models.ForeignKey(ScanRun, models.CASCADE, null=True, blank=True, related_name="rejections")
    bar_ms = models.BigIntegerField()
    side = models.CharField(max_length=5, choices=SignalSide, blank=True)
    code = models.CharField(max_length=30, help_text="A key of signals.processing.REJECTION_CODES.")
    reason = models.TextField()
    numbers = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RejectionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["market", "strategy", "bar_ms", "code"], name="rejection_once_per_bar_and_code")]
        indexes = [models.Index(fields=["-created_at"], name="rejection_newest")]

    def __str__(self) -> str:
        return f"{self.code} for market {self.market_id} at {self.bar_ms}"

    @property
    def probability_pct(self) -> float | None:
        share = self.numbers.get("probability")
        return None if share is None else share * 100.0
