"""Candidate and champion are compared on one span, whatever the market does meanwhile."""

import pytest
from django.db.models.signals import post_save

from backtesting import promotion
from backtesting.models import BacktestRun
from exchanges import candles
from signals.models import ModelStatus, ModelVersion
from tests.signals import scenes
from tests.signals.scenes import BTC

pytestmark = pytest.mark.django_db


@pytest.fixture
def newcomer(champion, learners):
    version = scenes.make_champion(scenes.make_ensemble(learners, long=0.4, short=0.4), oos_start_ms=champion.oos_start_ms)
    ModelVersion.objects.filter(pk=version.pk).update(status=ModelStatus.CANDIDATE)
    ModelVersion.objects.filter(pk=champion.pk).update(status=ModelStatus.CHAMPION)
    return version


@pytest.fixture
def moving_market():
    """Two bars close in the moment in which a backtest is done."""

    def close_bars(instance, **_):
        if instance.status == "done":
            price = 2_000.0
            scenes.next_bars(candles.find_market(BTC), [(price, price, price, price)] * 2)

    post_save.connect(close_bars, sender=BacktestRun, weak=False)
    yield
    post_save.disconnect(close_bars, sender=BacktestRun)


def test_it_compares_on_one_span_while_bars_come_in(newcomer, moving_market):
    before = candles.last_open_ms(candles.find_market(BTC), "15m")
    promotion.judge(newcomer.pk)
    assert candles.last_open_ms(candles.find_market(BTC), "15m") > before
    spans = {(run.start_ms, run.end_ms) for run in BacktestRun.objects.all()}
    assert BacktestRun.objects.count() == 2
    assert spans == {(newcomer.oos_start_ms, before + scenes.BAR_MS)}


def test_it_lets_the_first_model_of_a_scope_be_its_champion(champion, newcomer):
    ModelVersion.objects.filter(pk=champion.pk).update(status=ModelStatus.ARCHIVED)
    judged = promotion.judge(newcomer.pk)
    assert (judged.status, judged.reason) == (ModelStatus.CHAMPION, "first of its scope")
    assert BacktestRun.objects.count() == 0


def test_it_refuses_what_cannot_be_compared_and_says_why(champion, newcomer):
    ModelVersion.objects.filter(pk=newcomer.pk).update(symbols=["SOL/USDT:USDT"])
    judged = promotion.judge(newcomer.pk)
    assert judged.status == ModelStatus.REFUSED
    assert "could not be compared with version" in judged.reason
    assert "no candles" in judged.reason
    assert ModelVersion.objects.champion() == champion
