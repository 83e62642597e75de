"""The daily look: has the world left what the model learned from? If it has, a new model is trained, though not again and again."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction

from exchanges.models import JobStatus
from signals import registry, training
from signals.distributions import PREDICTIONS, Reference, reference_of
from signals.drift import windows
from signals.drift.comparing import Compared, Limits, compare
from signals.drift.windows import Window
from signals.models import DriftFeature, DriftReport, DriftSource, DriftVerdict, ModelStatus, ModelVersion, TrainingRun
from signals.training.params import TrainingParams
from traderai.lib import clock
from traderai.lib.errors import UserError

log = structlog.get_logger(__name__)

DAY_MS = 86_400_000
LEAST_ROWS = 100
KEPT_DAYS = 400
NAMED = 5


class NothingToCompare(UserError):
    """The model's markets have no bars after its training."""


def limits() -> Limits:
    """As the settings say."""
    return Limits(settings.DRIFT_PSI, settings.DRIFT_KS, settings.DRIFT_FALSE_DISCOVERY, settings.DRIFT_FEATURE_SHARE)


def check_champions() -> list[DriftReport]:
    """Look at the champion of every scope. What cannot be looked at is logged and does not stop the others."""
    reports = []
    for model in ModelVersion.objects.filter(status=ModelStatus.CHAMPION).order_by("pk"):
        try:
            reports.append(check(model))
        except UserError as error:
            log.warning("drift could not be looked at", model=model.pk, error=error.message)
    return reports


def check(model: ModelVersion, *, days: int | None = None) -> DriftReport:
    """Compare the last `days` (settings.DRIFT_WINDOW_DAYS) of the model's markets with what it learned from, and store the result.

    The window ends with the newest stored bar, so that a replayed market is judged by its own time, and begins after the training span. A
    day has one report: looking again on the same day replaces it. A model that drifts asks for a training, see `retrain`.
    Raises NothingToCompare, UnknownSymbol, ModelDamaged.
    """
    end_ms = windows.newest_close_ms(model)
    start_ms = max((end_ms or 0) - (days or settings.DRIFT_WINDOW_DAYS) * DAY_MS, model.oos_start_ms)
    if end_ms is None or start_ms >= end_ms:
        raise NothingToCompare(
            f"model: the markets of {model.scope} v{model.version} have no bars after {clock.from_ms(model.oos_start_ms):%Y-%m-%d %H:%M} UTC, "
            "where its training ended; backfill or stream newer ones",
            field="model",
        )
    stored = registry.reference(model)
    window = windows.read(model, start_ms, end_ms, with_answers=stored is not None)
    reference = stored or _from_candles(model)
    chosen = limits()
    found = compare(reference, window.values, window.moments, step_ms=window.step_ms, limits=chosen) if len(window.moments) else []
    report = _store(model, start_ms, end_ms, window, DriftSource.TRAINING if stored else DriftSource.CANDLES, chosen, found)
    if report.verdict == DriftVerdict.DRIFTED:
        retrain(report)
    return report


def retrain(report: DriftReport) -> TrainingRun | None:
    """Ask for a training because of a report, unless one of the scope was asked for within settings.DRIFT_COOL_DOWN_DAYS. The report says which."""
    model = report.model
    run, note = None, "settings say not to train by itself (DRIFT_RETRAIN)"
    if settings.DRIFT_RETRAIN:
        since = clock.now() - timedelta(days=settings.DRIFT_COOL_DOWN_DAYS)
        counted = TrainingRun.objects.exclude(status__in=[JobStatus.FAILED, JobStatus.CANCELLED]).filter(params__scope=model.scope)
        recent = counted.filter(created_at__gte=since).order_by("-pk").first()
        if recent is not None:
            note = f"training {recent.pk} of this scope was asked for within the last {settings.DRIFT_COOL_DOWN_DAYS} days"
        else:
            run, note = _train(report)
    DriftReport.objects.filter(pk=report.pk).update(retrain=run or report.retrain, retrain_note="" if run or report.retrain else note)
    report.refresh_from_db()
    return run


