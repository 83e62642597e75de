"""Parity: my positions of a window, or of a run's span, beside what the simulation makes of them today."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, NamedTuple

from django import forms
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from backtesting.models import BacktestRun
from exchanges.models import JobStatus, Position, TradingAccount
from traderai.lib import clock, csv_export

if TYPE_CHECKING:
    from backtesting.parity import Line
    from backtesting.parity.beside import Beside

PAGE_SIZE = 25
DAY_MS = 86_400_000
DAYS = (7, 30, 90, 365)
USUAL_DAYS = 30
FIRST, LAST = date(2009, 1, 3), date(2100, 1, 1)
"""No market here is older, and no position younger."""
HEADER = [
    "position", "symbol", "side", "opened_at", "open", "qty", "entry_recorded", "entry_simulated", "entry_error_bps", "left_by_recorded",
    "left_by_simulated", "net_recorded", "net_simulated", "causes", "why", "exits_recorded", "exits_simulated",
]  # fmt: skip


class DayField(forms.DateField):
    """A day, chosen from the browser's calendar."""

    default_error_messages = {"invalid": "Give a day like 2025-01-31."}
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    default_validators = [
        MinValueValidator(FIRST, f"There is nothing before {FIRST}."), MaxValueValidator(LAST, f"Give a day before {LAST}.")
    ]  # fmt: skip


