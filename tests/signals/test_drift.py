"""The daily look at a champion: what it says, what it stores, what it asks for, and how it is shown."""

import json
from datetime import timedelta
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from exchanges import candles
from exchanges.models import JobStatus
from exchanges.ports import CandleFrame
from signals import registry, tasks, training
from signals.distributions import PREDICTIONS
from signals.drift import checks
from signals.drift.comparing import Compared, Histogram, Limits
from signals.models import DriftReport, DriftVerdict, ModelStatus, ModelVersion, TrainingRun
from tests.signals import scenes
from traderai.lib import clock

pytestmark = pytest.mark.django_db
DAY_BARS = 96


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch):
    """No worker takes the trainings that are asked for."""
    monkeypatch.setattr("signals.receivers.nudge", lambda *_, **__: None)


def unfold(symbol: str, bars: int, *, wild: float, seed: int = 3) -> None:
    """Let the market go on for some bars, with returns `wild` times those it had."""
    market = candles.find_market(symbol)
    past = candles.read(market, "15m")
    returns = np.random.default_rng(seed).choice(np.diff(np.log(past.close)), bars) * wild
    close = past.close[-1] * np.exp(np.cumsum(returns))
    opened = np.concatenate(([past.close[-1]], close[:-1]))
    stretch = 1.0 + np.abs(returns) * 0.3
    high, low = np.maximum(opened, close) * stretch, np.minimum(opened, close) / stretch
    times = past.timestamp[-1] + (1 + np.arange(bars, dtype=np.int64)) * scenes.BAR_MS
    volume = np.random.default_rng(seed).choice(past.volume, bars) * wild
    candles.ingest(market, CandleFrame(symbol, "15m", times, opened, high, low, close, volume), provenance=market.provenance)


def one(name: str, *, psi: float = 0.0, ks: float = 0.0, is_tested: bool = True, is_different: bool = False) -> Compared:
    return Compared(name, psi, ks, 0.5, 40.0, is_tested, is_different, Histogram((), (1.0,), (1.0,)))


def test_a_training_stores_what_it_learned_from(trained):
    reference = registry.reference(trained)
    assert reference.columns == (*trained.features, *PREDICTIONS)
    assert reference.sample.shape == (min(4_000, reference.rows), len(reference.columns))
    assert np.isfinite(reference.sample[:, : len(trained.features)]).all()
    answers = reference.sample[:, -2:]
    assert 0.5 < np.isfinite(answers).mean() < 1.0, "samples before the first test block have no answer by somebody who had not seen them"
    content, files = registry.verified(trained)
    assert set(files) - {registry.REFERENCE} == set(content["files"]) - {registry.REFERENCE}
    assert files[registry.REFERENCE].startswith(b"\x93NUMPY")
    assert reference.days == pytest.approx((trained.train_end_ms - trained.train_start_ms) / 86_400_000, rel=0.05)


def test_a_changed_reference_is_refused(trained, settings, tmp_path):
    import shutil

    shutil.copytree(settings.MODEL_DIR / trained.artefact, tmp_path / trained.artefact)
    settings.MODEL_DIR = tmp_path
    path = tmp_path / trained.artefact / registry.REFERENCE
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(registry.ModelDamaged, match=r"reference.npy has changed"):
        registry.reference(trained)


def test_a_look_stores_every_column_with_its_histogram(trained):
    report = checks.check(trained)
    assert report.source == "training"
    assert report.verdict in DriftVerdict.values
    assert report.start_ms >= trained.oos_start_ms
    assert report.end_ms == candles.last_open_ms(candles.find_market(scenes.BTC), "15m") + scenes.BAR_MS
    rows = list(report.features.all())
    assert {row.name for row in rows} == {*trained.features, *PREDICTIONS}
    assert sum(row.is_prediction for row in rows) == 2
    assert report.tested == sum(row.is_tested for row in rows) > 20
    for row in rows:
        assert sum(row.histogram["reference"]) == pytest.approx(1.0)
        assert sum(row.histogram["current"]) == pytest.approx(1.0)
        assert len(row.histogram["edges"]) == len(row.histogram["current"]) - 1


def test_a_day_has_one_report(trained):
    first = checks.check(trained)
    again = checks.check(trained)
    assert (again.pk, DriftReport.objects.count()) == (first.pk, 1)
    assert again.features.count() == len(trained.features) + 2


