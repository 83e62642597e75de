from django.db import models
from django.db.models import F, Q

from exchanges.models.market import Market


class GapState(models.TextChoices):
    OPEN = "open", "Open: it failed and will be asked for again"
    EMPTY = "empty", "Empty: the venue has no bars there"


class CandleGap(models.Model):
    """Missing bars of one stored series, as far as somebody has asked the venue for them. What is stored decides: a row whose bars
    have come goes. The time before the venue's first bar is no gap."""

    market = models.ForeignKey(Market, models.CASCADE, related_name="gaps")
    timeframe = models.CharField(max_length=3)
    first_ms = models.BigIntegerField(help_text="Open of the first missing bar, ms since the epoch, UTC.")
    last_ms = models.BigIntegerField(help_text="Open of the last missing bar.")
    state = models.CharField(max_length=5, choices=GapState)
    reason = models.TextField(blank=True, help_text="Why asking failed, for an open one.")
    checked_at = models.DateTimeField(help_text="When the venue was asked last.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["market", "timeframe", "first_ms"], name="candle_gap_begins_once"),
            models.CheckConstraint(condition=Q(state__in=GapState.values), name="candle_gap_state_known"),
            models.CheckConstraint(condition=Q(last_ms__gte=F("first_ms")), name="candle_gap_ends_after_it_begins"),
        ]

    def __str__(self) -> str:
        return f"{self.market_id} {self.timeframe} {self.first_ms}..{self.last_ms} ({self.state})"
