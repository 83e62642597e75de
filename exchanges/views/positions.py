"""Positions: what is open (live), what was closed, one position with everything that happened to it, and the ways out."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import F, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts import audit
from accounts.models import User
from exchanges.forms import PositionFilterForm, StopAllForm
from exchanges.models import KillSwitch, Order, OrderEvent, Position, SwitchLevel, TradingAccount
from exchanges.order_states import UNSETTLED, OrderState
from traderai.lib import csv_export
from traderai.lib.http import wants_fragment

PAGE_SIZE = 25
ENDED_SHOWN = 8
ENDED_UNFILLED = (OrderState.DENIED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.CANCELED)


@login_required
@require_safe
def position_list(request: HttpRequest) -> HttpResponse:
    """Open positions, money and orders on their way; these alone when htmx asks."""
    positions = list(Position.objects.for_user(request.user).open().select_related("market").order_by("-opened_at", "-pk"))
    accounts = list(TradingAccount.objects.for_user(request.user).filter(is_active=True).order_by("pk"))
    orders = Order.objects.for_user(request.user).select_related("market")
    waiting = list(orders.unsettled().order_by("pk"))
    balance = sum((account.balance for account in accounts), Decimal(0))
    unrealised = sum((position.unrealised_pnl for position in positions), Decimal(0))
    context = {
        "positions": positions,
        "currency": accounts[0].currency if accounts else "",
        "balance": balance,
        "equity": balance + unrealised,
        "net": sum((position.net_pnl for position in positions), Decimal(0)),
        "margin": sum((position.margin for position in positions), Decimal(0)),
        "waiting": waiting,
        "closing": {order.position_id for order in waiting if order.reduce_only},
        "switch": KillSwitch.objects.filter(user=cast(User, request.user), venue=None).exclude(level=SwitchLevel.RUN).first(),
        "stop_form": StopAllForm(),
        "ended": orders.filter(state__in=ENDED_UNFILLED).order_by("-pk")[:ENDED_SHOWN],
    }
    return render(request, "exchanges/positions.html#table" if wants_fragment(request) else "exchanges/positions.html", context)


@login_required
@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """Closed positions with totals over the whole filter, newest first."""
    form = PositionFilterForm(request.GET)
    rows = _closed(request, form)
    totals = rows.aggregate(pnl=Sum("realised_pnl"), fees=Sum("fees"), funding=Sum("funding"))
    net = (totals["pnl"] or 0) - (totals["fees"] or 0) + (totals["funding"] or 0)
    winners = rows.filter(realised_pnl__gt=F("fees") - F("funding")).count()
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "count": page.paginator.count,
        "totals": totals,
        "net": net,
        "winners": winners,
        "currency": _currency(request),
    }
    return render(request, "exchanges/history.html#table" if wants_fragment(request) else "exchanges/history.html", context)


@login_required
@require_safe
def history_csv(request: HttpRequest) -> HttpResponseBase:
    """The filtered trade history as CSV."""
    columns = ["side", "leverage", "qty_opened", "entry_price", "initial_stop", "tp1", "tp2", "tp3", "tps_hit", "exit_reason"]

    def rows() -> Iterator[list[Any]]:
        for position in _closed(request, PositionFilterForm(request.GET)).iterator(chunk_size=500):
            money = [position.realised_pnl, position.fees, position.funding, position.net_pnl]
            times = [position.opened_at.isoformat(), position.closed_at.isoformat() if position.closed_at else ""]
            yield [
                position.pk,
                position.market.symbol,
                position.market.provenance,
                *times,
                *(getattr(position, name) for name in columns),
                *money,
            ]

    header = ["id", "symbol", "data", "opened_at", "closed_at", *columns, "realised_pnl", "fees", "funding", "net_pnl"]
    return csv_export.response("trades-paper.csv", header, rows())


@login_required
@require_safe
def position_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One position: plan, fills, ledger and the orders behind it."""
    position = get_object_or_404(Position.objects.for_user(request.user).select_related("market__venue", "account"), pk=pk)
    orders = list(position.orders.order_by("pk"))
    kind, _, signal_id = position.origin.partition(":")
    context = {
        "position": position,
        "signal_id": signal_id if kind == "signal" and signal_id.isdecimal() else "",
        "is_closing": any(order.state in UNSETTLED for order in orders if order.reduce_only),
        "fills": position.fills.select_related("order").order_by("at", "pk"),
        "ledger": position.ledger.order_by("at", "pk"),
        "orders": orders,
        "events": OrderEvent.objects.filter(order__in=orders).select_related("order").order_by("pk"),
    }
    return render(request, "exchanges/position_detail.html", context)


@login_required
@require_POST
def position_close(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a market exit of what is left. Asking twice is asking once."""
    position = get_object_or_404(Position.objects.for_user(request.user), pk=pk)
    if position.is_open:
        from exchanges import execution  # loads numba, which the web process needs for nothing else

        execution.close_position(position, reason="manual")
        audit.record(cast(User, request.user), "position_close_asked", request, position=position.pk)
        messages.success(request, "The position is being closed at the market price.")
    else:
        messages.info(request, "The position was closed already.")
    return redirect("positions:detail", pk=position.pk)


@login_required
@require_POST
def stop_all(request: HttpRequest) -> HttpResponse:
    """The trader's own kill switch: no new positions from now on, and no open ones either when asked."""
    from exchanges import execution  # loads numba, which the web process needs for nothing else

    form = StopAllForm(request.POST)
    flatten = form.is_valid() and form.cleaned_data["flatten"]
    orders = execution.stop_all(request.user, flatten=flatten)
    audit.record(cast(User, request.user), "trading_stopped", request, flatten=flatten, closing=len(orders))
    done = (
        "Trading is stopped and your open positions are being closed."
        if flatten
        else "Trading is stopped. Open positions keep their stops."
    )
    messages.warning(request, done)
    return redirect("positions:list")


@login_required
@require_POST
def resume(request: HttpRequest) -> HttpResponse:
    """Release the trader's own kill switch."""
    from exchanges import execution  # loads numba, which the web process needs for nothing else

    execution.set_kill_switch(request.user, SwitchLevel.RUN, "released by its owner")
    audit.record(cast(User, request.user), "trading_resumed", request)
    messages.success(request, "Trading may go on: the next signal that passes the risk gate opens a position.")
    return redirect("positions:list")


def _currency(request: HttpRequest) -> str:
    account = TradingAccount.objects.for_user(request.user).order_by("-is_active", "pk").first()
    return account.currency if account else ""


def _closed(request: HttpRequest, form: PositionFilterForm) -> QuerySet[Position]:
    return Position.objects.for_user(request.user).closed().filter(**form.chosen()).select_related("market").order_by("-closed_at", "-pk")
