import base64
import uuid
from typing import Any

from django.db import models
from django.db.models import F, Q

from exchanges.models.account import MONEY, TradingAccount
from exchanges.models.market import Market
from exchanges.order_states import UNSETTLED, OrderState

QUANTITY: dict[str, Any] = {"max_digits": 28, "decimal_places": 12}


class OrderSide(models.TextChoices):
    BUY = "buy", "Buy"
    SELL = "sell", "Sell"


class OrderType(models.TextChoices):
    MARKET = "market", "Market"
    LIMIT = "limit", "Limit"


class Liquidity(models.TextChoices):
    MAKER = "maker", "Maker"
    TAKER = "taker", "Taker"


def new_client_order_id() -> str:
    """ "ta" and a UUID in base 32: 28 letters and digits, which every venue accepts."""
    return "ta" + base64.b32encode(uuid.uuid4().bytes).decode().rstrip("=").lower()


class OrderQuerySet(models.QuerySet["Order"]):
    def for_user(self, user: object) -> "OrderQuerySet":
        return self.filter(account__user=user)

    def unsettled(self) -> "OrderQuerySet":
        return self.filter(state__in=UNSETTLED)


class Order(models.Model):
    """Our intent and the venue's order in one row, committed before the venue is called. Every order of any origin is one of these."""

    account = models.ForeignKey(TradingAccount, models.PROTECT, related_name="orders")
    market = models.ForeignKey(Market, models.PROTECT)
    position = models.ForeignKey("exchanges.Position", models.PROTECT, null=True, blank=True, related_name="orders")
    origin = models.CharField(
        max_length=60, help_text="What asked for it, once: signal:12, exit:7:1735689600000:1, manual:7:2, flatten:7:3."
    )
    client_order_id = models.CharField(max_length=32, unique=True)
    venue_order_id = models.CharField(max_length=64, blank=True)
    side = models.CharField(max_length=4, choices=OrderSide)
    order_type = models.CharField(max_length=8, choices=OrderType)
    reduce_only = models.BooleanField(default=False)
    qty = models.DecimalField(**QUANTITY)
    price = models.DecimalField(**MONEY, null=True, blank=True)
    leverage = models.PositiveSmallIntegerField(default=1)
    plan = models.JSONField(default=dict, blank=True, help_text="Exit plan of an opening order: stop, take-profits, shares, trail, expiry.")
    risk_amount = models.DecimalField(**MONEY, default=0, help_text="Loss at the stop, in account currency: what the gate reserved.")
    state = models.CharField(max_length=10, choices=[(s.value, s.value) for s in OrderState], default=OrderState.READY)
    reason = models.TextField(blank=True, help_text="Why it was denied, rejected or expired.")
    version = models.PositiveIntegerField(default=0, help_text="Grows with every move: the compare-and-set key.")
    filled_qty = models.DecimalField(**QUANTITY, default=0)
    avg_price = models.DecimalField(**MONEY, null=True, blank=True)
    send_by = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)

    objects = OrderQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "origin"], name="order_origin_once_per_account"),
            models.CheckConstraint(condition=Q(state__in=[s.value for s in OrderState]), name="order_state_known"),
            models.CheckConstraint(condition=Q(side__in=OrderSide.values), name="order_side_known"),
            models.CheckConstraint(condition=Q(order_type__in=OrderType.values), name="order_type_known"),
            models.CheckConstraint(condition=Q(state=OrderState.DENIED) | Q(qty__gt=0), name="order_qty_positive"),
            models.CheckConstraint(condition=Q(order_type=OrderType.MARKET) | Q(price__gt=0), name="order_limit_has_price"),
            models.CheckConstraint(condition=Q(filled_qty__lte=F("qty")), name="order_not_overfilled"),
        ]
        indexes = [models.Index(fields=["account"], condition=Q(state__in=sorted(s.value for s in UNSETTLED)), name="order_unsettled")]

    def __str__(self) -> str:
        return f"{self.side} {self.qty} of market {self.market_id} ({self.state})"


class OrderEvent(models.Model):
    """Append-only trail of an order's moves."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="events")
    move = models.CharField(max_length=16)
    state = models.CharField(max_length=10)
    detail = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"order {self.order_id}: {self.move} -> {self.state}"


class Fill(models.Model):
    """One execution. The venue's trade id is unique per account, so a fill told twice is booked once."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="fills")
    account = models.ForeignKey(TradingAccount, models.PROTECT, related_name="fills")
    position = models.ForeignKey("exchanges.Position", models.PROTECT, null=True, blank=True, related_name="fills")
    venue_trade_id = models.CharField(max_length=64)
    side = models.CharField(max_length=4, choices=OrderSide)
    qty = models.DecimalField(**QUANTITY)
    price = models.DecimalField(**MONEY)
    fee = models.DecimalField(**MONEY)
    liquidity = models.CharField(max_length=5, choices=Liquidity)
    reason = models.CharField(max_length=20, blank=True, help_text="entry, tp1, tp2, tp3, stop, trail, time, manual, flatten, liquidation")
    at = models.DateTimeField(help_text="Market time of the execution.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "venue_trade_id"], name="fill_booked_once"),
            models.CheckConstraint(condition=Q(qty__gt=0, price__gt=0), name="fill_qty_and_price_positive"),
            models.CheckConstraint(condition=Q(liquidity__in=Liquidity.values), name="fill_liquidity_known"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.qty} @ {self.price}"