def test_another_world_is_noticed_and_a_training_asked_for_once(trained, settings):
    settings.DRIFT_WINDOW_DAYS = 14
    for symbol in trained.symbols:
        unfold(symbol, 14 * DAY_BARS, wild=6.0)
    report = checks.check(trained)
    assert report.verdict == DriftVerdict.DRIFTED
    assert report.different / report.tested >= settings.DRIFT_FEATURE_SHARE
    run = report.retrain
    assert (run.status, run.symbols, run.scope) == (JobStatus.QUEUED, trained.symbols, trained.scope)
    assert run.params["folds"] == trained.params["folds"]
    assert run.reason.startswith(f"drift of default v{trained.version}: ")

    run.status = JobStatus.DONE
    run.save(update_fields=["status"])
    for symbol in trained.symbols:
        unfold(symbol, DAY_BARS, wild=6.0, seed=5)
    later = checks.check(trained)
    assert (later.verdict, later.retrain) == (DriftVerdict.DRIFTED, None)
    assert later.retrain_note == f"training {run.pk} of this scope was asked for within the last 7 days"
    assert TrainingRun.objects.count() == 1

    TrainingRun.objects.filter(pk=run.pk).update(created_at=clock.now() - timedelta(days=7, minutes=1))
    assert checks.retrain(later).pk != run.pk
    assert TrainingRun.objects.count() == 2


def test_a_failed_training_is_no_reason_to_wait(trained):
    report = make_report(trained)
    failed = TrainingRun.objects.create(symbols=trained.symbols, params={"scope": "default"}, status=JobStatus.FAILED)
    run = checks.retrain(report)
    assert run.pk != failed.pk
    assert checks.retrain(report) is None
    report.refresh_from_db()
    assert report.retrain == run


def test_it_trains_nothing_when_told_so(trained, settings):
    settings.DRIFT_RETRAIN = False
    report = make_report(trained)
    assert checks.retrain(report) is None
    assert "DRIFT_RETRAIN" in report.retrain_note
    assert not TrainingRun.objects.exists()


def test_what_cannot_be_trained_is_said_on_the_report(trained):
    report = make_report(trained)
    candles.forget(candles.find_market(trained.symbols[0]))
    assert checks.retrain(report) is None
    assert "has no candles" in report.retrain_note


def make_report(model: ModelVersion, **changes) -> DriftReport:
    facts = {
        "day": clock.now().date(),
        "start_ms": 0,
        "end_ms": 1,
        "rows": 1_000,
        "source": "training",
        "verdict": DriftVerdict.DRIFTED,
        "reason": "much has moved",
        "tested": 10,
        "different": 5,
        "limits": {"psi": 0.15, "ks": 0.1, "false_discovery": 0.05, "feature_share": 0.2},
        "checked_at": clock.now(),
    }
    return DriftReport.objects.create(model=model, **facts | changes)


def test_a_model_without_a_reference_is_measured_by_its_candles(ensemble):
    symbols = [scenes.BTC]
    market = scenes.make_market(scenes.BTC, bars=6_000)
    first, last = int(candles.read(market, "15m").timestamp[0]), candles.last_open_ms(market, "15m")
    cut = last - 10 * DAY_BARS * scenes.BAR_MS
    model = scenes.make_champion(
        ensemble, symbols=symbols, oos_start_ms=cut + 1, train_start_ms=first, train_end_ms=cut, params={"stride": 4}
    )
    assert registry.reference(model) is None
    report = checks.check(model)
    assert report.source == "candles"
    assert not report.features.filter(is_prediction=True).exists()
    assert report.rows == pytest.approx(10 * DAY_BARS / 4, abs=2)


def test_a_model_whose_markets_stand_still_is_not_looked_at(ensemble):
    market = scenes.make_market(scenes.BTC, bars=3_000)
    later = candles.last_open_ms(market, "15m") + scenes.BAR_MS
    model = scenes.make_champion(ensemble, symbols=[scenes.BTC], oos_start_ms=later)
    with pytest.raises(checks.NothingToCompare, match="have no bars after"):
        checks.check(model)
    assert checks.check_champions() == []


# --- the verdict


