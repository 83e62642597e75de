"""A champion after its promotion: watched for six weeks, sent back when it is worse, and never back and forth."""

from datetime import timedelta

import numpy as np
import pytest

from accounts.models import AuditEvent
from backtesting import tasks, watch
from backtesting.models import WatchLook
from exchanges import candles
from signals import registry
from signals.events import model_rolled_back
from signals.models import ModelStatus, ModelVersion
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH
from tests.signals.series import make_series
from traderai.lib import clock

pytestmark = pytest.mark.django_db
DAY_BARS = 96


@pytest.fixture
def market(db):
    """Time for the first look after warm-up, and the two days in which its last outcomes become known."""
    for symbol, seed in ((BTC, 7), (ETH, 8)):
        scenes.make_market(symbol, frame=make_series(scenes.features.WARMUP_BARS + 17 * DAY_BARS, symbol=symbol, seed=seed))
    return candles.find_market(BTC)


def succession(market, learners, *, old: float, new: float) -> tuple[ModelVersion, ModelVersion]:
    """(former, champion) that always answer these chances for both sides; the champion was promoted where the warm-up ends."""
    former = scenes.make_champion(scenes.make_ensemble(learners, long=old, short=old))
    champion = scenes.make_champion(scenes.make_ensemble(learners, long=new, short=new))
    ModelVersion.objects.filter(pk=champion.pk).update(status=ModelStatus.CANDIDATE)
    ModelVersion.objects.filter(pk=former.pk).update(status=ModelStatus.CHAMPION)
    champion.refresh_from_db()
    champion = registry.promote(champion, "better")
    champion.promoted_at = clock.from_ms(candles.last_open_ms(market, "15m") - 17 * DAY_BARS * scenes.BAR_MS)
    champion.save(update_fields=["promoted_at"])
    return former, champion


def test_a_champion_that_is_sure_of_what_does_not_come_goes_back(market, learners, django_capture_on_commit_callbacks):
    former, champion = succession(market, learners, old=0.45, new=0.98)
    assert champion.replaces == former
    heard = []

    def hear(**told) -> None:
        heard.append((told["model_id"], told["former_id"]))

    model_rolled_back.connect(hear)
    with django_capture_on_commit_callbacks(execute=True):
        look = watch.watch(champion)
    model_rolled_back.disconnect(hear)
    assert (look.number, look.is_worse, look.days) == (1, True, pytest.approx(14, abs=1))
    assert look.mean > 0.5
    assert look.p_value <= look.level
    former.refresh_from_db()
    champion.refresh_from_db()
    assert (former.status, champion.status) == (ModelStatus.CHAMPION, ModelStatus.ARCHIVED)
    assert f"v{champion.version} predicts worse than v{former.version}, look 1: log loss" in former.reason
    assert former.reason in champion.reason
    assert heard == [(champion.pk, former.pk)]
    event = AuditEvent.objects.get(action="model_rolled_back")
    assert (event.detail["model"], event.detail["replaced"], event.detail["look"]) == (former.pk, champion.pk, look.pk)


def test_it_never_goes_back_and_forth(market, learners):
    former, champion = succession(market, learners, old=0.45, new=0.98)
    watch.watch(champion)
    former.refresh_from_db()
    assert former.replaces is None
    assert watch.watch_champions() == []
    assert watch.watch(former) is None
    champion.refresh_from_db()
    assert watch.watch(champion) is None, "its look was taken, and the next one is not due"
    assert ModelVersion.objects.champion() == former


@pytest.mark.parametrize("new", [0.45, 0.40])
def test_a_champion_that_is_no_worse_or_hardly_stays(market, learners, new):
    _, champion = succession(market, learners, old=0.45, new=new)
    [look] = watch.watch_champions()
    assert (look.is_worse, ModelVersion.objects.champion()) == (False, champion)


def test_each_look_is_taken_once_and_when_it_is_due(market, learners):
    _, champion = succession(market, learners, old=0.45, new=0.45)
    assert watch.watch(champion) is not None
    assert watch.watch(champion) is None, "the second is due in two weeks"
    ModelVersion.objects.filter(pk=champion.pk).update(promoted_at=champion.promoted_at + timedelta(days=2))
    WatchLook.objects.all().delete()
    champion.refresh_from_db()
    assert watch.watch(champion) is None, "the outcomes of its last bars are not known"


def test_the_watch_ends(market, learners):
    former, champion = succession(market, learners, old=0.45, new=0.98)
    for number in range(1, len(watch.LOOK_DAYS) + 1):
        WatchLook.objects.create(
            champion=champion, former=former, number=number, start_ms=0, end_ms=1, rows=1, days=1, level=0.01, is_worse=False, reason="calm"
        )
    assert watch.watch(champion) is None


def test_a_model_that_staff_brought_back_is_not_watched(market, learners):
    former, champion = succession(market, learners, old=0.45, new=0.45)
    former.refresh_from_db()
    assert registry.promote(former, "the new one feels wrong").replaces is None
    assert watch.watch_champions() == []
    champion.refresh_from_db()
    with pytest.raises(registry.NotPromotable, match="replaced no other model"):
        registry.roll_back(ModelVersion.objects.champion(), "again")


def test_both_are_judged_by_the_same_bars_and_by_known_outcomes(market, learners):
    former, champion = succession(market, learners, old=0.45, new=0.6)
    start_ms = clock.to_ms(champion.promoted_at)
    seen = watch.losses(champion, former, start_ms, start_ms + 14 * watch.DAY_MS)
    assert seen.champion.shape == seen.former.shape
    assert 0.9 * 2 * 14 * DAY_BARS / 4 <= seen.rows <= 2 * 14 * DAY_BARS / 4
    # A constant answer p costs -h ln p - (1 - h) ln(1 - p) on a day with the hit rate h: both give the same h.
    rates = [(loss + np.log1p(-p)) / (np.log1p(-p) - np.log(p)) for loss, p in ((seen.champion, 0.6), (seen.former, 0.45))]
    assert rates[0] == pytest.approx(rates[1], abs=1e-6)


def test_markets_that_stood_still_tell_nothing(market, learners, monkeypatch):
    monkeypatch.setattr(watch, "LEAST_DAYS", 100)
    _, champion = succession(market, learners, old=0.45, new=0.98)
    look = watch.watch(champion)
    assert (look.is_worse, look.p_value) == (False, None)
    assert "too few to tell" in look.reason


def test_the_beat_watches(market, learners):
    _, champion = succession(market, learners, old=0.45, new=0.45)
    tasks.watch_champions(later_added_argument=1)
    assert WatchLook.objects.get().champion == champion


def test_a_sound_champion_is_seldom_sent_away():
    """Daily losses of two equally good models with a memory of two days, at the first and shortest look."""
    sent = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(2, 16))
        first, second = noise[:, 2:] + 0.5 * noise[:, 1:-1]
        found = watch.comparison.paired(first, second)
        sent += found.mean > 0.0 and found.p_value <= watch.LEVEL
    assert sent / 200 <= 0.05
