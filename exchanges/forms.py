from datetime import UTC, date, datetime
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import Q, QuerySet

from exchanges.models import Market, PositionSide, Venue
from exchanges.timeframes import TIMEFRAME_MS
from exchanges.venues import registry
from traderai.lib import clock


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


class MarketFilterForm(forms.Form):
    """The query string of the list of markets; an unknown value is ignored rather than an empty page."""

    SORTS = (
        ("symbol", "Name"),
        ("-change", "24 h change, highest first"),
        ("change", "24 h change, lowest first"),
        ("-volume", "24 h volume, highest first"),
        ("-funding", "Funding, highest first"),
        ("funding", "Funding, lowest first"),
    )

    q = forms.CharField(
        required=False, max_length=40, label="Search", widget=forms.TextInput(attrs={"type": "search", "autocomplete": "off"})
    )
    venue = forms.ChoiceField(required=False)
    sort = forms.ChoiceField(required=False, label="Order", choices=SORTS)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        known = Venue.objects.filter(is_active=True, markets__in=Market.objects.with_candles()).distinct().order_by("name")
        self.fields["venue"].choices = [("", "All venues"), *known.values_list("slug", "name")]  # type: ignore[attr-defined]
        self.is_valid()

    @property
    def sort_by(self) -> str:
        """One of SORTS."""
        return self.cleaned_data.get("sort") or "symbol"

    def narrow(self, markets: QuerySet[Market]) -> QuerySet[Market]:
        """The markets that the search and the venue leave."""
        sought, venue = self.cleaned_data.get("q", ""), self.cleaned_data.get("venue")
        for word in sought.split() if sought.isprintable() else ():
            markets = markets.filter(Q(symbol__icontains=word) | Q(venue__name__icontains=word))
        return markets.filter(venue__slug=venue) if venue else markets


class CandleSpanForm(forms.Form):
    """Which candles a file holds. Times without a zone are UTC."""

    timeframe = forms.ChoiceField(
        choices=[(name, name) for name in TIMEFRAME_MS],
        error_messages={"invalid_choice": f"%(value)s is not known; use one of {', '.join(TIMEFRAME_MS)}."},
    )
    start = forms.DateTimeField(required=False)
    end = forms.DateTimeField(required=False)
    limit = forms.IntegerField(required=False, min_value=1, max_value=100_000)

    def clean_limit(self) -> int:
        return self.cleaned_data["limit"] or 100_000

    def clean(self) -> dict[str, object]:
        start, end = self.cleaned_data.get("start"), self.cleaned_data.get("end")
        if start and end and start >= end:
            self.add_error("start", "It has to be before end; correct one of them.")
        return self.cleaned_data


class StartBackfillForm(forms.Form):
    """What staff want fetched from a venue. Days are UTC; the time asked for ends before `until`."""

    venue = forms.ChoiceField()
    all_markets = forms.BooleanField(required=False, label="All of the venue's markets")
    symbols = forms.MultipleChoiceField(required=False, label="Markets", widget=forms.CheckboxSelectMultiple)
    timeframe = forms.ChoiceField(choices=[(name, name) for name in TIMEFRAME_MS], initial=settings.BASE_TIMEFRAME)
    since = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}), help_text="First day, UTC.")
    until = forms.DateField(
        required=False, widget=forms.DateInput(attrs={"type": "date"}), help_text="Up to this day, UTC; empty: until now."
    )

    def __init__(self, *args: Any, venue: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        venues = dict(Venue.objects.filter(is_active=True, slug__in=registry.MARKET_DATA).order_by("name").values_list("slug", "name"))
        chosen = venue if venue in venues else settings.DEFAULT_VENUE
        self.fields["venue"].choices = list(venues.items())  # type: ignore[attr-defined]
        self.fields["venue"].initial = chosen
        symbols = Market.objects.active().filter(venue__slug=chosen).order_by("symbol").values_list("symbol", flat=True)
        self.fields["symbols"].choices = [(symbol, symbol) for symbol in symbols]  # type: ignore[attr-defined]
        if not symbols:
            self.fields[
                "symbols"
            ].help_text = f"This venue has no market in the catalogue. manage.py backfill --symbols … --venue {chosen} adds those it names."

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("all_markets"):
            self.cleaned_data["symbols"] = [symbol for symbol, _ in self.fields["symbols"].choices]  # type: ignore[attr-defined]
        elif not self.cleaned_data.get("symbols") and "symbols" not in self.errors:
            self.add_error("symbols", "Choose at least one market, or all of them.")
        return self.cleaned_data

    def order(self) -> dict[str, Any]:
        """What exchanges.backfill.request is asked for."""
        until = self.cleaned_data["until"]
        return {
            **{name: self.cleaned_data[name] for name in ("venue", "symbols", "timeframe")},
            "since_ms": _midnight_ms(self.cleaned_data["since"]),
            "until_ms": None if until is None else _midnight_ms(until),
        }


def _midnight_ms(day: date) -> int:
    return clock.to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
