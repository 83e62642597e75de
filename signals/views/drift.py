"""Drift of a model: the verdict of its newest look, every column, one of them as a histogram, and its PSI over time."""

from datetime import date
from typing import Any, NamedTuple

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from signals.models import DriftFeature, DriftReport, ModelVersion
from traderai.lib import clock

DAYS_SHOWN = 90
WIDTH, HEIGHT = 600.0, 180.0


class Bar(NamedTuple):
    """One bin: its range in words, both shares in %, and where its two columns stand in a plot of WIDTH x HEIGHT."""

    label: str
    reference_pct: float
    current_pct: float
    x: float
    width: float
    reference_y: float
    reference_height: float
    current_x: float
    current_y: float
    current_height: float


class Point(NamedTuple):
    """One day's PSI and where it lies in the plot."""

    day: date
    psi: float
    ks: float
    x: float
    y: float


@login_required
@require_safe
def drift(request: HttpRequest, pk: int) -> HttpResponse:
    """`?day=` chooses a report, `?feature=` a column; the newest and the one that moved most when they are not known."""
    model = get_object_or_404(ModelVersion, pk=pk)
    reports = list(DriftReport.objects.filter(model=model).select_related("retrain").order_by("-day")[:DAYS_SHOWN])
    context: dict[str, Any] = {"model": model, "reports": reports}
    if reports:
        shown = next((report for report in reports if report.day.isoformat() == request.GET.get("day")), reports[0])
        rows = list(shown.features.order_by("-is_prediction", "-is_different", "-is_tested", "-psi", "name"))
        chosen = next((row for row in rows if row.name == request.GET.get("feature")), rows[0] if rows else None)
        context |= {
            "report": shown,
            "rows": rows,
            "chosen": chosen,
            "start": clock.from_ms(shown.start_ms),
            "end": clock.from_ms(shown.end_ms),
        }
        if chosen is not None:
            limit = float(shown.limits["psi"])
            context |= {"bars": bars(chosen), "limit": limit, **history(model, chosen.name, limit)}
    return render(request, "signals/drift.html", context)


def bars(row: DriftFeature) -> list[Bar]:
    """The histogram's columns, two a bin, scaled to the highest."""
    found = row.histogram
    edges, reference, current = found["edges"], found["reference"], found["current"]
    highest = max([*reference, *current, 1e-9])
    step = WIDTH / max(len(reference), 1)
    width = step * 0.4
    out = []
    for number, (ours, theirs) in enumerate(zip(reference, current, strict=True)):
        heights = [HEIGHT * share / highest for share in (ours, theirs)]
        x = number * step + step * 0.1
        out.append(
            Bar(
                _range(edges, number),
                ours * 100.0,
                theirs * 100.0,
                round(x, 2),
                round(width, 2),
                round(HEIGHT - heights[0], 2),
                round(heights[0], 2),
                round(x + width, 2),
                round(HEIGHT - heights[1], 2),
                round(heights[1], 2),
            )
        )
    return out


def _range(edges: list[float], number: int) -> str:
    if not edges:
        return "every value"
    if number == 0:
        return f"up to {edges[0]:.4g}"
    if number == len(edges):
        return f"above {edges[-1]:.4g}"
    return f"{edges[number - 1]:.4g} to {edges[number]:.4g}"


def history(model: ModelVersion, name: str, limit: float) -> dict[str, Any]:
    """PSI of one column by day, oldest first, as points, and the height of the limit's line."""
    found = DriftFeature.objects.filter(report__model=model, name=name).order_by("-report__day")
    rows = list(found.values_list("report__day", "psi", "ks")[:DAYS_SHOWN])[::-1]
    highest = max([limit * 1.25, *(psi * 1.1 for _, psi, _ in rows)])
    first, step = (WIDTH / 2, 0.0) if len(rows) == 1 else (0.0, WIDTH / max(len(rows) - 1, 1))
    points = [
        Point(day, psi, ks, round(first + number * step, 2), round(HEIGHT * (1.0 - psi / highest), 2))
        for number, (day, psi, ks) in enumerate(rows)
    ]
    return {
        "points": points,
        "line": " ".join(f"{point.x},{point.y}" for point in points),
        "limit_y": round(HEIGHT * (1.0 - limit / highest), 2),
        "highest": highest,
    }
