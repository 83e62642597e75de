"""How a run is simulated, as fields of its form. What is left empty is as usual."""

from typing import Any

from django import forms

from backtesting.engine import CHOICES, RANGES, Engine

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
    "adaptive": "Adaptive: the side nearer to the open first",
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


class EngineForm(forms.Form):
    """The settings of backtesting.engine beside a form's own fields. The service judges them again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, usual in Engine().to_json().items():
            self.fields[name] = _setting(name, usual)

    @property
    def settings(self) -> list[forms.BoundField]:
        return [self[name] for name in LABELS]

    @property
    def others(self) -> list[forms.BoundField]:
        """The form's own fields: where, when and how much."""
        return [self[name] for name in self.base_fields]

    @property
    def has_bad_setting(self) -> bool:
        return any(field.errors for field in self.settings)

    def engine(self) -> dict[str, Any]:
        """What was given, as Engine.parse takes it."""
        return {name: value for name in LABELS if (value := self.cleaned_data[name]) not in (None, "")}


def _setting(name: str, usual: Any) -> forms.Field:
    label, help_text = LABELS[name]
    if name in CHOICES:
        choices = [(word, WORDS[word]) for word in CHOICES[name]]
        return forms.ChoiceField(label=label, choices=choices, initial=usual, required=False, help_text=help_text)
    low, high = RANGES[name]
    return forms.FloatField(
        label=label,
        initial=f"{usual:g}",
        required=False,
        help_text=f"{help_text} {low:g} to {high:g}.".strip(),
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "any"}),
        error_messages={"invalid": "Give a number."},
    )
