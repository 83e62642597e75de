from typing import Any

from django import forms

from backtesting.combos.space import PLAN, known_parameters
from backtesting.forms import BacktestForm
from signals.rules import Parameter, RuleStrategy


class RuleBacktestForm(BacktestForm):
    """A run of a rule strategy: its parameters, its plan, and how it is simulated. The service judges them again."""

    def __init__(self, *args: Any, rule: RuleStrategy, **kwargs: Any) -> None:
        super().__init__(*args, model=None, **kwargs)
        self.rule = rule
        self.fields["start"].help_text = "Empty: from the oldest candle."
        for known in known_parameters(rule).values():
            self.fields[known.name] = _number(known)

    @property
    def parameters(self) -> list[forms.BoundField]:
        return [self[known.name] for known in self.rule.parameters]

    @property
    def plan(self) -> list[forms.BoundField]:
        return [self[known.name] for known in PLAN]

    @property
    def has_bad_plan(self) -> bool:
        return any(field.errors for field in self.plan)

    def strategy_params(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in known_parameters(self.rule)}


def _number(known: Parameter) -> forms.FloatField:
    return forms.FloatField(
        label=known.label,
        initial=f"{known.default:g}",
        help_text=f"{known.unit}, {known.low:g} to {known.high:g}".capitalize(),
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "any"}),
        error_messages={"required": "Give a value.", "invalid": "Give a number."},
    )
