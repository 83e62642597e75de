from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.conf import settings

from exchanges.models import Market
from signals.models import ModelVersion
from signals.models.strategy import RISK_CHOICES
from traderai.lib import clock


class BacktestForm(forms.Form):
    """What to simulate. The service judges it again: the form is for a person's convenience."""

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
    start = forms.DateField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    end = forms.DateField(
        label="Until",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="That day is not included. Empty: up to the newest candle.",
    )

    def __init__(self, *args: Any, model: ModelVersion | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        markets = Market.objects.with_candles().around_the_clock().filter(venue__slug=settings.DEFAULT_VENUE).order_by("symbol")
        self.fields["symbols"].choices = [(market.symbol, market.symbol) for market in markets]  # type: ignore[attr-defined]
        if model is not None:
            first = clock.from_ms(model.oos_start_ms)
            self.fields["start"].help_text = f"Empty: from {first:%Y-%m-%d %H:%M} UTC, where the model's out-of-sample time begins."

    def span_ms(self) -> dict[str, int | None]:
        """start_ms and end_ms, each the first moment of its day (UTC)."""
        return {"start_ms": _ms(self.cleaned_data["start"]), "end_ms": _ms(self.cleaned_data["end"])}


def _ms(day: date | None) -> int | None:
    return None if day is None else int(datetime.combine(day, time(), UTC).timestamp() * 1000)
