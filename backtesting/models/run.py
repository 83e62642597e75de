from django.conf import settings
from django.db import models
from django.db.models import Q

from exchanges.risk.profiles import PROFILES
from signals import rules
from signals.models import ModelVersion
from signals.models.strategy import RISK_CHOICES
from traderai.lib.jobs import Job, JobStatus


class BacktestRunQuerySet(models.QuerySet["BacktestRun"]):
    def for_user(self, user: object) -> "BacktestRunQuerySet":
        return self.filter(user=user)


class BacktestRun(Job):
    """One simulation: its settings, its job state, its figures. Figures always come with span and sample size."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="backtests")
    model = models.ForeignKey(ModelVersion, models.PROTECT, null=True, blank=True, related_name="backtests")
    strategy = models.CharField(max_length=40, default="ml-ensemble", help_text="A template judged by a model, or a rule.")
    strategy_params = models.JSONField(default=dict, blank=True, help_text="A rule's parameters and its plan's multiples.")
    engine = models.JSONField(default=dict, blank=True, help_text="How it is simulated, as backtesting.engine takes it.")
    venue_slug = models.CharField(max_length=50)
    symbols = models.JSONField()
    timeframe = models.CharField(max_length=3)
    capital = models.DecimalField(max_digits=18, decimal_places=2)
    risk_profile = models.CharField(max_length=6, choices=RISK_CHOICES)
    params = models.JSONField(default=dict, blank=True, help_text="Costs, plan and entry rule as they were used.")
    requested_start_ms = models.BigIntegerField(null=True, blank=True)
    requested_end_ms = models.BigIntegerField(null=True, blank=True)
    start_ms = models.BigIntegerField(null=True, blank=True, help_text="Open of the first simulated bar.")
    end_ms = models.BigIntegerField(null=True, blank=True, help_text="Close of the last simulated bar.")
    provenance = models.CharField(max_length=10, blank=True)
    metrics = models.JSONField(default=dict, blank=True)
    equity = models.JSONField(
        default=dict, blank=True, help_text="{timestamps: [ms], equity: [...], drawdown_pct: [...]}, thinned for the chart."
    )

    data_hash = models.CharField(max_length=32, blank=True, help_text="BLAKE2b over every candle and funding rate that was read.")
    code_version = models.CharField(max_length=80, blank=True)
    repeats = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="repetitions", help_text="The run whose settings it repeats exactly."
    )
    comparison = models.JSONField(
        default=dict, blank=True, help_text="Of a repetition: whether its trades are the same, what differs, and what changed since."
    )

    objects = BacktestRunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(capital__gt=0), name="backtest_capital_positive"),
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="backtest_status_known"),
            models.CheckConstraint(condition=Q(risk_profile__in=list(PROFILES)), name="backtest_risk_profile_known"),
            models.CheckConstraint(condition=Q(progress__gte=0, progress__lte=1), name="backtest_progress_0_to_1"),
            models.CheckConstraint(condition=~Q(strategy=""), name="backtest_strategy_named"),
        ]

    def __str__(self) -> str:
        return f"backtest {self.pk} ({self.status})"

    @property
    def strategy_label(self) -> str:
        """What decided: the model with its version, or the rule with its own parameters."""
        if self.model is not None:
            return f"model version {self.model.version}"
        rule = rules.rule(self.strategy)
        own = ", ".join(f"{_inside(known.label)} {self.strategy_params[known.name]:g}" for known in rule.parameters)
        return f"{rule.name} ({own})"

    @property
    def currency(self) -> str:
        """What capital and money are counted in: the markets' quote currency, each one's when they differ."""
        return "/".join(sorted({symbol.partition(":")[0].rpartition("/")[2] for symbol in self.symbols}))


class BacktestTrade(models.Model):
    """One simulated position from entry to flat. Money in quote currency."""

    run = models.ForeignKey(BacktestRun, models.CASCADE, related_name="trades")
    number = models.PositiveIntegerField()
    symbol = models.CharField(max_length=40)
    side = models.CharField(max_length=5)
    signal_ms = models.BigIntegerField(help_text="Open of the bar that decided.")
    entry_ms = models.BigIntegerField(help_text="Open of the bar it was filled in.")
    exit_ms = models.BigIntegerField(help_text="Open of the bar that closed it.")
    entry_price = models.FloatField()
    exit_price = models.FloatField(help_text="Average over the partial exits, slippage included.")
    qty = models.FloatField()
    leverage = models.PositiveSmallIntegerField()
    stop = models.FloatField()
    tp1 = models.FloatField()
    tps_hit = models.PositiveSmallIntegerField()
    exit_reason = models.CharField(max_length=20)
    fees = models.FloatField()
    funding = models.FloatField()
    pnl = models.FloatField(help_text="Net of fees and funding.")
    pnl_pct = models.FloatField(help_text="Net, % of notional.")
    probability = models.FloatField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="backtest_trade_numbered_once")]

    def __str__(self) -> str:
        return f"trade {self.number} of run {self.run_id}"


def _inside(label: str) -> str:
    """A label in the middle of a sentence: abbreviations stay as they are."""
    return label if label.isupper() else label.lower()
