"""A report for whoever has its link; and making and revoking such links."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts import audit
from accounts.models import User
from backtesting import sharing
from backtesting.models import BacktestRun, SharedLink
from backtesting.views import chart, report, trades
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.http import wants_fragment

NEW_LINK = "shared_link"
"""Where the session keeps a new link until it was shown, once."""
P = ParamSpec("P")


def own_links(request: HttpRequest, run: BacktestRun) -> dict[str, Any]:
    """What the owner's page says about links: those that work, and a new one's address."""
    made: dict[str, Any] = request.session.get(NEW_LINK) or {}
    is_mine = made.get("run") == run.pk
    if is_mine:
        del request.session[NEW_LINK]
    return {
        "links": list(SharedLink.objects.live(clock.now()).filter(run=run).order_by("pk")),
        "new_link": request.build_absolute_uri(reverse("backtests:shared", args=[made["token"]])) if is_mine else "",
        "link_days": sharing.DAYS,
    }


@login_required
@require_POST
def share_create(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a link; the page that follows shows it once."""
    run = get_object_or_404(BacktestRun.objects.for_user(request.user), pk=pk)
    asked = request.POST.get("days", "")
    try:
        days = int(asked) if asked else None
    except ValueError:
        days = 0  # no number of days that there is
    try:
        made = sharing.create(run, days=days)
    except UserError as error:
        messages.error(request, error.message)
    else:
        until = None if made.link.expires_at is None else made.link.expires_at.isoformat()
        audit.record(cast(User, request.user), "backtest_shared", request, run=run.pk, link=made.link.pk, until=until)
        request.session[NEW_LINK] = {"run": run.pk, "token": made.token}
    return redirect(reverse("backtests:detail", args=[pk]) + "#share")


@login_required
@require_POST
def share_revoke(request: HttpRequest, pk: int, link: int) -> HttpResponse:
    """From now on the link leads nowhere."""
    run = get_object_or_404(BacktestRun.objects.for_user(request.user), pk=pk)
    get_object_or_404(SharedLink, run=run, pk=link).delete()
    audit.record(cast(User, request.user), "backtest_link_revoked", request, run=run.pk, link=link)
    messages.success(request, "The link is revoked: it leads nowhere from now on.")
    return redirect(reverse("backtests:detail", args=[pk]) + "#share")


def by_link(view: Callable[Concatenate[HttpRequest, BacktestRun, str, P], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view of the run that a link leads to. Its answers are kept by nobody, listed by no search engine, and tell no other site the address."""

    @require_safe
    @wraps(view)
    def answer(request: HttpRequest, token: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        run = sharing.find(token)
        if run is None:
            raise Http404
        response = view(request, run, token, *args, **kwargs)
        response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
        response["Referrer-Policy"] = "no-referrer"
        response["Cache-Control"] = "private, no-store"
        return response

    return answer


@by_link
def shared_report(request: HttpRequest, run: BacktestRun, token: str) -> HttpResponse:
    """The report; the list of trades alone when htmx asks."""
    files = {"csv_url": reverse("backtests:shared_csv", args=[token]), "chart_url": reverse("backtests:shared_chart", args=[token])}
    context: dict[str, Any] = {"run": run, "is_shared": True, **files}
    if wants_fragment(request):
        found = {"found": run.metrics, **trades.listing(request.GET, run)}
        return render(request, "backtesting/_trades.html", context | found)
    return render(request, "backtesting/shared.html", context | report.context(request, run))


@by_link
def shared_chart(request: HttpRequest, run: BacktestRun, token: str) -> JsonResponse:
    return JsonResponse(chart.drawing(request.GET, run))


@by_link
def shared_csv(request: HttpRequest, run: BacktestRun, token: str) -> HttpResponseBase:
    return trades.csv_of(request.GET, run, "backtest-trades.csv")
