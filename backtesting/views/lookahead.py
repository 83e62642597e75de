"""Look-ahead checks of strategies."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from backtesting import checks
from backtesting.models import LookaheadCheck
from exchanges.models import JobStatus
from signals import strategies
from signals.models import ModelVersion
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.http import wants_fragment


@login_required
@require_safe
def lookahead(request: HttpRequest, slug: str) -> HttpResponse:
    """Whether a strategy with the champion knows its future: the newest check; as a part of the strategy's page when htmx asks."""
    template = strategies.TEMPLATES.get(slug)
    if template is None:
        raise Http404
    champion = ModelVersion.objects.champion()
    check = None if champion is None else LookaheadCheck.objects.newest(slug, champion)
    context: dict[str, Any] = {
        "template": template,
        "champion": champion,
        "check": check,
        "may_start": checks.may_start(request.user, slug),
    }
    if check is not None and check.status == JobStatus.DONE:
        context |= {"markets": [_examined(report) for report in check.findings["markets"]]}
    name = "backtesting/_lookahead.html" if wants_fragment(request) else "backtesting/lookahead.html"
    return render(request, name, context)


@login_required
@require_POST
def lookahead_start(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for a new check. For staff, and for traders who have set the strategy up."""
    if slug not in strategies.TEMPLATES:
        raise Http404
    if not checks.may_start(request.user, slug):
        raise PermissionDenied
    try:
        checks.start(request.user, strategy=slug)
    except UserError as error:
        messages.error(request, error.message)
    return redirect("backtests:lookahead", slug=slug)


def _examined(report: dict[str, Any]) -> dict[str, Any]:
    """A market's report with its times as times."""
    findings = [{**found, "at": clock.from_ms(found["at_ms"]), "end": clock.from_ms(found["end_ms"])} for found in report["findings"]]
    slowest = sorted(((bars, name) for name, bars in report["needs"].items() if bars is not None), reverse=True)[:5]
    return {
        **report,
        "findings": findings,
        "first": clock.from_ms(report["first_ms"]),
        "last": clock.from_ms(report["last_ms"]),
        "slowest": [{"name": name, "bars": bars} for bars, name in slowest],
        "restless": [name for name, bars in report["needs"].items() if bars is None],
    }
