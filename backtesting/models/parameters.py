from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from exchanges.risk.profiles import PROFILES
from signals.models.strategy import RISK_CHOICES
from traderai.lib.jobs import UNFINISHED, Job, JobStatus

if TYPE_CHECKING:
    from backtesting.models.run import BacktestRun


class ParameterSearchQuerySet(models.QuerySet["ParameterSearch"]):
    def for_user(self, user: object) -> "ParameterSearchQuerySet":
        return self.filter(user=user)

    def unfinished(self) -> "ParameterSearchQuerySet":
        return self.filter(status__in=UNFINISHED)

    def same_chance(self, search: "ParameterSearch") -> "ParameterSearchQuerySet":
        """Searches whose best competes with that of `search`, itself among them: the same person's, of the same strategy, over time they share.

        Whoever searches three times and takes the best result has tried everything in all three.
        """
        return self.of_the_same(search, search.start_ms, search.end_ms)

    def of_the_same(self, job: "ParameterSearch | BacktestRun", start_ms: int, end_ms: int) -> "ParameterSearchQuerySet":
        """Searches of the person and the strategy of a search or a run, over time that they share with start_ms to end_ms."""
        shared = self.for_user(job.user).filter(strategy=job.strategy, provenance=job.provenance)
        return shared.filter(start_ms__lt=end_ms, end_ms__gt=start_ms)

    def walks(self) -> int:
        """Different walk-forward tests among them: one that is asked for again with the same settings is none more."""
        settings_ = ("space", "method", "wanted", "seed", "objective", "least_trades", "walk", "train_days", "test_days")
        asked = self.exclude(walk=Walk.NONE)
        return asked.values(*settings_, "venue_slug", "symbols", "risk_profile", "engine").distinct().count()


class Method(models.TextChoices):
    GRID = "grid", "Every combination"
    TPE = "tpe", "As many as chosen, each learning from those before"


class Walk(models.TextChoices):
    NONE = "none", "No walk-forward"
    ROLLING = "rolling", "Rolling: every training as long as the first"
    ANCHORED = "anchored", "Anchored: every training from the start on"


class ParameterSearch(Job):
    """One search for a rule strategy's parameters: what it may vary, where, by which objective, and what came of it. Never removed: its
    trials count against every later best."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="parameter_searches")
    strategy = models.SlugField(help_text="A key of signals.rules.")
    space = models.JSONField(help_text="{parameter: {low, high, step}}")
    method = models.CharField(max_length=4, choices=Method, default=Method.GRID)
    objective = models.CharField(max_length=20, help_text="A key of backtesting.combos.ranking.OBJECTIVES.")
    least_trades = models.PositiveIntegerField(help_text="A combination with fewer is tried and counted, but cannot be the best.")
    wanted = models.PositiveIntegerField(help_text="Combinations to try.")
    tried = models.PositiveIntegerField(default=0)
    seed = models.PositiveIntegerField(default=7)
    walk = models.CharField(max_length=8, choices=Walk, default=Walk.NONE)
    train_days = models.PositiveIntegerField(default=180)
    test_days = models.PositiveIntegerField(default=60)
    venue_slug = models.CharField(max_length=50)
    symbols = models.JSONField()
    timeframe = models.CharField(max_length=3)
    capital = models.DecimalField(max_digits=18, decimal_places=2)
    risk_profile = models.CharField(max_length=6, choices=RISK_CHOICES)
    engine = models.JSONField(default=dict, blank=True, help_text="How it is simulated, as backtesting.engine takes it.")
    start_ms = models.BigIntegerField(help_text="Open of the first bar.")
    end_ms = models.BigIntegerField(help_text="Close of the last bar.")
    provenance = models.CharField(max_length=10, blank=True)
    code_version = models.CharField(max_length=80, blank=True)
    result = models.JSONField(default=dict, blank=True, help_text="backtesting.searches.findings, once it is done.")

    objects = ParameterSearchQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "parameter searches"
        constraints = [
            models.CheckConstraint(condition=Q(capital__gt=0), name="parameter_search_capital_positive"),
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="parameter_search_status_known"),
            models.CheckConstraint(condition=Q(risk_profile__in=list(PROFILES)), name="parameter_search_risk_profile_known"),
            models.CheckConstraint(condition=Q(progress__gte=0, progress__lte=1), name="parameter_search_progress_0_to_1"),
            models.CheckConstraint(condition=Q(method__in=Method.values), name="parameter_search_method_known"),
            models.CheckConstraint(condition=Q(walk__in=Walk.values), name="parameter_search_walk_known"),
            models.CheckConstraint(condition=Q(wanted__gte=1), name="parameter_search_wants_a_trial"),
            models.CheckConstraint(condition=Q(start_ms__lt=models.F("end_ms")), name="parameter_search_span_not_empty"),
        ]

    def __str__(self) -> str:
        return f"parameter search {self.pk} ({self.status})"

    @property
    def currency(self) -> str:
        """What capital and money are counted in: the markets' quote currency, each one's when they differ."""
        return "/".join(sorted({symbol.partition(":")[0].rpartition("/")[2] for symbol in self.symbols}))


class TrialBatch(models.Model):
    """Combinations that were evaluated together. They are kept as columns: thousands of rows would cost more than the simulations."""

    search = models.ForeignKey(ParameterSearch, models.CASCADE, related_name="batches")
    window = models.PositiveIntegerField(
        default=0, help_text="0: on the whole span; else on the training of the window with this number, counted from 1."
    )
    number = models.PositiveIntegerField(help_text="0, 1, 2 and so on within the search and window.")
    params = models.JSONField(help_text="A list of values for each combination, in the order of the search's space.")
    figures = models.JSONField(
        help_text="{figure: [a value for each combination]}, of backtesting.combos.ranking.Results; null: not defined."
    )

    class Meta:
        verbose_name_plural = "trial batches"
        constraints = [models.UniqueConstraint(fields=["search", "window", "number"], name="trial_batch_number_unique")]

    def __str__(self) -> str:
        return f"batch {self.number} of search {self.search_id}"
