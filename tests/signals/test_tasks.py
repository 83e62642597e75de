import pytest
from celery import current_app
from django.conf import settings

from exchanges import candles, streams
from exchanges.models import Order
from signals import tasks
from signals.models import ScanRun, Signal, TrainingRun
from tests.signals import scenes
from tests.signals.scenes import BAR_MS, ETH
from tests.signals.series import make_series
from traderai.lib import clock

pytestmark = pytest.mark.django_db


def test_every_beat_of_this_app_has_its_task():
    current_app.loader.import_default_modules()
    names = [entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values() if entry["task"].startswith("signals.")]
    assert names
    assert set(names) <= set(current_app.tasks)


def test_two_beats_within_five_minutes_scan_once(monkeypatch, ensemble):
    scenes.make_market(ETH)
    monkeypatch.setattr(clock, "now_ms", lambda: 1_700_000_100_000)
    tasks.scan()
    tasks.scan()
    assert [run.slot for run in ScanRun.objects.all()] == ["beat:2023-11-14T22:15Z"]
    monkeypatch.setattr(clock, "now_ms", lambda: 1_700_000_400_000)
    tasks.scan()
    assert ScanRun.objects.count() == 2


def test_a_closed_candle_is_scanned_traded_and_told_once(alice, ensemble, django_capture_on_commit_callbacks):
    frame = make_series(scenes.BARS + 1, symbol=ETH)
    market = scenes.make_market(ETH, frame=frame.slice(0, scenes.BARS))
    scenes.make_champion(ensemble)
    scenes.make_config(alice, scenes.make_account(alice, balance=10_000), auto_trade=True, started_at=clock.now())
    with django_capture_on_commit_callbacks(execute=True):
        streams.close_bar(market, frame.slice(scenes.BARS, scenes.BARS + 1))
    signal = Signal.objects.get()
    assert signal.bar_ms == candles.last_open_ms(market, "15m") == int(frame.timestamp[-1])
    assert Order.objects.get().origin == f"signal:{signal.pk}"
    with django_capture_on_commit_callbacks(execute=True):
        tasks.scan_bar(bar_ms=signal.bar_ms)
    assert (Signal.objects.count(), Order.objects.count(), ScanRun.objects.count()) == (1, 1, 1)


def test_the_minute_beat_expires_and_trades_what_was_lost(alice, ensemble):
    market = scenes.make_market(ETH, bars=20)
    over = scenes.make_signal(market, bar_ms=candles.last_open_ms(market, "15m") - 10 * BAR_MS)
    close = float(candles.read(market, "15m", last=1).close[-1])
    scenes.make_config(alice, scenes.make_account(alice, balance=10_000), auto_trade=True, started_at=clock.now())
    tasks.expire_signals()
    over.refresh_from_db()
    assert over.status == "expired"
    fresh = scenes.make_signal(market, entry=close, step=close * 0.02)
    tasks.expire_signals()
    assert Order.objects.get().origin == f"signal:{fresh.pk}"


def test_a_training_runs_by_its_id(trained):
    run = TrainingRun.objects.create(symbols=[scenes.BTC, ETH], params={"folds": 2, "rounds": 5, "stride": 16})
    tasks.run_training(run_id=run.pk, later_added_argument=1)
    run.refresh_from_db()
    assert (run.status, run.model.status) == ("done", "candidate")


def test_the_training_sweep_wakes_what_nobody_took(django_capture_on_commit_callbacks):
    run = TrainingRun.objects.create(symbols=["NOPE/USDT"], params={})
    TrainingRun.objects.filter(pk=run.pk).update(created_at=clock.from_ms(0))
    with django_capture_on_commit_callbacks(execute=True):
        tasks.sweep_trainings()
    run.refresh_from_db()
    assert run.status == "failed"
    assert "NOPE/USDT" in run.error