@pytest.mark.parametrize(
    ("different", "answers", "expected"),
    [(0, False, DriftVerdict.STABLE), (19, False, DriftVerdict.STABLE), (20, False, DriftVerdict.DRIFTED), (0, True, DriftVerdict.DRIFTED)],
)
def test_a_fifth_of_the_features_or_one_answer_makes_a_drift(different, answers, expected):
    columns = [one(f"f{k}", psi=0.3, is_different=k < different) for k in range(100)]
    columns += [one(name, is_different=answers) for name in PREDICTIONS]
    verdict, reason = checks.judge(columns, Limits(), rows=1_000)
    assert verdict == expected
    assert f"{different} of 100 features" in reason


def test_columns_that_cannot_be_tested_count_for_nothing():
    columns = [one(f"f{k}", psi=9.0, ks=1.0, is_tested=False) for k in range(100)]
    assert checks.judge(columns, Limits(), rows=1_000)[0] == DriftVerdict.UNKNOWN
    assert checks.judge([*columns, one("g")], Limits(), rows=1_000)[0] == DriftVerdict.STABLE
    assert checks.judge([one("g")], Limits(), rows=99)[0] == DriftVerdict.UNKNOWN


# --- beat, command, page


def test_the_beat_looks_at_every_champion_and_at_nobody_else(trained):
    tasks.check_drift(later_added_argument=1)
    assert DriftReport.objects.get().model == trained
    ModelVersion.objects.update(status=ModelStatus.ARCHIVED)
    DriftReport.objects.all().delete()
    tasks.check_drift()
    assert not DriftReport.objects.exists()


def test_the_command_tells_people_and_programs(trained):
    out = StringIO()
    call_command("check_drift", json=True, stdout=out)
    told = json.loads(out.getvalue())
    assert (told["model"], told["verdict"]) == (trained.pk, DriftReport.objects.get().verdict)
    assert len(told["columns"]) == len(trained.features) + 2
    plain = StringIO()
    call_command("check_drift", days=3, stdout=plain)
    assert "features that could be tested" in plain.getvalue() or "too few" in plain.getvalue()


@pytest.mark.parametrize(("options", "said"), [({"scope": "elsewhere"}, "has no champion"), ({"days": 0}, "days: must be 1 or more")])
def test_the_command_refuses_what_makes_no_sense(db, options, said):
    with pytest.raises(CommandError, match=said):
        call_command("check_drift", **options)


def test_the_page_shows_the_verdict_the_columns_and_their_plots(trained, client_for, alice):
    address = reverse("models:drift", args=[trained.pk])
    trader = client_for(alice)
    assert "Nobody has looked yet" in trader.get(address).content.decode()
    report = checks.check(trained)
    earlier = make_report(trained, day=report.day - timedelta(days=1), reason="calm")
    row = report.features.order_by("name").first()
    earlier.features.create(
        name=row.name, psi=0.01, ks=0.02, p_value=0.9, independent=50, is_tested=True, is_different=False, histogram=row.histogram
    )
    page = trader.get(address, {"feature": row.name}).content.decode()
    assert report.get_verdict_display() in page
    assert f'<h2 id="histogram-heading">{row.name}</h2>' in page
    assert page.count('class="drift-plot__now"') == len(row.histogram["current"])
    assert page.count('class="drift-plot__point"') == 2
    assert page.count("&amp;feature=") == len(trained.features) + 2
    assert "style=" not in page.partition("<main")[2]
    assert "calm" in trader.get(address, {"day": earlier.day.isoformat()}).content.decode()
    assert trader.get(address, {"day": "nonsense", "feature": "nonsense"}).status_code == 200
    assert trader.get(reverse("models:drift", args=[trained.pk + 1])).status_code == 404


def test_the_page_asks_a_fixed_number_of_questions(trained, client_for, alice, django_assert_max_num_queries):
    for days in range(12):
        make_report(trained, day=clock.now().date() - timedelta(days=days))
    checks.check(trained)
    trader = client_for(alice)
    trader.get(reverse("models:drift", args=[trained.pk]))
    with django_assert_max_num_queries(16):
        trader.get(reverse("models:drift", args=[trained.pk]))


def test_a_training_says_why_nobody_asked_for_it(trained):
    run = training.queue(trained.symbols, params={"folds": 2, "rounds": 20, "stride": 8}, reason="drift of default v1")
    assert run.lines.get().text == "Asked for: drift of default v1."
