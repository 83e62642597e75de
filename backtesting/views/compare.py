"""Several runs side by side: their figures in columns, their curves on one chart, their settings where they differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from backtesting.models import BacktestRun
from backtesting.views.report import HEADLINE, LABELS, figure
from exchanges.models import JobStatus
from traderai.lib import clock

LEAST, MOST = 2, 6
DAY = "%Y-%m-%d %H:%M"
LEFT_OUT = ("data", "libraries", "model", "markets", "code_version", "risk_profile")
"""Parts of the stored settings that have a line of their own or say the same for every market."""


@login_required
@require_safe
def run_compare(request: HttpRequest) -> HttpResponse:
    """?run=1&run=5: two to six finished runs of mine; others are left out."""
    asked = list(dict.fromkeys(int(text) for text in request.GET.getlist("run") if text.isdecimal() and len(text) < 10))
    mine = BacktestRun.objects.for_user(request.user).filter(status=JobStatus.DONE).select_related("model").in_bulk(asked[:100])
    runs = [mine[pk] for pk in asked if pk in mine]
    context: dict[str, Any] = {"runs": runs[:MOST], "is_too_many": len(runs) > MOST, "most": MOST}
    if len(runs) >= LEAST:
        context |= side_by_side(runs[:MOST])
    return render(request, "backtesting/compare.html", context)


def side_by_side(runs: Sequence[BacktestRun]) -> dict[str, Any]:
    """What the page shows: rows of figures, rows of settings, and the curves from 100 on."""
    names = [*HEADLINE, *(name for name in LABELS if name not in HEADLINE)]
    known = [name for name in names if any(name in run.metrics["metrics"] for run in runs)]
    told = [_settings(run) for run in runs]
    keys = list(dict.fromkeys(key for settings in told for key in settings))
    rows = [_row(key, [settings.get(key, "–") for settings in told]) for key in keys]
    return {
        "figure_rows": [{"label": LABELS[name][0], "figures": [_figure(run, name) for run in runs]} for name in known],
        "settings_rows": [row for row in rows if row["differs"]],
        "same_rows": [row for row in rows if not row["differs"]],
        "curves": [{"name": f"Backtest {run.pk}", "rows": rebased(run)} for run in runs],
        "warnings": _warnings(runs),
    }


def _figure(run: BacktestRun, name: str) -> dict[str, Any] | None:
    found = run.metrics["metrics"].get(name)
    return None if found is None else figure(name, found, run.currency)


def _row(key: str, values: list[str]) -> dict[str, Any]:
    return {"label": key, "values": values, "differs": len(set(values)) > 1}


def rebased(run: BacktestRun) -> list[list[float]]:
    """The equity as [time in ms, value], the capital being 100."""
    capital = float(run.capital)
    return [[at, round(value / capital * 100.0, 4)] for at, value in zip(run.equity["timestamps"], run.equity["equity"], strict=True)]


def _settings(run: BacktestRun) -> dict[str, str]:
    """Every setting of a run as a person reads it."""
    span = run.metrics["span"]
    rest = {name: part for name, part in run.params.items() if name not in LEFT_OUT}
    return {
        "markets": ", ".join(run.symbols),
        "venue": run.venue_slug,
        "from": f"{clock.from_ms(span['start_ms']):{DAY}}",
        "until": f"{clock.from_ms(span['end_ms']):{DAY}}",
        "capital": f"{run.capital} {run.currency}",
        "risk": run.get_risk_profile_display(),
        "decided by": run.strategy_label,
        "data": run.data_hash[:12] or "not kept",
        "code": run.code_version or "not kept",
        **_flat(rest),
    }


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in tree.items():
        label = f"{prefix}{key}".replace("_", " ")
        found |= _flat(value, f"{label}: ") if isinstance(value, Mapping) else {label: _text(value)}
    return found


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(each) for each in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _warnings(runs: Sequence[BacktestRun]) -> list[str]:
    """Why the columns may not be compared one with another."""
    spans = {(run.metrics["span"]["start_ms"], run.metrics["span"]["end_ms"]) for run in runs}
    said = []
    if len(spans) > 1:
        said.append("The spans differ: a figure of one time says little about another time.")
    if len({tuple(sorted(run.symbols)) for run in runs}) > 1:
        said.append("The markets differ.")
    simulated = {run.provenance == "simulated" for run in runs}
    if len(simulated) > 1:
        said.append("Simulated and real markets stand side by side: they have nothing in common.")
    elif simulated == {True}:
        said.append("Every market here is simulated: nothing of it says what a real market would bring.")
    said.append(f"The best of {len(runs)} is flattered by its luck: the more runs are compared, the less its lead means.")
    return said
