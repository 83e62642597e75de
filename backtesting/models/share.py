from typing import Any

from django.db import models
from django.db.models import Q

from backtesting.models.run import BacktestRun


class SharedLinkQuerySet(models.QuerySet["SharedLink"]):
    def live(self, now: Any) -> "SharedLinkQuerySet":
        """Those that have not expired."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))


class SharedLink(models.Model):
    """One address under which whoever has it reads a run's report. The address itself is not kept, only its hash."""

    run = models.ForeignKey(BacktestRun, models.CASCADE, related_name="links")
    token_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of what the address ends with.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: until it is revoked.")

    objects = SharedLinkQuerySet.as_manager()

    def __str__(self) -> str:
        return f"link {self.pk} to run {self.run_id}"
