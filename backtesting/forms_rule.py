from typing import Any

from django import forms

from backtesting.combos.space import PLAN, known_parameters
from backtesting.engine import CHOICES, RANGES, Engine
from backtesting.forms import BacktestForm
from signals.rules import Parameter, RuleStrategy

LABELS = {
    "path": ("Path inside a bar", ""),
    "detail": ("Finer bars", "Decide what came first inside a bar, where they are stored."),
    "entry": ("Enter by", ""),
    "limit_offset": ("Limit better than the close by", "In ATR of 4h bars."),
    "limit_bars": ("Limit good for", "In bars."),
    "opposite": ("Opposite decision", ""),
    "sizing": ("Size by", ""),
    "notional_pct": ("Notional", "In % of equity, when the size goes by it."),
    "slippage_range_pct": ("Slippage by range", "In % of the bar's range, on top of the venue's constant."),
    "impact": ("Market impact", "Times the root of the order's share in the bar's turnover. 0: none."),
    "participation_pct": ("Most of a bar's volume", "In %. 0: no limit."),
    "max_joint_pct": ("Most in markets that move together", "Notional in % of equity. 0: no limit."),
    "liquidation_fee_pct": ("Liquidation fee", "In % of notional."),
}
WORDS = {
    "pessimistic": "Pessimistic: the stop first",
    "adaptive": "Adaptive: by where the bar opened and closed",
    "optimistic": "Optimistic: the target first",
    "market": "Market order at the next open",
    "limit": "Limit order",
    "keep": "Not entered while a position is open",
    "reverse": "Closes the position and is entered",
    "risk": "Risk: what the stop would lose",
    "notional": "Notional: a share of equity",
    "": "None",
    "1m": "1 minute",
    "5m": "5 minutes",
}


class RuleBacktestForm(BacktestForm):
    """A run of a rule strategy: its parameters, its plan, and how it is simulated. The service judges them again."""

    def __init__(self, *args: Any, rule: RuleStrategy, **kwargs: Any) -> None:
        super().__init__(*args, model=None, **kwargs)
        self.rule = rule
        self.fields["start"].help_text = "Empty: from the oldest candle."
        for known in known_parameters(rule).values():
            self.fields[known.name] = _number(known)
        for name, usual in Engine().to_json().items():
            self.fields[name] = _setting(name, usual)

    @property
    def parameters(self) -> list[forms.BoundField]:
        return [self[known.name] for known in self.rule.parameters]

    @property
    def plan(self) -> list[forms.BoundField]:
        return [self[known.name] for known in PLAN]

    @property
    def settings(self) -> list[forms.BoundField]:
        return [self[name] for name in LABELS]

    @property
    def others(self) -> list[forms.BoundField]:
        """Where, when and how much."""
        return [self[name] for name in self.base_fields]

    @property
    def has_bad_plan(self) -> bool:
        return any(field.errors for field in self.plan)

    @property
    def has_bad_setting(self) -> bool:
        return any(field.errors for field in self.settings)

    def strategy_params(self) -> dict[str, Any]:
        return self._given([*known_parameters(self.rule)])

    def engine(self) -> dict[str, Any]:
        return self._given([*LABELS])

    def _given(self, names: list[str]) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name] is not None}


def _number(known: Parameter) -> forms.FloatField:
    return forms.FloatField(
        label=known.label,
        initial=f"{known.default:g}",
        help_text=f"{known.unit}, {known.low:g} to {known.high:g}".capitalize(),
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "any"}),
        error_messages={"required": "Give a value.", "invalid": "Give a number."},
    )


def _setting(name: str, usual: Any) -> forms.Field:
    label, help_text = LABELS[name]
    if name in CHOICES:
        choices = [(word, WORDS[word]) for word in CHOICES[name]]
        return forms.ChoiceField(label=label, choices=choices, initial=usual, required=name != "detail", help_text=help_text)
    low, high = RANGES[name]
    return forms.FloatField(
        label=label,
        initial=f"{usual:g}",
        required=False,
        help_text=f"{help_text} {low:g} to {high:g}.".strip(),
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "any"}),
        error_messages={"invalid": "Give a number."},
    )
