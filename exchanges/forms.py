from django import forms

from exchanges.models import Market, PositionSide


class PositionFilterForm(forms.Form):
    """Filters of the trade history; an unknown value is ignored rather than an empty page."""

    symbol = forms.ChoiceField(required=False, label="Market")
    side = forms.ChoiceField(required=False, choices=[("", "Both sides"), *PositionSide.choices])

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        symbols = Market.objects.with_candles().order_by("symbol").values_list("symbol", flat=True).distinct()
        self.fields["symbol"].choices = [("", "All markets"), *((symbol, symbol) for symbol in symbols)]  # type: ignore[attr-defined]

    def chosen(self) -> dict[str, str]:
        """Lookups for the queryset."""
        self.is_valid()
        lookups = {"market__symbol": self.cleaned_data.get("symbol"), "side": self.cleaned_data.get("side")}
        return {name: value for name, value in lookups.items() if value}


class StopAllForm(forms.Form):
    flatten = forms.BooleanField(
        required=False,
        label="Close my open positions too",
        widget=forms.CheckboxInput(attrs={"data-confirm-also": "All your open positions are closed at the market price."}),
    )
