"""What models look at: every feature with its meaning, its formula's source and the history it needs."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from signals import processing
from signals.forms import FeatureFilterForm
from signals.models import ModelVersion
from traderai.lib.http import wants_fragment

HOUR_MS = 3_600_000


@login_required
@require_safe
def feature_list(request: HttpRequest) -> HttpResponse:
    """The catalogue, by family and name; the table alone when htmx asks."""
    entries = _entries()
    form = FeatureFilterForm(request.GET, families=dict.fromkeys(entry["family"] for entry in entries))
    found = _narrow(entries, form)
    context = {
        "form": form,
        "features": found,
        "count": len(found),
        "total": len(entries),
        "base_timeframe": settings.BASE_TIMEFRAME,
        "champion": ModelVersion.objects.champion(),
    }
    return render(request, "signals/features.html#table" if wants_fragment(request) else "signals/features.html", context)


def _entries() -> list[dict[str, Any]]:
    from signals.features import CATALOGUE, words  # numba: a second for the first reader, none for a process that starts

    hours = processing.bar_ms() / HOUR_MS
    entries = []
    for spec in CATALOGUE:
        described = words.describe(spec.name)
        meaning = described.words if described else spec.name
        entries.append({**spec._asdict(), "meaning": meaning, "warmup_hours": spec.warmup_bars * hours})
    return entries


def _narrow(entries: list[dict[str, Any]], form: FeatureFilterForm) -> list[dict[str, Any]]:
    """What the query string asks for; nothing when it makes no sense."""
    if not form.is_valid():
        return []
    family, word = form.cleaned_data["family"], form.cleaned_data["q"].casefold()
    return [
        entry
        for entry in entries
        if family in ("", entry["family"]) and any(word in entry[part].casefold() for part in ("name", "family", "source", "meaning"))
    ]
