"""Candidate and champion are compared on one span, whatever the market does meanwhile."""

import numpy as np
import pytest
from django.db.models.signals import post_save

from accounts.models import AuditEvent
from backtesting import comparison, promotion
from backtesting.models import BacktestRun, GateDecision
from exchanges import candles
from signals.models import ModelStatus, ModelVersion
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH
from tests.signals.series import make_series

pytestmark = pytest.mark.django_db


@pytest.fixture
def newcomer(champion, learners):
    version = scenes.make_champion(scenes.make_ensemble(learners, long=0.4, short=0.4), oos_start_ms=champion.oos_start_ms)
    ModelVersion.objects.filter(pk=version.pk).update(status=ModelStatus.CANDIDATE)
    ModelVersion.objects.filter(pk=champion.pk).update(status=ModelStatus.CHAMPION)
    return version


@pytest.fixture
def moving_market():
    """Two bars close between one backtest and the next."""

    def close_bars(created, **_):
        if created and BacktestRun.objects.filter(status="done").exists():
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


def test_it_tests_nobody_against_a_champion_that_fell_meanwhile(champion, newcomer):
    won = comparison.Difference(*(1.0 for _ in comparison.Difference._fields))
    ModelVersion.objects.filter(pk=champion.pk).update(status=ModelStatus.ARCHIVED)
    assert promotion._test(newcomer, champion, won, "better by far", {}) is None
    newcomer.refresh_from_db()
    assert newcomer.status == ModelStatus.CANDIDATE
    assert not GateDecision.objects.exists()


def test_it_refuses_what_cannot_be_compared_and_says_why(champion, newcomer):
    ModelVersion.objects.filter(pk=newcomer.pk).update(symbols=["SOL/USDT:USDT"])
    judged = promotion.judge(newcomer.pk)
    assert judged.status == ModelStatus.REFUSED
    assert "could not be compared with version" in judged.reason
    assert "no candles" in judged.reason
    assert ModelVersion.objects.champion() == champion


# --- the numbers


DAYS = 24


@pytest.fixture
def long_market(db):
    """Enough out-of-sample time to judge by: its first bar's open."""
    for symbol, seed in ((BTC, 7), (ETH, 8)):
        market = scenes.make_market(symbol, frame=make_series(scenes.BARS + DAYS * 96, symbol=symbol, seed=seed))
    return candles.last_open_ms(market, "15m") - DAYS * 96 * scenes.BAR_MS


def rivals(learners, oos_start_ms, *, old: float, new: float):
    """(champion, candidate), which differ in how sure they are of longs."""
    champion = scenes.make_champion(scenes.make_ensemble(learners, long=old, short=0.3), oos_start_ms=oos_start_ms)
    candidate = scenes.make_champion(scenes.make_ensemble(learners, long=new, short=0.3), oos_start_ms=oos_start_ms)
    ModelVersion.objects.filter(pk=candidate.pk).update(status=ModelStatus.CANDIDATE)
    ModelVersion.objects.filter(pk=champion.pk).update(status=ModelStatus.CHAMPION)
    return champion, candidate


