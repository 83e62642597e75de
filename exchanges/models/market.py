from dataclasses import replace
from itertools import pairwise
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from exchanges.costs import CostModel
from exchanges.models.venue import Venue
from exchanges.risk import tiers
from exchanges.risk.tiers import Tier


class MarketKind(models.TextChoices):
    SPOT = "spot", "Spot"
    PERPETUAL = "perpetual", "Perpetual future"
    EQUITY = "equity", "Share"


class Provenance(models.TextChoices):
    """Where a market's candles come from. One series never mixes two of them."""

    NONE = "none", "No candles yet"
    VENUE = "venue", "The venue's public API"
    FILE = "file", "Imported file"
    SIMULATED = "simulated", "SIMULATED MARKET"


class MarketQuerySet(models.QuerySet["Market"]):
    def active(self) -> "MarketQuerySet":
        return self.filter(is_active=True, venue__is_active=True)

    def with_candles(self) -> "MarketQuerySet":
        return self.active().exclude(provenance=Provenance.NONE)

    def around_the_clock(self) -> "MarketQuerySet":
        """Those that never close. Signals are made for them only: their features count hours, and a share's nights have none."""
        return self.exclude(kind=MarketKind.EQUITY)


def check_tiers(value: Any) -> None:
    """Raises ValidationError for tiers that are not [[notional, % of notional], ...] from 0 on, ascending in both."""
    is_table = isinstance(value, list) and all(
        isinstance(row, list) and len(row) == 2 and all(isinstance(part, int | float) and not isinstance(part, bool) for part in row)
        for row in value
    )
    if not is_table:
        raise ValidationError("Give pairs of a notional and a percentage, like [[0, 0.4], [50000, 0.5]].")
    if value and value[0][0] != 0:
        raise ValidationError("The first tier has to begin at a notional of 0.")
    if any(not 0.0 < percent < 100.0 for _, percent in value):
        raise ValidationError("Percentages have to be more than 0 and less than 100.")
    if any(not (low[0] < high[0] and low[1] < high[1]) for low, high in pairwise(value)):
        raise ValidationError("Each tier has to begin higher and ask for more than the one before it.")


class Market(models.Model):
    """One instrument on one venue, in ccxt's unified spelling: BTC/USDT:USDT is a linear perpetual, BTC/USDT is spot. Shares are spelled
    the same way, AAPL/USD on alpaca and RELIANCE/INR on zerodha, so that only `kind` tells them from spot."""

    venue = models.ForeignKey(Venue, models.PROTECT, related_name="markets")
    symbol = models.CharField(max_length=40)
    base = models.CharField(max_length=20)
    quote = models.CharField(max_length=20)
    kind = models.CharField(max_length=10, choices=MarketKind)
    tick_size = models.DecimalField(max_digits=24, decimal_places=12)
    step_size = models.DecimalField(max_digits=24, decimal_places=12)
    min_notional = models.DecimalField(max_digits=18, decimal_places=8, default=5)
    contract_size = models.DecimalField(max_digits=24, decimal_places=12, default=1, help_text="Base coins in one contract.")
    max_leverage = models.PositiveSmallIntegerField(default=20)
    maintenance_margin_pct = models.FloatField(default=0.5, help_text="Maintenance margin of the first tier, % of notional.")
    maintenance_tiers = models.JSONField(
        default=list,
        blank=True,
        validators=[check_tiers],
        help_text="Tiers as the venue publishes them: [[0, 0.4], [50000, 0.5], [600000, 1]] is 0.4 % of notional, 0.5 % from 50,000 on, and so on. Empty: the first tier's percentage for every size.",
    )
    provenance = models.CharField(max_length=10, choices=Provenance, default=Provenance.NONE)
    is_active = models.BooleanField(default=True)

    objects = MarketQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["venue", "symbol"], name="market_unique_on_its_venue"),
            models.CheckConstraint(condition=models.Q(tick_size__gt=0, step_size__gt=0, contract_size__gt=0), name="market_steps_positive"),
            models.CheckConstraint(condition=models.Q(kind__in=MarketKind.values), name="market_kind_known"),
            models.CheckConstraint(condition=models.Q(provenance__in=Provenance.values), name="market_provenance_known"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} on {self.venue_id}"

    @property
    def costs(self) -> CostModel:
        """What trading here costs: the venue's fees, the default slippage, and the default funding where there is any."""
        fees = CostModel(maker_bps=self.venue.maker_bps, taker_bps=self.venue.taker_bps)
        return replace(fees, funding_bps_per_hour=0.0) if self.is_cash else fees

    @property
    def is_cash(self) -> bool:
        """Paid in full: what is not owned cannot be sold, and nothing is borrowed, funded or liquidated."""
        return self.kind != MarketKind.PERPETUAL

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Its maintenance tiers; none where nothing is liquidated."""
        if self.is_cash:
            return ()
        return tiers.joined([(floor, percent / 100.0) for floor, percent in self.maintenance_tiers or [(0.0, self.maintenance_margin_pct)]])

    @property
    def has_sessions(self) -> bool:
        """Whether it closes: at night, on weekends, on holidays."""
        return self.kind == MarketKind.EQUITY

    @property
    def default_funding(self) -> float:
        """What an hour of holding costs where no rate is stored, as a fraction of notional; what is paid in full has no funding."""
        return self.costs.funding_bps_per_hour * 1e-4

    @property
    def is_simulated(self) -> bool:
        return self.provenance == Provenance.SIMULATED
