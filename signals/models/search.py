from django.conf import settings
from django.db import models
from django.db.models import Q

from exchanges.models import JobStatus


class Search(models.Model):
    """One hyper-parameter search: trials of the same training with other learner parameters, asked for by a sampler that knows the earlier ones."""

    symbols = models.JSONField()
    params = models.JSONField(help_text="TrainingParams of every trial, less the tuning.")
    trials_wanted = models.PositiveIntegerField()
    workers = models.PositiveIntegerField(default=1, help_text="How many trials may run at once, on any number of machines.")
    seed = models.PositiveIntegerField(default=7)
    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.QUEUED)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "searches"
        constraints = [
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="search_status_known"),
            models.CheckConstraint(condition=Q(trials_wanted__gte=1, workers__gte=1), name="search_wants_a_trial"),
        ]

    def __str__(self) -> str:
        return f"search {self.pk} ({self.status})"


class TrialState(models.TextChoices):
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    PRUNED = "pruned", "Pruned: worse than the others half way"
    FAILED = "failed", "Failed"
    LOST = "lost", "Cut short: cancelled, or its process died; the same parameters are tried again"


class SearchTrial(models.Model):
    """One combination. `value` is the out-of-fold skill over `folds`, its course; a pruned trial has the skill it had reached."""

    search = models.ForeignKey(Search, models.CASCADE, related_name="trials")
    number = models.PositiveIntegerField()
    tuning = models.JSONField(help_text="{learner: {parameter: value}}")
    state = models.CharField(max_length=8, choices=TrialState, default=TrialState.RUNNING)
    folds = models.JSONField(default=list, help_text="Skill of each fold so far.")
    value = models.FloatField(null=True, blank=True, help_text="Mean skill of the folds; more is better, 0 is as good as the base rate.")
    sharpe = models.FloatField(
        null=True,
        blank=True,
        help_text="Of the daily net results of its out-of-fold trades, not annualised; empty when it was cut short or hardly traded.",
    )
    error = models.TextField(blank=True)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["search", "number"], name="search_trial_number_unique"),
            models.CheckConstraint(condition=Q(state__in=TrialState.values), name="search_trial_state_known"),
        ]

    def __str__(self) -> str:
        return f"trial {self.number} of search {self.search_id} ({self.state})"


class SearchLog(models.Model):
    """The sampler's memory: Optuna's journal, one operation a row, in order."""

    search = models.ForeignKey(Search, models.CASCADE, related_name="journal")
    number = models.PositiveIntegerField()
    operation = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["search", "number"], name="search_log_number_unique")]