def test_a_twin_of_the_champion_stays_a_candidate_no_longer_and_the_numbers_are_kept(long_market, learners):
    champion, candidate = rivals(learners, long_market, old=0.7, new=0.7)
    judged = promotion.judge(candidate.pk)
    decision = GateDecision.objects.get()
    assert (judged.status, decision.verdict, decision.reason) == (ModelStatus.REFUSED, "stayed", judged.reason)
    assert (decision.candidate, decision.champion) == (candidate, champion)
    assert (decision.mean, decision.low, decision.high, decision.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert decision.candidate_trades == decision.champion_trades == decision.candidate_run.metrics["metrics"]["trades"]["value"]
    for run in (decision.candidate_run, decision.champion_run):
        assert (run.start_ms, run.end_ms) == (decision.start_ms, decision.end_ms)
        grown = np.prod(1.0 + promotion._daily_pct(run) / 100.0)
        assert grown == pytest.approx(1.0 + float(sum(trade.pnl for trade in run.trades.all())) / promotion.CAPITAL)
    assert decision.days in (DAYS, DAYS + 1)
    event = AuditEvent.objects.get(action="model_refused")
    assert event.detail["decision"] == decision.pk


def test_a_candidate_that_trades_is_compared_with_a_champion_that_does_not(long_market, learners, monkeypatch):
    monkeypatch.setattr(promotion, "LEAST_TRADES", 3)
    _, candidate = rivals(learners, long_market, old=0.4, new=0.7)
    promotion.judge(candidate.pk)
    decision = GateDecision.objects.get()
    assert (decision.champion_trades, decision.candidate_trades > 3) == (0, True)
    assert decision.mean == pytest.approx(promotion._daily_pct(decision.candidate_run).mean())
    assert (decision.verdict == "promoted") is (decision.low > 0.0 and decision.p_value <= decision.level)
    assert (decision.attempt, decision.level) == (1, 0.01)
    assert "at a level of 0.0100 (attempt 1 at this champion)" in decision.reason


def test_a_candidate_that_does_not_trade_is_refused_whatever_the_champion_lost(long_market, learners):
    champion, candidate = rivals(learners, long_market, old=0.7, new=0.4)
    judged = promotion.judge(candidate.pk)
    assert judged.reason.startswith("too few trades to tell")
    assert GateDecision.objects.get().candidate_trades == 0
    assert ModelVersion.objects.champion() == champion


def test_two_models_without_a_trade_change_nothing(long_market, learners):
    champion, candidate = rivals(learners, long_market, old=0.4, new=0.4)
    assert promotion.judge(candidate.pk).status == ModelStatus.REFUSED
    decision = GateDecision.objects.get()
    assert (decision.candidate_trades, decision.champion_trades, decision.mean, decision.p_value) == (0, 0, 0.0, 1.0)
    assert ModelVersion.objects.champion() == champion


def test_a_short_span_is_too_little_to_tell(champion, newcomer, monkeypatch):
    monkeypatch.setattr(promotion, "LEAST_TRADES", 0)
    assert promotion.judge(newcomer.pk).reason.startswith("too few days to tell (20 are needed)")


def test_what_was_not_simulated_on_the_same_bars_is_not_compared(champion, newcomer):
    promotion.judge(newcomer.pk)
    new, old = BacktestRun.objects.order_by("pk")
    promotion._compare(new, old)
    for name, value in (("end_ms", old.end_ms + scenes.BAR_MS), ("symbols", [BTC]), ("capital", 1)):
        before = getattr(old, name)
        setattr(old, name, value)
        with pytest.raises(promotion.NotComparable, match=f"^{name} is"):
            promotion._compare(new, old)
        setattr(old, name, before)


def test_every_test_against_a_champion_spends_of_its_level_and_what_could_not_be_tested_spends_nothing(champion, newcomer, monkeypatch):
    def again() -> None:
        ModelVersion.objects.filter(pk=newcomer.pk).update(status=ModelStatus.CANDIDATE)
        promotion.judge(newcomer.pk)

    again()  # too few trades
    monkeypatch.setattr(promotion, "LEAST_TRADES", 0)
    again()  # too few days
    monkeypatch.setattr(promotion, "LEAST_DAYS", 1)
    again()
    again()
    told = list(GateDecision.objects.order_by("pk").values_list("attempt", "level"))
    assert told[:2] == [(None, None)] * 2
    assert [attempt for attempt, _ in told[2:]] == [1, 2]
    assert [level for _, level in told[2:]] == pytest.approx([0.01, 0.05 * 4 / 30])
    GateDecision.objects.update(champion=newcomer)
    again()
    assert GateDecision.objects.order_by("-pk")[0].attempt == 1, "another champion's tests are none of this one's"


def test_staff_see_the_numbers(champion, newcomer, sam, client_for):
    promotion.judge(newcomer.pk)
    decision = GateDecision.objects.get()
    page = client_for(sam).get("/admin/backtesting/gatedecision/").content.decode()
    assert f"{decision.low:+.4f} to {decision.high:+.4f}" in page
    assert "Champion stays" in page
    GateDecision.objects.update(attempt=3, level=0.0048)
    page = client_for(sam).get(f"/admin/backtesting/gatedecision/{decision.pk}/change/").content.decode()
    assert "0.0048" in page
    assert "less with every test" in page
