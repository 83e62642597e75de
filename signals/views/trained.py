"""Models: which there are, which decides, and how far each may be believed."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.formats import date_format
from django.views.decorators.http import require_safe

from exchanges.models import Provenance
from signals import autotrade
from signals.models import ModelStatus, ModelVersion
from signals.views import figures
from traderai.lib import clock

PAGE_SIZE = 25
BADGES = {
    ModelStatus.CHAMPION: "badge--ok",
    ModelStatus.REFUSED: "badge--bad",
    ModelStatus.CANDIDATE: "badge--warn",
}


@login_required
@require_safe
def model_list(request: HttpRequest) -> HttpResponse:
    """Every trained model, newest first."""
    page = Paginator(ModelVersion.objects.order_by("-id"), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "signals/models.html", {"page": page, "rows": [_row(model) for model in page]})


@login_required
@require_safe
def model_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One model: what it learned from, every figure with its sample, and its leak tests."""
    model = get_object_or_404(ModelVersion, pk=pk)
    metrics = model.metrics
    context = {
        **_row(model),
        "spans": _spans(model),
        "params": sorted((name, value) for name, value in model.params.items() if not isinstance(value, dict)),
        "plan": sorted(model.params.get("plan", {}).items()),
        "costs": sorted(model.params.get("costs", {}).items()),
        "learners": figures.learners(model),
        "sides": figures.sides(metrics),
        "independent": metrics.get("independent_samples", {}),
        "verdict": metrics.get("text", ""),
        "held": autotrade.held(model),
        "leak_tests": figures.leak_tests(metrics),
        "trading": figures.trading(metrics),
        "reliability": figures.reliability(metrics),
        "precision": figures.precision(metrics),
        "coverage": figures.coverage(metrics),
        "paths": figures.paths(metrics),
    }
    return render(request, "signals/model.html", context)


def _row(model: ModelVersion) -> dict[str, Any]:
    """A model with what a list shows of it."""
    tests, overall = model.metrics.get("leak_tests"), model.metrics.get("trading", {}).get("overall")
    return {
        "model": model,
        "badge": BADGES.get(ModelStatus(model.status), ""),
        "is_simulated": model.provenance == Provenance.SIMULATED,
        "train_start": clock.from_ms(model.train_start_ms),
        "train_end": clock.from_ms(model.train_end_ms),
        "leaks": "not run" if tests is None else figures.LEAK_WORDS[tests["passed"]][0],
        "figures": None if overall is None else figures.trade_row("Overall", overall),
        "deflated": None if overall is None else figures.pct(overall.get("deflated_sharpe"), 0),
    }


def _spans(model: ModelVersion) -> list[tuple[str, str]]:
    def moment(ms: int) -> str:
        return date_format(clock.from_ms(ms), "j M Y H:i") + " UTC"

    return [
        ("Training bars", f"{moment(model.train_start_ms)} to {moment(model.train_end_ms)}"),
        ("Unseen time begins", moment(model.oos_start_ms)),
    ]
