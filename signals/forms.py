"""What people type: filters of the signal list, and their own strategy configuration."""

from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.conf import settings
from django.db.models import QuerySet

from exchanges.models import Market, Venue
from signals import learners, processing
from signals.models import SignalSide, SignalStatus, StrategyConfig
from signals.models.strategy import RISK_CHOICES
from signals.ports import Template
from signals.training.params import BASE_TIMEFRAMES, TrainingParams, barriers
from traderai.lib.errors import UserError

DEFAULTS = TrainingParams()
PLAN = DEFAULTS.plan_config


def scanned_symbols() -> list[str]:
    """Symbols of the markets that a scan looks at."""
    return sorted(set(Market.objects.with_candles().around_the_clock().values_list("symbol", flat=True)))


class SignalFilterForm(forms.Form):
    """The query string of the signal list."""

    symbol = forms.ChoiceField(required=False, label="Market")
    side = forms.ChoiceField(required=False, choices=[("", "Both sides"), *SignalSide.choices])
    status = forms.ChoiceField(required=False, choices=[("", "Any status"), *SignalStatus.choices])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        symbol = cast("forms.ChoiceField", self.fields["symbol"])
        symbol.choices = [("", "All markets"), *((name, name) for name in scanned_symbols())]

    def narrow(self, rows: QuerySet) -> QuerySet:
        """`rows` of signals, or of rejections (which have no status), as the query string asks; none of them when it makes no sense."""
        if not self.is_valid():
            return rows.none()
        wanted = {
            "market__symbol": self.cleaned_data["symbol"],
            "side": self.cleaned_data["side"],
            "status": self.cleaned_data.get("status"),
        }
        return rows.filter(**{field: value for field, value in wanted.items() if value})


class RejectionFilterForm(SignalFilterForm):
    """The same for rejected candidates: a reason instead of a status."""

    status = None  # type: ignore[assignment]
    code = forms.ChoiceField(required=False, label="Reason", choices=[("", "Any reason"), *processing.REJECTION_CODES.items()])

    def narrow(self, rows: QuerySet) -> QuerySet:
        narrowed = super().narrow(rows)
        code = self.cleaned_data.get("code")
        return narrowed.filter(code=code) if code else narrowed


