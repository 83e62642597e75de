from django.conf import settings
from django.db import models
from django.db.models import Q

from signals.models import ModelVersion
from traderai.lib.jobs import UNFINISHED, Job, JobStatus


class LookaheadCheckQuerySet(models.QuerySet["LookaheadCheck"]):
    def unfinished(self) -> "LookaheadCheckQuerySet":
        return self.filter(status__in=UNFINISHED)

    def newest(self, strategy: str, model: ModelVersion) -> "LookaheadCheck | None":
        """The last one asked for, whatever became of it."""
        return self.filter(strategy=strategy, model=model).select_related("model").order_by("-id").first()


class LookaheadCheck(Job):
    """One look at whether a strategy with a model knows the future or too little of the past: a job, and its findings. Only the newest is kept."""

    strategy = models.SlugField(help_text="A key of signals.strategies.")
    model = models.ForeignKey(ModelVersion, models.CASCADE, related_name="lookahead_checks")
    symbols = models.JSONField()
    timeframe = models.CharField(max_length=3)
    bars = models.PositiveIntegerField(help_text="The newest so many of each market.")
    cuts = models.PositiveSmallIntegerField(help_text="Ends at which the data of each market is cut off.")
    provenance = models.CharField(max_length=10, blank=True)
    passed = models.BooleanField(null=True, blank=True, help_text="Nothing moved.")
    findings = models.JSONField(
        default=dict, blank=True, help_text="{markets: [a backtesting.lookahead.Report each]}, times in ms, open of the bar."
    )
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")

    objects = LookaheadCheckQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="lookahead_status_known"),
            models.CheckConstraint(condition=Q(progress__gte=0, progress__lte=1), name="lookahead_progress_0_to_1"),
            models.UniqueConstraint(
                fields=["strategy", "model"], condition=Q(status__in=UNFINISHED), name="lookahead_one_unfinished_per_strategy_and_model"
            ),
        ]

    def __str__(self) -> str:
        return f"look-ahead check {self.pk} of {self.strategy} ({self.status})"