def _train(report: DriftReport) -> tuple[TrainingRun | None, str]:
    model = report.model
    known = {name: model.params[name] for name in TrainingParams.__dataclass_fields__ if name in model.params}
    params = {**known, "scope": model.scope, "venue": model.venue_slug, "timeframe": model.timeframe}
    try:
        return training.start(model.symbols, params=params, reason=f"drift of {model.scope} v{model.version}: {report.reason}"), ""
    except UserError as error:
        return None, error.message


def _from_candles(model: ModelVersion) -> Reference:
    """For a model that was registered without a reference: features of the bars it learned from. Its answers there are those of somebody who
    has seen the solutions, so they are no reference for new ones and are left out."""
    past = windows.read(model, model.train_start_ms, model.train_end_ms + 1, with_answers=False)
    if len(past.moments) < LEAST_ROWS:
        raise NothingToCompare(
            f"model: the candles that {model.scope} v{model.version} learned from are not stored any more; train a new model", field="model"
        )
    return reference_of(past.columns, past.values, past.moments, step_ms=past.step_ms)


def _store(
    model: ModelVersion, start_ms: int, end_ms: int, window: Window, source: DriftSource, chosen: Limits, found: list[Compared]
) -> DriftReport:
    verdict, reason = judge(found, chosen, rows=len(window.moments))
    tested = [one for one in found if one.is_tested]
    facts: dict[str, Any] = {
        "start_ms": start_ms,
        "end_ms": end_ms,
        "rows": len(window.moments),
        "source": source,
        "verdict": verdict,
        "reason": reason,
        "tested": len(tested),
        "different": sum(one.is_different for one in tested),
        "limits": asdict(chosen),
        "checked_at": clock.now(),
    }
    with transaction.atomic():
        report, _ = DriftReport.objects.update_or_create(model=model, day=clock.from_ms(end_ms - 1).date(), defaults=facts)
        report.features.all().delete()
        DriftFeature.objects.bulk_create([_row(report, one) for one in found])
        DriftReport.objects.filter(model=model, day__lt=report.day - timedelta(days=KEPT_DAYS)).delete()
    return report


def _row(report: DriftReport, one: Compared) -> DriftFeature:
    plain = {name: getattr(one, name) for name in ("name", "psi", "ks", "p_value", "independent", "is_tested", "is_different")}
    return DriftFeature(report=report, is_prediction=one.name in PREDICTIONS, histogram=one.histogram._asdict(), **plain)


def judge(found: list[Compared], chosen: Limits, *, rows: int) -> tuple[DriftVerdict, str]:
    """The verdict over all columns, and its reason in words.

    A model drifts when one of its answers is distributed differently, or at least `feature_share` of its tested features are: single
    features leave their past all the time, and trees bear that.
    """
    tested = [one for one in found if one.is_tested]
    if rows < LEAST_ROWS or not tested:
        return DriftVerdict.UNKNOWN, f"{rows} rows are too few, or too much alike, to tell."
    inputs = [one for one in tested if one.name not in PREDICTIONS]
    moved = sorted((one for one in inputs if one.is_different), key=lambda one: -one.psi)
    answers = [one for one in tested if one.name in PREDICTIONS and one.is_different]
    share = len(moved) / len(inputs) if inputs else 0.0
    named = ", ".join(f"{one.name} (PSI {one.psi:.2f}, KS {one.ks:.2f})" for one in [*answers, *moved][:NAMED])
    said = f"{len(moved)} of {len(inputs)} features that could be tested ({share:.0%}) differ from training"
    said += f", and so does the {' and the '.join(one.name for one in answers)}" if answers else ""
    said += f": {named}." if named else "."
    is_drifted = bool(answers) or (bool(inputs) and share >= chosen.feature_share)
    return (DriftVerdict.DRIFTED if is_drifted else DriftVerdict.STABLE), said
