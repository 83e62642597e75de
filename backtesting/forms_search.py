from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.conf import settings

from backtesting import searches
from backtesting.combos import ranking
from backtesting.combos.space import PLAN, known_parameters
from backtesting.forms_engine import EngineForm
from backtesting.models import Method, Walk
from exchanges.models import Market
from signals.models.strategy import RISK_CHOICES
from signals.rules import Parameter, RuleStrategy

BOUNDS = ("low", "high", "step")
BOUND_WORDS = {"low": "from", "high": "to", "step": "step"}


class SearchForm(EngineForm):
    """What a search may vary and where. The service judges it again: the form is for a person's convenience.

    Every parameter has three fields, name_low, name_high and name_step; without a name_high it is fixed at name_low.
    """

    symbols = forms.MultipleChoiceField(
        label="Markets", widget=forms.CheckboxSelectMultiple, error_messages={"required": "Choose at least one market."}
    )
    capital = forms.DecimalField(
        label="Capital",
        min_value=1,
        max_digits=12,
        decimal_places=2,
        help_text="Starting equity in quote currency, such as USDT.",
        error_messages={"min_value": "Enter at least %(limit_value)s.", "invalid": "Enter an amount, such as 100 or 2500.50."},
    )
    risk_profile = forms.ChoiceField(label="Risk profile", choices=RISK_CHOICES)
    start = forms.DateField(
        label="From",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Empty: from the oldest candle.",
    )
    end = forms.DateField(
        label="Until",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="That day is not included. Empty: up to the newest candle.",
    )
    objective = forms.ChoiceField(label="Best by", choices=list(ranking.OBJECTIVES.items()))
    least_trades = forms.IntegerField(
        label="Fewest trades", min_value=1, initial=30, help_text="A combination with fewer is counted, but cannot be the best."
    )
    method = forms.ChoiceField(label="Try", choices=Method.choices)
    trials = forms.IntegerField(
        label="How many",
        required=False,
        min_value=10,
        max_value=searches.MOST_TRIALS,
        help_text="Only for a search that learns. Empty: 200.",
    )
    walk = forms.ChoiceField(
        label="Walk-forward test",
        choices=Walk.choices,
        initial=Walk.ROLLING,
        help_text="The verdict comes from it alone: the best of each stretch is tried on the bars that follow.",
    )
    train_days = forms.IntegerField(label="Days to choose on", min_value=1, max_value=searches.MOST_DAYS, initial=180)
    test_days = forms.IntegerField(label="Days to judge on", min_value=1, max_value=searches.MOST_DAYS, initial=60)

    def __init__(self, *args: Any, rule: RuleStrategy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rule = rule
        markets = Market.objects.with_candles().around_the_clock().filter(venue__slug=settings.DEFAULT_VENUE).order_by("symbol")
        self.fields["symbols"].choices = [(market.symbol, market.symbol) for market in markets]  # type: ignore[attr-defined]
        for known in known_parameters(rule).values():
            for bound in BOUNDS:
                self.fields[f"{known.name}_{bound}"] = _field(known, bound)

    @property
    def ranges(self) -> list[dict[str, Any]]:
        """The rows of the rule's own parameters, for the template."""
        return [self._row(known) for known in self.rule.parameters]

    @property
    def plan_ranges(self) -> list[dict[str, Any]]:
        return [self._row(known) for known in PLAN]

    def space(self) -> dict[str, Any]:
        """What the service takes, from checked fields."""
        return space_of(self.rule, self.cleaned_data)

    def options(self) -> dict[str, Any]:
        """Everything else that the service takes."""
        names = ("symbols", "capital", "risk_profile", "objective", "least_trades", "method", "walk", "train_days", "test_days")
        chosen = {name: self.cleaned_data[name] for name in names}
        if chosen["method"] == Method.TPE:
            chosen["trials"] = self.cleaned_data["trials"]
        return chosen | {"engine": self.engine(), "start_ms": _ms(self.cleaned_data["start"]), "end_ms": _ms(self.cleaned_data["end"])}

    def field_of(self, culprit: str | None) -> str | None:
        """The field that a refusal is shown at."""
        if culprit in self.fields:
            return culprit
        return f"{culprit}_low" if f"{culprit}_low" in self.fields else None

    def _row(self, known: Parameter) -> dict[str, Any]:
        bounds = [self[f"{known.name}_{bound}"] for bound in BOUNDS]
        errors = [error for field in bounds for error in field.errors]
        return {"parameter": known, "bounds": bounds, "errors": errors}


def space_of(rule: RuleStrategy, given: Any) -> dict[str, Any]:
    """{parameter: value or range} from a mapping with name_low, name_high and name_step; what is empty is left out."""
    found: dict[str, Any] = {}
    for name in known_parameters(rule):
        low, high, step = (given.get(f"{name}_{bound}") for bound in BOUNDS)
        if low in (None, ""):
            continue
        if high in (None, "", low):
            found[name] = low
        else:
            found[name] = {"low": low, "high": high} | ({} if step in (None, "") else {"step": step})
    return found


def _field(known: Parameter, bound: str) -> forms.FloatField:
    low, high = known.usual or (known.default, None)
    initial = {"low": low, "high": high, "step": known.step}[bound]
    attrs = {"aria-label": f"{known.label}, {BOUND_WORDS[bound]}", "inputmode": "decimal", "step": "any"}
    return forms.FloatField(
        label=f"{known.label}, {BOUND_WORDS[bound]}",
        required=bound == "low",
        initial=None if initial is None else f"{initial:g}",
        widget=forms.NumberInput(attrs=attrs),
        error_messages={"required": f"{known.label}: give a value.", "invalid": f"{known.label}: give a number."},
    )


def _ms(day: date | None) -> int | None:
    return None if day is None else int(datetime.combine(day, time(), UTC).timestamp() * 1000)
