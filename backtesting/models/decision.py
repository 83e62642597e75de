from django.db import models
from django.db.models import Q

from backtesting.models.run import BacktestRun
from signals.models import ModelVersion


class Verdict(models.TextChoices):
    PROMOTED = "promoted", "Candidate promoted"
    STAYED = "stayed", "Champion stays"
    UNTOLD = "untold", "Could not be compared"


class GateDecision(models.Model):
    """One comparison of a candidate with the champion, with the numbers it was decided by. Results are after costs, in % of the balance, a day."""

    candidate = models.ForeignKey(ModelVersion, models.CASCADE, related_name="gate_decisions")
    champion = models.ForeignKey(ModelVersion, models.CASCADE, related_name="+")
    candidate_run = models.ForeignKey(BacktestRun, models.SET_NULL, null=True, blank=True, related_name="+")
    champion_run = models.ForeignKey(BacktestRun, models.SET_NULL, null=True, blank=True, related_name="+")
    verdict = models.CharField(max_length=10, choices=Verdict)
    reason = models.TextField()
    start_ms = models.BigIntegerField(null=True, blank=True, help_text="Open of the first bar that both simulated.")
    end_ms = models.BigIntegerField(null=True, blank=True, help_text="Close of the last one.")
    attempt = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Which test against this champion it was: luck gets as many chances. Empty when there was too little to test.",
    )
    level = models.FloatField(
        null=True,
        blank=True,
        help_text="What p had to reach: less with every test, so that all of them together seldom replace a champion by luck.",
    )
    candidate_trades = models.PositiveIntegerField(null=True, blank=True)
    champion_trades = models.PositiveIntegerField(null=True, blank=True)
    days = models.PositiveIntegerField(null=True, blank=True)
    mean = models.FloatField(null=True, blank=True, help_text="Mean daily difference, candidate less champion.")
    low = models.FloatField(null=True, blank=True, help_text="One-sided 95 % bound of it: above 0, the candidate is better.")
    high = models.FloatField(null=True, blank=True)
    p_value = models.FloatField(null=True, blank=True)
    block_days = models.FloatField(null=True, blank=True, help_text="Mean length of the bootstrap's blocks.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(verdict__in=Verdict.values), name="gate_verdict_known")]

    def __str__(self) -> str:
        return f"gate decision {self.pk} ({self.verdict})"


class WatchLook(models.Model):
    """One look at a promoted champion, on time after the promotion: its log loss, mean by day, beside that of the one it replaced, and what its
    signals earned, in % of notional after costs, beside what it was promoted on."""

    champion = models.ForeignKey(ModelVersion, models.CASCADE, related_name="looks")
    former = models.ForeignKey(ModelVersion, models.CASCADE, related_name="+")
    number = models.PositiveSmallIntegerField()
    start_ms = models.BigIntegerField(help_text="The promotion.")
    end_ms = models.BigIntegerField()
    rows = models.PositiveIntegerField()
    days = models.PositiveIntegerField()
    mean = models.FloatField(null=True, blank=True, help_text="Mean daily loss, champion less former: above 0, the champion is worse.")
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)
    p_value = models.FloatField(null=True, blank=True)
    signals = models.PositiveIntegerField(default=0, help_text="Its signals whose positions their plan has closed.")
    realised_pct = models.FloatField(null=True, blank=True, help_text="Mean of the days' mean net results of these signals.")
    promised_pct = models.FloatField(null=True, blank=True, help_text="Lower 95 % bound of a trade's mean net result, out of sample.")
    realised_p = models.FloatField(null=True, blank=True, help_text="Chance of results as low as these if the promise were true.")
    level = models.FloatField(help_text="What either p had to reach for a rollback.")
    is_worse = models.BooleanField(help_text="It was rolled back because of this.")
    reason = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["champion", "former", "number"], name="watch_each_look_once")]

    def __str__(self) -> str:
        return f"look {self.number} at model {self.champion_id}"
