from django.db import models
from django.db.models import Q

from signals.models.model import ModelVersion, TrainingRun


class DriftVerdict(models.TextChoices):
    STABLE = "stable", "As in training"
    DRIFTED = "drifted", "Drifted"
    UNKNOWN = "unknown", "Too little data to tell"


class DriftSource(models.TextChoices):
    TRAINING = "training", "stored at training"
    CANDLES = "candles", "computed from the candles of its training span"


class DriftReport(models.Model):
    """One look at one model: the newest bars of its markets against what it learned from."""

    model = models.ForeignKey(ModelVersion, models.CASCADE, related_name="drift_reports")
    day = models.DateField(help_text="Market day of the window's last bar, UTC.")
    start_ms = models.BigIntegerField()
    end_ms = models.BigIntegerField(help_text="Close of the window's last bar.")
    rows = models.PositiveIntegerField(help_text="Bars of all markets that were looked at.")
    source = models.CharField(max_length=10, choices=DriftSource, help_text="Where the reference is from.")
    verdict = models.CharField(max_length=10, choices=DriftVerdict)
    reason = models.TextField()
    tested = models.PositiveIntegerField(help_text="Columns with enough independent values.")
    different = models.PositiveIntegerField(help_text="Columns among them that differ.")
    limits = models.JSONField(help_text="{psi, ks, false_discovery, feature_share} as they were.")
    retrain = models.ForeignKey(
        TrainingRun, models.SET_NULL, null=True, blank=True, related_name="+", help_text="The training it asked for."
    )
    retrain_note = models.TextField(blank=True, help_text="Why it asked for none.")
    checked_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["model", "day"], name="drift_one_report_a_day"),
            models.CheckConstraint(condition=Q(verdict__in=DriftVerdict.values), name="drift_verdict_known"),
            models.CheckConstraint(condition=Q(source__in=DriftSource.values), name="drift_source_known"),
        ]

    def __str__(self) -> str:
        return f"drift of model {self.model_id} on {self.day} ({self.verdict})"


class DriftFeature(models.Model):
    """One column of a report: a feature, or one of the model's answers."""

    report = models.ForeignKey(DriftReport, models.CASCADE, related_name="features")
    name = models.CharField(max_length=60)
    is_prediction = models.BooleanField(default=False)
    psi = models.FloatField()
    ks = models.FloatField()
    p_value = models.FloatField(help_text="Of the KS test by independent values; 1 when it was not tested.")
    independent = models.FloatField(help_text="Independent values in the window.")
    is_tested = models.BooleanField()
    is_different = models.BooleanField()
    histogram = models.JSONField(help_text="{edges: [...], reference: [shares], current: [shares]}, one share more than edges.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["report", "name"], name="drift_feature_once_a_report")]

    def __str__(self) -> str:
        return f"{self.name} of report {self.report_id}"
