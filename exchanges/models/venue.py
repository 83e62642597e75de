from django.db import models


class Venue(models.Model):
    """A place that lists markets and, with credentials, takes orders. Its driver is found by slug in exchanges.venues.registry."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=60)
    maker_bps = models.FloatField(default=2.0, help_text="Fee of a resting order, in basis points of notional.")
    taker_bps = models.FloatField(default=5.0, help_text="Fee of an order that takes liquidity, in basis points of notional.")
    is_active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name
