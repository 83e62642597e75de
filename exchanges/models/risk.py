from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from exchanges.models.venue import Venue


class SwitchLevel(models.TextChoices):
    RUN = "run", "Run"
    REDUCE_ONLY = "reduce_only", "Reduce only"
    STOP = "stop", "Stop: no new orders but protective ones"
    FLATTEN = "flatten", "Flatten: stop, and close every open position"


class KillSwitch(models.Model):
    """A latch for one user, one venue or (both empty) everybody. Read inside the order transactions, never cached."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True)
    venue = models.ForeignKey(Venue, models.CASCADE, null=True, blank=True)
    level = models.CharField(max_length=12, choices=SwitchLevel, default=SwitchLevel.RUN)
    reason = models.TextField(blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "kill switches"
        constraints = [
            models.UniqueConstraint(Coalesce(F("user"), 0), Coalesce(F("venue"), 0), name="kill_switch_one_per_scope"),
            models.CheckConstraint(condition=Q(level__in=SwitchLevel.values), name="kill_switch_level_known"),
        ]

    def __str__(self) -> str:
        return f"kill switch {self.pk}: {self.level}"

    @property
    def flattens(self) -> bool:
        return self.level == SwitchLevel.FLATTEN
