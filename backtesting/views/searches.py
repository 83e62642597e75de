"""Searches for parameters: the list, the form with its live count, a search while it goes, and what it found."""

from typing import Any

import numpy as np
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models.fields.json import KT
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from backtesting import asked, searches, wording
from backtesting.combos import ranking
from backtesting.combos.space import Space, known_parameters
from backtesting.forms_search import SearchForm, space_of
from backtesting.models import ParameterSearch
from backtesting.searches import trials
from exchanges.models import JobStatus
from signals import rules
from traderai.lib import clock, csv_export
from traderai.lib.errors import UserError
from traderai.lib.http import wants_fragment

PAGE_SIZE = 25
SHADES = 4
MOST_CELLS = 40
"""Rows and columns of a heat-map that a person can still read."""
BADGES = {"holds": "ok", "unproven": "warn", "fails": "bad", "unjudged": "warn"}


@login_required
@require_safe
def search_list(request: HttpRequest) -> HttpResponse:
    """My searches, newest first."""
    found = ParameterSearch.objects.for_user(request.user).defer("space", "result").annotate(word=KT("result__verdict__word"))
    page = Paginator(found.order_by("-pk"), PAGE_SIZE).get_page(request.GET.get("page"))
    search: Any
    for search in page:
        search.rule = rules.STRATEGIES.get(search.strategy)
        search.badge = BADGES.get(search.word, "")
    return render(request, "backtesting/searches.html", {"page": page})


@login_required
@require_http_methods(["GET", "POST"])
def search_new(request: HttpRequest) -> HttpResponse:
    """Ask for a search of the strategy that the query string names."""
    rule = rules.STRATEGIES.get(request.GET.get("strategy", ""), next(iter(rules.STRATEGIES.values())))
    form = SearchForm(request.POST or None, rule=rule, initial=_defaults(request))
    if request.method == "POST" and form.is_valid():
        try:
            search = searches.start(request.user, strategy=rule.slug, space=form.space(), **form.options())
        except UserError as error:
            culprit = form.field_of(error.field)
            form.add_error(culprit, error.at_field if culprit else error.message)
        else:
            return redirect("backtests:search", pk=search.pk)
    context = {"form": form, "rule": rule, "strategies": rules.STRATEGIES.values(), "told": _told(rule, form)}
    return render(request, "backtesting/search_form.html", context, status=422 if form.is_bound else 200)


@login_required
@require_safe
def search_count(request: HttpRequest) -> HttpResponse:
    """How many combinations the form's ranges make, as its fragment."""
    rule = rules.STRATEGIES.get(request.GET.get("strategy", ""), next(iter(rules.STRATEGIES.values())))
    return render(request, "backtesting/_combinations.html", {"told": _count(rule, space_of(rule, request.GET))})


def search_detail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Progress, failure or findings; the progress alone when htmx asks."""
    return _progress(request, pk) if wants_fragment(request) else _page(request, pk)


@login_required
@require_POST
def search_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    search = _mine(request, pk)
    if searches.cancel(search):
        messages.success(request, f"Search {pk} is cancelled. What it has tried is kept and counts.")
    return redirect("backtests:search", pk=pk)


@login_required
@require_POST
def search_resume(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        searches.resume(_mine(request, pk))
    except UserError as error:
        messages.error(request, error.message)
    return redirect("backtests:search", pk=pk)


@login_required
@require_safe
def search_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Every combination that was tried and what came of it."""
    search = _mine(request, pk)
    space, tried = asked.parse_space(search.strategy, search.space), trials.load(search)
    columns = [tried.table[:, number].tolist() for number in range(len(space.axes))]
    columns += [[None if value != value else value for value in column.tolist()] for column in tried.results]
    header = [*space.names, *ranking.Results._fields]
    return csv_export.response(f"search-{pk}-trials.csv", header, zip(*columns, strict=True))


