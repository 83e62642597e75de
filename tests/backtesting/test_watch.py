"""A champion after its promotion: watched for six weeks, sent back when it is worse, and never back and forth."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from accounts.models import AuditEvent
from backtesting import realised, tasks, watch
from backtesting.models import BacktestRun, GateDecision, WatchLook
from exchanges import candles
from signals import registry
from signals.events import model_rolled_back
from signals.models import ModelStatus, ModelVersion, Signal
from tests.exchanges.trading import make_position
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
    assert f"v{champion.version} was sent back, because it predicts worse than v{former.version}: look 1: log loss" in former.reason
    assert "0 of its signals closed, too few or nothing to hold them against" in former.reason
    assert (look.level, look.signals, look.realised_p) == (pytest.approx(0.05 / 6), 0, None)
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
    for number in range(1, 4):
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


def test_the_looks_are_settings_and_what_is_left_of_the_level_is_shared_by_those_to_come(market, learners, settings):
    _, champion = succession(market, learners, old=0.45, new=0.45)
    settings.WATCH_LOOK_DAYS, settings.WATCH_LEVEL = (20, 40), 0.1
    assert watch.watch(champion) is None, "fourteen days are not enough any more"
    settings.WATCH_LOOK_DAYS = (7, 15)
    assert [(watch.watch(champion).days, watch.level_of([])) for _ in range(2)] == [
        (pytest.approx(7, abs=1), 0.025),
        (pytest.approx(15, abs=1), 0.025),
    ]
    assert watch.watch(champion) is None
    assert watch.level_of([0.02]) == pytest.approx(0.03)
    settings.WATCH_LEVEL = 0.03
    assert watch.level_of([0.02]) == 0.0, "spent already"


def test_a_sound_champion_is_seldom_sent_away():
    """Daily losses of two equally good models, and results that keep what was promised, both with a memory of two days, at all three looks."""
    sent = [0, 0, 0]
    runs = 300
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(2, 44))
        first, second = noise[:, 2:] + 0.5 * noise[:, 1:-1]
        heavy = rng.standard_t(4, size=44)
        earned = 0.3 + heavy[2:] + 0.5 * heavy[1:-1]
        fell = [False, False]
        for days in (14, 28, 42):
            found = watch.comparison.paired(first[:days], second[:days])
            fell[0] |= found.mean > 0.0 and found.p_value <= watch.level_of([]) == 0.05 / 6
            p = realised.p_below(realised.Realised(earned[:days], 2 * days), 0.3)
            fell[1] |= p <= watch.level_of([])
        sent = [count + fallen for count, fallen in zip(sent, (*fell, any(fell)), strict=True)]
    assert sent[2] / runs <= 0.05 + 2.0 * np.sqrt(0.05 * 0.95 / runs)
    assert sent[2] > 0


# --- what its signals earned


def closed(user, champion, *, net_pct: float, number: int, exit_reason: str = "stop", signal: Signal | None = None) -> Signal:
    """A signal of the champion, three a day since its promotion, and a position of the user's that its plan has closed with this result."""
    bar_ms = clock.to_ms(champion.promoted_at) + number * 8 * 3_600_000
    bar_ms -= bar_ms % scenes.BAR_MS
    market = candles.find_market(BTC)
    signal = signal or scenes.make_signal(market, bar_ms=bar_ms, model=champion, status="expired")
    at = clock.from_ms(bar_ms)
    notional = Decimal(100)
    make_position(
        user, market, origin=f"signal:{signal.pk}", status="closed", qty=0, qty_opened=notional / 50_000, closed_at=at, opened_at=at,
        exit_reason=exit_reason, realised_pnl=notional * Decimal(str(net_pct)) / 100 + 3, fees=Decimal(2), funding=Decimal(-1),
    )  # fmt: skip
    return signal


def promise(champion, low: float) -> None:
    champion.metrics = {"trading": {"overall": {"mean_net_pct_low": low}}}
    champion.save(update_fields=["metrics"])


def results(seed: int = 3) -> list[float]:
    """Net results of 40 signals: half a percent lost on average."""
    return np.random.default_rng(seed).normal(-0.5, 0.3, 40).tolist()


def test_a_champion_whose_signals_earn_less_than_it_was_promoted_on_goes_back(market, learners, alice):
    former, champion = succession(market, learners, old=0.45, new=0.45)
    promise(champion, 0.1)
    for number, net_pct in enumerate(results()):
        closed(alice, champion, net_pct=net_pct, number=number)
    look = watch.watch(champion)
    assert (look.is_worse, look.signals, look.promised_pct) == (True, 40, 0.1)
    assert look.realised_pct == pytest.approx(np.mean(results()), abs=0.05)
    assert look.realised_p <= look.level < look.p_value
    former.refresh_from_db()
    assert former.status == ModelStatus.CHAMPION
    assert "because its signals earned less than it was promoted on: look 1" in former.reason
    assert "predicts worse" not in former.reason


@pytest.mark.parametrize(
    ("low", "how", "said"),
    [
        (-0.6, {}, "at least -0.60 % were promised"),
        (None, {}, "40 of its signals closed, too few or nothing to hold them against"),
        (0.1, {"exit_reason": "manual"}, "0 of its signals closed"),
    ],
)
def test_it_stays_when_they_keep_the_promise_when_there_is_none_and_when_people_closed_them(market, learners, alice, low, how, said):
    _, champion = succession(market, learners, old=0.45, new=0.45)
    promise(champion, low)
    for number, net_pct in enumerate(results()):
        closed(alice, champion, net_pct=net_pct, number=number, **how)
    look = watch.watch(champion)
    assert not look.is_worse
    assert said in look.reason


def test_a_signal_counts_once_however_many_took_it_and_others_signals_not_at_all(market, learners, alice, bob):
    former, champion = succession(market, learners, old=0.45, new=0.45)
    signal = closed(alice, champion, net_pct=1.0, number=0)
    closed(bob, champion, net_pct=-2.0, number=0, signal=signal)
    closed(alice, champion, net_pct=4.0, number=3)
    Signal.objects.filter(pk=closed(alice, champion, net_pct=9.0, number=5).pk).update(model=former)
    start_ms = clock.to_ms(champion.promoted_at)
    seen = realised.of_signals(champion, start_ms - scenes.BAR_MS, start_ms + 14 * watch.DAY_MS)
    assert (seen.signals, seen.by_day.tolist()) == (2, [-0.5, 4.0])
    assert realised.p_below(seen, 1.0) is None


def test_the_promise_is_that_of_the_comparison_that_made_it_champion(market, learners):
    former, champion = succession(market, learners, old=0.45, new=0.45)
    assert realised.promised_pct(champion) is None
    promise(champion, 0.1)
    assert realised.promised_pct(champion) == 0.1
    run = BacktestRun.objects.create(
        model=champion, symbols=[BTC], capital=10_000, risk_profile="medium", metrics={"metrics": {"expectancy_pct": {"low": -0.2}}}
    )
    GateDecision.objects.create(candidate=champion, champion=former, candidate_run=run, verdict="promoted", reason="better")
    assert realised.promised_pct(champion) == -0.2
