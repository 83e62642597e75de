from django.conf import settings
from django.db import models
from django.db.models import Q

from signals.plan import PlanConfig
from traderai.lib.jobs import Job, JobStatus


class ModelStatus(models.TextChoices):
    CANDIDATE = "candidate", "Candidate"
    CHAMPION = "champion", "Champion"
    ARCHIVED = "archived", "Archived"
    REFUSED = "refused", "Refused"


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def champion(self, scope: str = "default") -> "ModelVersion | None":
        """The newest champion of a scope."""
        return self.filter(scope=scope, status=ModelStatus.CHAMPION).order_by("-id").first()


class ModelVersion(models.Model):
    """A trained ensemble. The artefact folder holds files in open formats and manifest.json; rows name its SHA-256."""

    scope = models.CharField(max_length=40, default="default")
    version = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=ModelStatus, default=ModelStatus.CANDIDATE)
    timeframe = models.CharField(max_length=3)
    venue_slug = models.CharField(max_length=50)
    symbols = models.JSONField()
    features = models.JSONField(help_text="Names, in the order the learners expect.")
    params = models.JSONField()
    metrics = models.JSONField(help_text="Out-of-fold, per fold and per symbol, each with span and sample size.")
    provenance = models.CharField(max_length=10, help_text="Provenance of the candles it learned from.")
    train_start_ms = models.BigIntegerField()
    train_end_ms = models.BigIntegerField(help_text="Open of the last bar whose label was used, ms UTC.")
    oos_start_ms = models.BigIntegerField(
        help_text="First bar that no part of training or calibration has seen: purge and embargo included."
    )
    data_hash = models.CharField(max_length=64)
    artefact = models.CharField(max_length=200, help_text="Folder below MODEL_DIR.")
    manifest_sha256 = models.CharField(max_length=64)
    reason = models.TextField(blank=True, help_text="Why it was promoted, refused or archived.")
    created_at = models.DateTimeField(auto_now_add=True)
    promoted_at = models.DateTimeField(null=True, blank=True)
    replaces = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The champion it took the place of as a candidate, and is watched against; empty for one that was brought back.",
    )

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "version"], name="model_version_unique_in_scope"),
            models.UniqueConstraint(fields=["scope"], condition=Q(status="champion"), name="model_one_champion_per_scope"),
            models.CheckConstraint(condition=Q(status__in=ModelStatus.values), name="model_status_known"),
            models.CheckConstraint(condition=Q(oos_start_ms__gt=models.F("train_end_ms")), name="model_out_of_sample_after_training"),
        ]

    def __str__(self) -> str:
        return f"{self.scope} v{self.version} ({self.status})"

    @property
    def plan(self) -> PlanConfig:
        """The trade plan that its labels followed, and that its signals have."""
        return PlanConfig.from_json(self.params.get("plan", {}))


class TrainingRun(Job):
    """One asked-for training: a job with progress. It ends with a model, or with an error that says what to do."""

    symbols = models.JSONField()
    params = models.JSONField(default=dict, blank=True)
    subject = models.CharField(max_length=64, blank=True, help_text="SHA-256 of scope, venue and symbols: what it is about.")
    is_alone = models.BooleanField(default=True, help_text="No second run with this subject and this mark waits or works beside it.")
    model = models.ForeignKey(ModelVersion, models.SET_NULL, null=True, blank=True, related_name="runs")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=300, blank=True, help_text="Why it was asked for, when nobody did.")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="training_status_known"),
            models.CheckConstraint(condition=Q(progress__gte=0, progress__lte=1), name="training_progress_0_to_1"),
            models.UniqueConstraint(
                fields=["subject"],
                condition=Q(status__in=["queued", "running"], is_alone=True) & ~Q(subject=""),
                name="training_one_at_a_time_for_a_subject",
            ),
        ]

    def __str__(self) -> str:
        return f"training {self.pk} ({self.status})"

    @property
    def scope(self) -> str:
        """Registry scope that its model is meant for."""
        return str(self.params.get("scope", "default"))


class TrainingLine(models.Model):
    """One line of a run's log. The oldest go when there are many: signals.training.KEPT_LINES."""

    run = models.ForeignKey(TrainingRun, models.CASCADE, related_name="lines")
    at = models.DateTimeField()
    text = models.CharField(max_length=500)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.text}"
