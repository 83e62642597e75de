from django.conf import settings
from django.db import models

from exchanges.models.venue import Venue


class JobStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class BackfillJob(models.Model):
    """History of several markets, fetched page by page. `checkpoints` is committed together with the candles it speaks of."""

    venue = models.ForeignKey(Venue, models.PROTECT)
    symbols = models.JSONField()
    timeframe = models.CharField(max_length=3)
    since_ms = models.BigIntegerField()
    until_ms = models.BigIntegerField()
    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.QUEUED)
    checkpoints = models.JSONField(default=dict, help_text="{symbol: open of the next bar to fetch, ms}")
    rows_written = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(status__in=JobStatus.values), name="backfill_status_known"),
            models.CheckConstraint(condition=models.Q(until_ms__gt=models.F("since_ms")), name="backfill_until_after_since"),
        ]

    def __str__(self) -> str:
        return f"backfill {self.pk} ({self.status})"

    @property
    def progress(self) -> float:
        """Share of the asked time that is done, 0 to 1, over all symbols."""
        span = (self.until_ms - self.since_ms) * max(len(self.symbols), 1)
        done = sum(min(self.checkpoints.get(symbol, self.since_ms), self.until_ms) - self.since_ms for symbol in self.symbols)
        return max(0.0, min(1.0, done / span))