class ParityForm(forms.Form):
    """Window and account: so many days up to now, or the days from `start` to `end`, both of which count."""

    days = forms.TypedChoiceField(
        label="Opened in the last", required=False, coerce=int, choices=[(days, f"{days} days") for days in DAYS], empty_value=None,
        error_messages={"invalid_choice": f"Choose {', '.join(map(str, DAYS[:-1]))} or {DAYS[-1]} days, or give two days of your own."},
    )  # fmt: skip
    start = DayField(label="or from", required=False)
    end = DayField(label="to", required=False)
    account = forms.ModelChoiceField(
        queryset=TradingAccount.objects.none(),
        required=False,
        empty_label="All accounts",
        error_messages={"invalid_choice": "Choose an account from the list."},
    )

    def __init__(self, *args: Any, accounts: QuerySet[TradingAccount], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = accounts  # type: ignore[attr-defined]
        self.fields["account"].label_from_instance = str if accounts.values("user").distinct().count() < 2 else _with_owner  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        start, end = found.get("start"), found.get("end")
        if start and end and end < start:
            self.add_error("end", "The last day must not be before the first: swap them, or leave one out.")
        return found

    def span_ms(self) -> tuple[int, int]:
        """start_ms <= time < end_ms. One day alone reaches to now, or so many days back."""
        days, start, end = (self.cleaned_data.get(name) for name in ("days", "start", "end"))
        end_ms = clock.now_ms() if end is None else _midnight_ms(end) + DAY_MS
        return (end_ms - (days or USUAL_DAYS) * DAY_MS if start is None else _midnight_ms(start)), end_ms


class Asked(NamedTuple):
    """What a request asks for: a run of the caller's own and its span, or a window of accounts. end_ms is not in it."""

    form: ParityForm
    accounts: QuerySet[TradingAccount]
    start_ms: int
    end_ms: int
    run: BacktestRun | None


def has_positions(run: BacktestRun) -> bool:
    """Whether the run's owner held positions on its markets in its span that signals had asked for."""
    if run.model_id is None or run.start_ms is None or run.end_ms is None:
        return False
    held = Position.objects.for_user(run.user).filter(market__venue__slug=run.venue_slug, market__symbol__in=run.symbols)
    span = {"opened_at__gte": clock.from_ms(run.start_ms), "opened_at__lt": clock.from_ms(run.end_ms)}
    return held.filter(origin__startswith="signal:", **span).exists()


def _midnight_ms(day: date) -> int:
    return clock.to_ms(datetime.combine(day, time(), UTC))


def _with_owner(account: TradingAccount) -> str:
    return f"{account} of {account.user}"


@login_required
@require_safe
def parity_report(request: HttpRequest) -> HttpResponse:
    """?days=30&account=1, ?start=2025-01-01&end=2025-01-31 or ?run=7: the summary, and the positions with their causes, the unexplained first."""
    from backtesting import parity  # loads numba, which the web process needs for little else

    asked = _asked(request)
    if not asked.form.is_valid():
        return render(request, "backtesting/parity.html", {"form": asked.form, "is_refused": True}, status=422)
    lines, left_out, beside = _compared(asked)
    found = parity.totals(lines, left_out)
    newest = None if lines or left_out else Position.objects.filter(account__in=asked.accounts).order_by("-opened_at").first()
    context = {
        "form": asked.form,
        "run": asked.run,
        "beside": beside,
        "start": clock.from_ms(asked.start_ms),
        "end": clock.from_ms(asked.end_ms - 1),
        "newest": newest,
        "found": found,
        "causes": [(parity.TITLES[cause], money) for cause, money in found.by_cause.items()],
        "difference": found.recorded - found.simulated,
        "refusals": parity.refusals(asked.accounts, asked.start_ms, asked.end_ms),
        "most": parity.MOST if len(lines) + left_out >= parity.MOST else None,
        "page": Paginator(lines, PAGE_SIZE).get_page(request.GET.get("page")),
    }
    return render(request, "backtesting/parity.html", context)


@login_required
@require_safe
def parity_csv(request: HttpRequest) -> HttpResponseBase:
    """The same positions as CSV; 422 and the sentences of the form for what cannot be asked."""
    asked = _asked(request)
    if not asked.form.is_valid():
        told = [f"{name}: {error}" for name, errors in asked.form.errors.items() for error in errors]
        return HttpResponse("\n".join(told), status=422, content_type="text/plain; charset=utf-8")

    def rows() -> Iterator[list[Any]]:
        for line in _compared(asked)[0]:
            position, booked, told = line.position, line.booked, line.simulated
            simulated = (told.entry, told.reason, told.net) if told else ("", line.refused, "")
            causes = " ".join(each.cause for each in line.differences)
            why = " ".join(each.sentence for each in line.differences)
            exits = ["; ".join(map(str, each.legs)) if each else "" for each in (booked, told)]
            facts = [position.pk, position.market.symbol, position.side, position.opened_at.isoformat(), position.is_open]
            entry = [position.qty_opened, booked.entry, simulated[0], "" if line.entry_bps is None else line.entry_bps]
            yield [*facts, *entry, booked.reason, simulated[1], booked.net, simulated[2], causes, why, *exits]

    return csv_export.response("parity.csv", HEADER, rows())


def _compared(asked: Asked) -> "tuple[list[Line], int, Beside | None]":
    from backtesting import parity
    from backtesting.parity import beside as besides

    if asked.run is None:
        return *parity.compared(asked.accounts, asked.start_ms, asked.end_ms), None
    found = besides.stored(asked.run)
    return ([], 0, None) if found is None else (found.lines, found.left_out, found)


def _asked(request: HttpRequest) -> Asked:
    """The accounts are the caller's own; staff may choose anybody's, and see their own until they do. An account or a run of somebody else's
    is not found."""
    own = TradingAccount.objects.for_user(request.user)
    may_see = TradingAccount.objects.all() if getattr(request.user, "is_staff", False) else own
    form = ParityForm(request.GET or {"days": USUAL_DAYS}, accounts=may_see.select_related("user").order_by("user", "pk"))
    if (number := request.GET.get("account", "")).isdecimal():
        get_object_or_404(may_see, pk=number)
    if number := request.GET.get("run", ""):
        if not number.isdecimal():
            raise Http404
        run = get_object_or_404(BacktestRun.objects.for_user(request.user), pk=number, status=JobStatus.DONE)
        return Asked(ParityForm({"days": USUAL_DAYS}, accounts=own), own, run.start_ms or 0, run.end_ms or 0, run)
    if not form.is_valid():
        return Asked(form, own, 0, 0, None)
    chosen = form.cleaned_data.get("account")
    return Asked(form, may_see.filter(pk=chosen.pk) if chosen else own, *form.span_ms(), None)
