from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple, overload

from django import forms
from django.conf import settings
from django.db.models import F, QuerySet

from backtesting.forms_engine import EngineForm
from backtesting.models import BacktestRun, BacktestTrade
from exchanges.models import Market
from signals.models import ModelVersion
from signals.models.strategy import RISK_CHOICES
from traderai.lib import clock

DAY_MS = 86_400_000


class BacktestForm(EngineForm):
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


class Column(NamedTuple):
    """A column of the list of trades: what it is sorted by, its heading, whether it holds numbers, and how each order reads."""

    key: str
    label: str
    is_number: bool
    rising: str
    falling: str


TRADE_COLUMNS = (
    Column("number", "No.", True, "first to last", "last to first"),
    Column("symbol", "Market", False, "A to Z", "Z to A"),
    Column("side", "Side", False, "longs first", "shorts first"),
    Column("entry_ms", "Entered (UTC)", False, "earliest first", "latest first"),
    Column("entry_price", "Entry", True, "lowest first", "highest first"),
    Column("exit_ms", "Left (UTC)", False, "earliest first", "latest first"),
    Column("held", "Held", True, "shortest first", "longest first"),
    Column("exit_price", "Average exit", True, "lowest first", "highest first"),
    Column("exit_reason", "By", False, "A to Z", "Z to A"),
    Column("fees", "Fees", True, "lowest first", "highest first"),
    Column("pnl", "P&L", True, "worst first", "best first"),
    Column("pnl_pct", "Of notional", True, "worst first", "best first"),
)


class TradeFilterForm(forms.Form):
    """The query string of a list of trades; an unknown value is ignored rather than an empty page."""

    symbol = forms.ChoiceField(required=False, label="Market")
    side = forms.ChoiceField(required=False, choices=[("", "Both sides"), ("long", "Long"), ("short", "Short")])
    reason = forms.ChoiceField(required=False, label="Left by")
    result = forms.ChoiceField(required=False, choices=[("", "All results"), ("won", "Won"), ("lost", "Lost")])
    since = forms.DateField(required=False, label="Entered from", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="Entered until", widget=forms.DateInput(attrs={"type": "date"}))
    sort = forms.ChoiceField(
        required=False,
        label="Order",
        choices=[
            choice
            for column in TRADE_COLUMNS
            for choice in ((column.key, f"{column.label}, {column.rising}"), (f"-{column.key}", f"{column.label}, {column.falling}"))
        ],
    )

    def __init__(self, *args: Any, run: BacktestRun, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        reasons = BacktestTrade.objects.filter(run=run).values_list("exit_reason", flat=True).distinct().order_by("exit_reason")
        self.fields["symbol"].choices = [("", "All markets"), *((symbol, symbol) for symbol in run.symbols)]  # type: ignore[attr-defined]
        self.fields["reason"].choices = [("", "Any reason"), *((each, each.replace("_", " ")) for each in reasons)]  # type: ignore[attr-defined]
        self.is_valid()

    @property
    def sort_by(self) -> str:
        """The key of a column, with a minus in front when it falls."""
        return self.cleaned_data.get("sort") or "number"

    @property
    def is_narrowed(self) -> bool:
        """Whether any trade may be left out."""
        return any(value for name, value in self.cleaned_data.items() if name != "sort")

    def narrow(self, trades: QuerySet[BacktestTrade]) -> QuerySet[BacktestTrade]:
        """The trades that are wanted, in the order that is wanted. A trade without gain or loss is not won."""
        asked = self.cleaned_data
        wanted = {"symbol": asked.get("symbol"), "side": asked.get("side"), "exit_reason": asked.get("reason")}
        trades = trades.filter(**{name: value for name, value in wanted.items() if value})
        if asked.get("result"):
            trades = trades.filter(pnl__gt=0) if asked["result"] == "won" else trades.filter(pnl__lte=0)
        if asked.get("since"):
            trades = trades.filter(entry_ms__gte=_ms(asked["since"]))
        if asked.get("until"):
            trades = trades.filter(entry_ms__lt=_ms(asked["until"]) + DAY_MS)
        return trades.annotate(held=F("exit_ms") - F("entry_ms")).order_by(self.sort_by, "number")


@overload
def _ms(day: date) -> int: ...
@overload
def _ms(day: None) -> None: ...
def _ms(day: date | None) -> int | None:
    return None if day is None else int(datetime.combine(day, time(), UTC).timestamp() * 1000)
