from django.conf import settings
from django.db import models
from django.db.models import F, Q

from exchanges.models.venue import Venue
from traderai.lib.jobs import JobStatus


class BackfillJob(models.Model):
    """History of several markets, fetched page by page. `checkpoints` is committed together with the candles it speaks of.

    Keys of `checkpoints` and `errors` are symbols, and "SYMBOL funding" for funding rates.
    """

    venue = models.ForeignKey(Venue, models.PROTECT)
    symbols = models.JSONField()
    timeframe = models.CharField(max_length=3)
    since_ms = models.BigIntegerField()
    until_ms = models.BigIntegerField()
    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.QUEUED)
    checkpoints = models.JSONField(default=dict, help_text="{key: open of the next bar to fetch, ms}")
    starts = models.JSONField(
        default=dict,
        blank=True,
        help_text="{symbol: open of the venue's first bar, ms; null: it has none} where that had to be looked for.",
    )
    errors = models.JSONField(default=dict, blank=True, help_text="{key: why it stopped}")
    error = models.TextField(blank=True)
    rows_written = models.PositiveBigIntegerField(default=0)
    requests = models.PositiveBigIntegerField(default=0, help_text="Questions put to the venue, tries included.")
    rows_per_s = models.FloatField(null=True, blank=True, help_text="Candles a second over the last minute of work.")
    eta_s = models.FloatField(null=True, blank=True, help_text="Seconds left at the pace of the last minute of work.")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(
        null=True, blank=True, help_text="The worker's sign of life, and what proves that the job is its own."
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="backfill_status_known"),
            models.CheckConstraint(condition=Q(until_ms__gt=F("since_ms")), name="backfill_until_after_since"),
            models.CheckConstraint(condition=~Q(status="running") | Q(heartbeat_at__isnull=False), name="backfill_running_has_a_heart"),
        ]

    def __str__(self) -> str:
        return f"backfill {self.pk} ({self.status})"

    @property
    def progress(self) -> float:
        """Share of the asked time that is done, 0 to 1, over all symbols."""
        if self.status == JobStatus.DONE:
            return 1.0
        return sum(self.progress_of(symbol) for symbol in self.symbols) / max(len(self.symbols), 1)

    def progress_of(self, symbol: str) -> float:
        """The same for the candles of one symbol."""
        if self.status == JobStatus.DONE:
            return 1.0
        reached_ms = self.checkpoints.get(symbol, self.since_ms)
        return max(0.0, min(1.0, (reached_ms - self.since_ms) / (self.until_ms - self.since_ms)))
