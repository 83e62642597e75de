from decimal import Decimal

from django.db import models
from django.db.models import F, Q

from exchanges.models.account import MONEY, TradingAccount
from exchanges.models.market import Market
from exchanges.models.order import QUANTITY


class PositionSide(models.TextChoices):
    LONG = "long", "Long"
    SHORT = "short", "Short"


class PositionStatus(models.TextChoices):
    OPEN = "open", "Open"
    CLOSED = "closed", "Closed"


class PositionQuerySet(models.QuerySet["Position"]):
    def for_user(self, user: object) -> "PositionQuerySet":
        return self.filter(account__user=user)

    def open(self) -> "PositionQuerySet":
        return self.filter(status=PositionStatus.OPEN)

    def closed(self) -> "PositionQuerySet":
        return self.filter(status=PositionStatus.CLOSED)


class Position(models.Model):
    """What an account holds in one market, with the exit plan fixed at entry and the state that exchanges.exits.step carries on."""

    account = models.ForeignKey(TradingAccount, models.PROTECT, related_name="positions")
    market = models.ForeignKey(Market, models.PROTECT, related_name="positions")
    origin = models.CharField(max_length=60, help_text="Origin of the entry order, e.g. signal:12.")
    side = models.CharField(max_length=5, choices=PositionSide)
    status = models.CharField(max_length=6, choices=PositionStatus, default=PositionStatus.OPEN)
    leverage = models.PositiveSmallIntegerField()
    qty_opened = models.DecimalField(**QUANTITY)
    qty = models.DecimalField(**QUANTITY, help_text="What is still held; 0 once closed.")
    entry_price = models.DecimalField(**MONEY)
    margin = models.DecimalField(**MONEY, help_text="Isolated margin set aside at entry.")
    initial_stop = models.DecimalField(**MONEY)
    stop_price = models.DecimalField(**MONEY, help_text="The stop as it stands now; it only moves towards profit.")
    tp1 = models.DecimalField(**MONEY)
    tp2 = models.DecimalField(**MONEY)
    tp3 = models.DecimalField(**MONEY)
    trail_distance = models.DecimalField(**MONEY)
    tps_hit = models.PositiveSmallIntegerField(default=0)
    best_price = models.DecimalField(**MONEY, help_text="Most favourable price since entry, which the trail follows.")
    liquidation_price = models.DecimalField(**MONEY, null=True, blank=True)
    mark_price = models.DecimalField(**MONEY)
    marked_at = models.DateTimeField()
    last_bar_ms = models.BigIntegerField(help_text="Open of the last bar the exit logic has seen.")
    expires_at = models.DateTimeField(help_text="Time stop.")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    exit_reason = models.CharField(max_length=20, blank=True)
    realised_pnl = models.DecimalField(**MONEY, default=Decimal(0), help_text="Of closed parts, before fees and funding.")
    fees = models.DecimalField(**MONEY, default=Decimal(0))
    funding = models.DecimalField(**MONEY, default=Decimal(0), help_text="Received (+) or paid (-).")
    version = models.PositiveIntegerField(default=0)

    objects = PositionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "market"], condition=Q(status="open"), name="position_one_open_per_market"),
            models.CheckConstraint(condition=Q(side__in=PositionSide.values), name="position_side_known"),
            models.CheckConstraint(condition=Q(status__in=PositionStatus.values), name="position_status_known"),
            models.CheckConstraint(condition=Q(qty__gte=0, qty__lte=F("qty_opened"), qty_opened__gt=0), name="position_qty_within_opened"),
            models.CheckConstraint(
                condition=Q(side="long", initial_stop__lt=F("entry_price")) | Q(side="short", initial_stop__gt=F("entry_price")),
                name="position_stop_on_the_losing_side",
            ),
            models.CheckConstraint(
                condition=Q(status="open", qty__gt=0, closed_at=None) | Q(status="closed", qty=0, closed_at__isnull=False),
                name="position_closed_means_flat",
            ),
        ]
        indexes = [models.Index(fields=["market"], condition=Q(status="open"), name="position_open_by_market")]

    def __str__(self) -> str:
        return f"{self.side} {self.qty} of market {self.market_id} ({self.status})"

    @property
    def sign(self) -> int:
        return 1 if self.side == PositionSide.LONG else -1

    @property
    def is_long(self) -> bool:
        return self.side == PositionSide.LONG

    @property
    def is_open(self) -> bool:
        return self.status == PositionStatus.OPEN

    @property
    def unrealised_pnl(self) -> Decimal:
        return (self.mark_price - self.entry_price) * self.qty * self.sign

    @property
    def net_pnl(self) -> Decimal:
        """Everything this position has brought so far: realised, unrealised, fees and funding."""
        return self.realised_pnl + self.unrealised_pnl - self.fees + self.funding

    @property
    def return_on_margin_pct(self) -> Decimal:
        return self.net_pnl / self.margin * 100 if self.margin else Decimal(0)