class FeatureFilterForm(forms.Form):
    """The query string of the feature catalogue: a family, and a word anywhere in an entry."""

    family = forms.ChoiceField(required=False)
    q = forms.CharField(required=False, max_length=60, label="Search", widget=forms.TextInput(attrs={"type": "search"}))

    def __init__(self, *args: Any, families: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        family = cast("forms.ChoiceField", self.fields["family"])
        family.choices = [("", "All families"), *((name, name.replace("_", " ").capitalize()) for name in families)]


class StrategyConfigForm(forms.ModelForm):
    """A user's configuration of one template."""

    symbols = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="Markets", help_text="None ticked: every market that is scanned."
    )
    risk_profile = forms.ChoiceField(
        choices=RISK_CHOICES, help_text="How much of the account one position may risk, and with how much leverage."
    )

    class Meta:
        model = StrategyConfig
        fields = ["name", "symbols", "risk_profile", "min_confidence"]
        labels = {"min_confidence": "Least probability"}

    def __init__(self, *args: Any, user: Any, template: Template, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.user = user
        self.instance.template = template.slug
        floor = processing.entry_rule(template).min_confidence
        chosen = set(self.instance.symbols or [])
        symbols = cast("forms.MultipleChoiceField", self.fields["symbols"])
        symbols.choices = [(name, name) for name in sorted({*scanned_symbols(), *chosen})]
        self.fields["min_confidence"] = forms.FloatField(
            label="Least probability",
            min_value=floor,
            max_value=1.0,
            step_size=None,
            widget=forms.NumberInput(attrs={"step": "0.01"}),
            help_text=f"A signal is taken when the calibrated probability that its first take-profit comes before the stop is at least this: {floor:.2f} to 1.",
        )
        if self.instance.pk is None:
            self.initial.setdefault("min_confidence", floor)
            self.initial.setdefault("name", template.name)
            self.initial.setdefault("risk_profile", user.profile.risk_profile)

    def clean_name(self) -> str:
        """The model's unique constraint includes the owner, whom the form does not show."""
        name: str = self.cleaned_data["name"]
        taken = StrategyConfig.objects.for_user(self.instance.user).filter(name=name).exclude(pk=self.instance.pk)
        if taken.exists():
            raise forms.ValidationError("You already have a configuration of this name: choose another one.")
        return name


class LearnerBoxes(forms.CheckboxSelectMultiple):
    """A box for every kind of learner; those whose libraries are missing here cannot be ticked."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        if not learners.is_installed(value):
            option["attrs"]["disabled"] = True
        return option


def learner_choices() -> list[tuple[str, str]]:
    """Every kind with a word on it, and what to do about one that is not installed."""
    words = {kind: f"{kind}: {word}" for kind, word in learners.WORDS.items()}
    return [(kind, word if learners.is_installed(kind) else f"{word} ({learners.REMEDY})") for kind, word in words.items()]


class StartTrainingForm(forms.Form):
    """What staff want a model trained on. Parameters that are not asked for here keep their defaults."""

    venue = forms.ChoiceField()
    symbols = forms.MultipleChoiceField(
        label="Markets with candles",
        widget=forms.CheckboxSelectMultiple,
        help_text="Candles of different origin (a venue's, a file's, a generated market's) are never mixed in one training.",
        error_messages={"required": "Choose at least one market."},
    )
    learners = forms.MultipleChoiceField(
        choices=learner_choices,
        initial=list(DEFAULTS.learners),
        widget=LearnerBoxes,
        help_text="Those ticked are blended, each with the weight that its predictions out of fold earn.",
        error_messages={"required": "Choose at least one learner."},
    )
    timeframe = forms.ChoiceField(choices=[(name, name) for name in BASE_TIMEFRAMES], initial=settings.BASE_TIMEFRAME)
    folds = forms.IntegerField(initial=DEFAULTS.folds, help_text="Walk-forward blocks, 2 to 10.")
    stride = forms.IntegerField(initial=DEFAULTS.stride, help_text="A sample every so many bars, 1 to 96.")
    plan = forms.CharField(
        label="Barriers",
        required=False,
        max_length=60,
        help_text=f"Stop, TP1, TP2, TP3 in ATR of {PLAN.atr_timeframe} bars, such as 1, 1, 2, 3. Empty: the platform's {PLAN.stop_atr:g}, "
        f"{PLAN.tp1_atr:g}, {PLAN.tp2_atr:g}, {PLAN.tp3_atr:g}. Signals of the model have them, too.",
    )
    rounds = forms.IntegerField(initial=DEFAULTS.rounds, help_text="Most trees of a learner, or passes over the data, 5 to 2,000.")
    trials = forms.IntegerField(
        label="Settings tried",
        initial=DEFAULTS.trials,
        required=False,
        help_text="How many parameter sets, barriers or seeds this one was chosen from, itself included: they deflate its Sharpe ratio.",
    )
    scope = forms.CharField(
        initial=DEFAULTS.scope, max_length=40, help_text="One model of a scope is its champion and decides; others compete with it."
    )
    alongside = forms.BooleanField(required=False, label="Start even if a training of the same scope and markets is not over")

    def __init__(self, *args: Any, venue: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        usable = Market.objects.with_candles().around_the_clock()
        venues = dict(Venue.objects.filter(markets__in=usable).distinct().order_by("name").values_list("slug", "name"))
        chosen = venue if venue in venues else settings.DEFAULT_VENUE if settings.DEFAULT_VENUE in venues else next(iter(venues), "")
        self.fields["venue"].choices = list(venues.items())  # type: ignore[attr-defined]
        self.fields["venue"].initial = chosen
        symbols = usable.filter(venue__slug=chosen).order_by("symbol").values_list("symbol", flat=True)
        self.fields["symbols"].choices = [(symbol, symbol) for symbol in symbols]  # type: ignore[attr-defined]

    def order(self) -> dict[str, Any]:
        """What signals.training.start is asked for."""
        tried = self.cleaned_data["trials"]
        params = self._params() | {"trials": DEFAULTS.trials if tried is None else tried}
        return {"params": params, **{name: self.cleaned_data[name] for name in ("symbols", "alongside")}}

    def clean_plan(self) -> dict[str, Any]:
        try:
            return barriers(self.cleaned_data["plan"])
        except UserError as error:
            raise forms.ValidationError(error.message) from error

    def _params(self) -> dict[str, Any]:
        names = ("venue", "learners", "timeframe", "folds", "stride", "plan", "rounds", "scope")
        return {name: self.cleaned_data[name] for name in names}


class StartSearchForm(StartTrainingForm):
    """What staff want better parameters for."""

    alongside = None  # type: ignore[assignment]
    trials = forms.IntegerField(initial=50, help_text="Combinations to try, 1 to 1,000.")
    workers = forms.IntegerField(initial=1, help_text="Trials at once, on all machines, 1 to 32.")

    def order(self) -> dict[str, Any]:
        """What signals.search.start is asked for."""
        return {"params": self._params(), **{name: self.cleaned_data[name] for name in ("symbols", "trials", "workers")}}


class ResumeSearchForm(forms.Form):
    """How many trials a search shall have beyond those it was to have."""

    more_trials = forms.IntegerField(required=False, min_value=0, max_value=1_000, initial=0, label="More trials")