@require_safe
def _progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The fragment, and the end of polling: the whole page again once the search is over, or its owner is signed out."""
    search = ParameterSearch.objects.for_user(request.user).filter(pk=pk).first() if request.user.is_authenticated else None
    if search is not None and search.is_unfinished:
        return render(request, "backtesting/_search_progress.html", {"search": search})
    reply = HttpResponseClientRefresh()
    reply.status_code = 200 if search else 404
    return reply


@login_required
@require_safe
def _page(request: HttpRequest, pk: int) -> HttpResponse:
    search = _mine(request, pk)
    space = asked.parse_space(search.strategy, search.space)
    context: dict[str, Any] = {
        "search": search,
        "rule": space.rule,
        "start": clock.from_ms(search.start_ms),
        "end": clock.from_ms(search.end_ms),
        "objective": ranking.OBJECTIVES[search.objective],
        "unusual": wording.unusual(search.engine),
        "varied": [(known_parameters(space.rule)[axis.name], axis) for axis in space.varied],
    }
    if search.status == JobStatus.DONE:
        context |= _findings(search, space) | {"map": _map(request, search, space)}
    return render(request, "backtesting/search.html", context)


def _mine(request: HttpRequest, pk: int) -> ParameterSearch:
    return get_object_or_404(ParameterSearch.objects.for_user(request.user), pk=pk)


def _defaults(request: HttpRequest) -> dict[str, Any]:
    profile = request.user.profile  # type: ignore[union-attr]
    return {"capital": profile.simulation_capital, "risk_profile": profile.risk_profile}


def _told(rule: rules.RuleStrategy, form: SearchForm) -> dict[str, Any]:
    """The count for the form as it stands."""
    given = {name: form[name].value() for name in form.fields if name not in form.base_fields}
    return _count(rule, space_of(rule, given))


def _count(rule: rules.RuleStrategy, given: dict[str, Any]) -> dict[str, Any]:
    try:
        number = searches.count(asked.parse_space(rule.slug, given))
    except UserError as error:
        return {"error": error.message}
    return {"number": number, "most": searches.MOST_COMBINATIONS, "is_too_many": number > searches.MOST_COMBINATIONS}


def _findings(search: ParameterSearch, space: Space) -> dict[str, Any]:
    found = search.result
    names = [axis.name for axis in space.varied]
    walk = found["walk"]
    for window in walk["windows"] if walk else ():
        window |= {name: clock.from_ms(window[f"{name}_ms"]) for name in ("train_start", "train_end", "test_start", "test_end")}
        window["chosen"] = None if window["values"] is None else [window["values"][name] for name in names]
    return {
        "found": found,
        "badge": BADGES[found["verdict"]["word"]],
        "no_deflated": _reason(found, "Too few days with a result."),
        "no_overfit": _reason(found, "Too few days: it needs 32." if found["tried"] > 1 else "It needs two combinations."),
        "edges": [known_parameters(space.rule)[axis.name].label for axis in space.at_the_edge(found["top"][0]["values"])]
        if found["top"]
        else [],
        "labels": [known_parameters(space.rule)[name].label for name in names],
        "top": [{**row, "chosen": [row["values"][name] for name in names], "value": row[search.objective]} for row in found["top"]],
        "walk": walk,
    }


def _reason(found: dict[str, Any], otherwise: str) -> str:
    """Why a figure about the best is not defined."""
    return otherwise if found["top"] else "There is no best to judge: no combination had enough trades and a defined objective."


def _map(request: HttpRequest, search: ParameterSearch, space: Space) -> dict[str, Any] | None:
    """The heat-map of two varied parameters, by default the first two; None when fewer than two were varied."""
    names = [axis.name for axis in space.varied]
    if len(names) < 2:
        return None
    x, y = request.GET.get("x", ""), request.GET.get("y", "")
    x = x if x in names else names[0]
    y = y if y in names and y != x else next(name for name in names if name != x)
    tried = trials.load(search)
    value = np.where(tried.results.trades >= search.least_trades, tried.results.objective(search.objective), np.nan)
    whole = ranking.heat_map(tried.table[:, space.names.index(x)], tried.table[:, space.names.index(y)], value)
    drawn = ranking.thinned(whole, MOST_CELLS)
    neutral = ranking.neutral(search.objective)
    known = drawn.best[np.isfinite(drawn.best)]
    most = float(np.abs(known - neutral).max()) if known.size else 0.0
    best = float(known.max()) if known.size else None
    return {
        "x": x,
        "y": y,
        "axes": [(name, known_parameters(space.rule)[name].label) for name in names],
        "x_label": known_parameters(space.rule)[x].label,
        "y_label": known_parameters(space.rule)[y].label,
        "columns": drawn.x.tolist(),
        "rows": [
            {"y": at, "cells": [_cell(cell, neutral, most, best) for cell in line]}
            for at, line in zip(drawn.y.tolist(), drawn.best.tolist(), strict=True)
        ],
        "has_others": len(names) > 2,
        "shown": (drawn.x.size, drawn.y.size),
        "whole": (whole.x.size, whole.y.size),
    }


def _cell(value: float, neutral: float, most: float, best: float | None) -> dict[str, Any]:
    """A value and its shade: g1 to g4 above the neutral value, l1 to l4 below, none where there is no value."""
    if not np.isfinite(value):
        return {"value": None, "shade": "none", "is_best": False}
    strength = 0 if most == 0.0 else int(np.ceil(abs(value - neutral) / most * SHADES))
    shade = "0" if strength == 0 else f"{'g' if value > neutral else 'l'}{strength}"
    return {"value": value, "shade": shade, "is_best": value == best}
