"""Parity: my positions of a window beside what the simulation makes of them today."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from exchanges.models import TradingAccount
from traderai.lib import clock, csv_export

PAGE_SIZE = 25
DAY_MS = 86_400_000
DAYS = (7, 30, 90, 365)
HEADER = [
    "position", "symbol", "side", "opened_at", "open", "qty", "entry_recorded", "entry_simulated", "entry_error_bps", "left_by_recorded",
    "left_by_simulated", "net_recorded", "net_simulated", "causes", "why",
]  # fmt: skip


class ParityForm(forms.Form):
    """Window and account; an unknown value is the usual one rather than an empty page."""

    days = forms.TypedChoiceField(
        label="Opened in the last", required=False, coerce=int, choices=[(days, f"{days} days") for days in DAYS], empty_value=None
    )
    account = forms.ModelChoiceField(queryset=TradingAccount.objects.none(), required=False, empty_label="All accounts")

    def __init__(self, *args: Any, accounts: QuerySet[TradingAccount], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = accounts  # type: ignore[attr-defined]
        self.fields["account"].label_from_instance = str if accounts.values("user").distinct().count() < 2 else _with_owner  # type: ignore[attr-defined]


def _with_owner(account: TradingAccount) -> str:
    return f"{account} of {account.user}"


@login_required
@require_safe
def parity_report(request: HttpRequest) -> HttpResponse:
    """?days=30&account=1: the summary, and the positions with their causes, the unexplained first."""
    from backtesting import parity  # loads numba, which the web process needs for little else

    form, accounts, span = _asked(request)
    lines, left_out = parity.compared(accounts, *span)
    found = parity.totals(lines, left_out)
    context = {
        "form": form,
        "found": found,
        "causes": [(parity.TITLES[cause], money) for cause, money in found.by_cause.items()],
        "difference": found.recorded - found.simulated,
        "refusals": parity.refusals(accounts, *span),
        "most": parity.MOST if len(lines) + left_out >= parity.MOST else None,
        "page": Paginator(lines, PAGE_SIZE).get_page(request.GET.get("page")),
        "titles": parity.TITLES,
    }
    return render(request, "backtesting/parity.html", context)


@login_required
@require_safe
def parity_csv(request: HttpRequest) -> HttpResponseBase:
    """The same positions as CSV."""
    from backtesting import parity  # loads numba, which the web process needs for little else

    _, accounts, span = _asked(request)

    def rows() -> Iterator[list[Any]]:
        for line in parity.compared(accounts, *span)[0]:
            position, booked, told = line.position, line.booked, line.simulated
            simulated = (told.entry, told.reason, told.net) if told else ("", line.refused, "")
            causes = " ".join(each.cause for each in line.differences)
            why = " ".join(each.sentence for each in line.differences)
            facts = [position.pk, position.market.symbol, position.side, position.opened_at.isoformat(), position.is_open]
            entry = [position.qty_opened, booked.entry, simulated[0], "" if line.entry_bps is None else line.entry_bps]
            yield [*facts, *entry, booked.reason, simulated[1], booked.net, simulated[2], causes, why]

    return csv_export.response("parity.csv", HEADER, rows())


def _asked(request: HttpRequest) -> tuple[ParityForm, QuerySet[TradingAccount], tuple[int, int]]:
    """The accounts are the caller's own; staff may choose anybody's, and see their own until they do."""
    own = TradingAccount.objects.for_user(request.user)
    may_see = TradingAccount.objects.all() if getattr(request.user, "is_staff", False) else own
    form = ParityForm(request.GET or {"days": 30}, accounts=may_see.select_related("user").order_by("user", "pk"))
    form.is_valid()
    chosen = form.cleaned_data.get("account")
    end_ms = clock.now_ms()
    days = form.cleaned_data.get("days") or 30
    return form, may_see.filter(pk=chosen.pk) if chosen else own, (end_ms - days * DAY_MS, end_ms)
