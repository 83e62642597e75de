"""A backtest of a rule strategy: the form, and the run that a search's combination makes."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from backtesting import asked, runs
from backtesting.forms_rule import RuleBacktestForm
from backtesting.models import ParameterSearch
from backtesting.searches import trials
from signals import rules
from traderai.lib.errors import UserError


@login_required
@require_http_methods(["GET", "POST"])
def rule_new(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for a run of this rule."""
    rule = rules.STRATEGIES.get(slug)
    if rule is None:
        raise Http404
    profile = request.user.profile  # type: ignore[union-attr]
    initial = {"capital": profile.simulation_capital, "risk_profile": profile.risk_profile}
    form = RuleBacktestForm(request.POST or None, rule=rule, initial=initial)
    if request.method == "POST" and form.is_valid():
        given: dict[str, Any] = {name: form.cleaned_data[name] for name in ("symbols", "capital", "risk_profile")} | form.span_ms()
        try:
            run = runs.start(request.user, strategy=slug, strategy_params=form.strategy_params(), engine=form.engine(), **given)
        except UserError as error:
            is_known = error.field in form.fields
            form.add_error(error.field if is_known else None, error.at_field if is_known else error.message)
        else:
            return redirect("backtests:detail", pk=run.pk)
    context = {"form": form, "rule": rule, "strategies": rules.STRATEGIES.values()}
    return render(request, "backtesting/rule_form.html", context, status=422 if form.is_bound else 200)


@login_required
@require_POST
def search_run(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Run one combination of a search as a backtest, with everything else as in the search."""
    search = get_object_or_404(ParameterSearch.objects.for_user(request.user), pk=pk)
    table = trials.load(search).table
    if number >= table.shape[0]:
        raise Http404
    try:
        run = runs.start(
            request.user,
            strategy=search.strategy,
            strategy_params=asked.parse_space(search.strategy, search.space).values(table[number].tolist()),
            symbols=search.symbols,
            capital=search.capital,
            risk_profile=search.risk_profile,
            engine=search.engine,
            start_ms=search.start_ms,
            end_ms=search.end_ms,
            venue=search.venue_slug,
        )
    except UserError as error:
        messages.error(request, error.message)
        return redirect("backtests:search", pk=pk)
    return redirect("backtests:detail", pk=run.pk)
