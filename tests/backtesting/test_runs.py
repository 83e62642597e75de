"""Runs as jobs: judged before a row exists, run once, every figure with span and sample; and the champion's judge."""

from datetime import timedelta

import numpy as np
import pytest

from backtesting import arrays, exports, preparation, promotion, runs
from backtesting.models import BacktestRun, BacktestTrade
from exchanges import candles
from exchanges.models import Position
from exchanges.ports import CandleFrame, FundingFrame
from signals import registry, strategies
from signals.models import ModelStatus, ModelVersion
from tests.backtesting.conftest import BARS
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH
from tests.signals.series import make_series
from traderai.lib import clock
from traderai.lib.errors import UserError

pytestmark = pytest.mark.django_db
HOUR_MS = 3_600_000


def start(user=None, **changes):
    return runs.start(user, **{"symbols": [BTC, ETH], "capital": 1000, "risk_profile": "medium", "queue": False, **changes})


def done(run):
    runs.execute(run.pk)
    run.refresh_from_db()
    return run


def test_it_reports_every_figure_with_span_and_sample(champion):
    run = done(start())
    assert run.status == "done", run.error
    found = run.metrics
    n, left_open = (found["metrics"][name]["value"] for name in ("trades", "open_at_end"))
    assert n + left_open == BacktestTrade.objects.filter(run=run).count()
    assert n > 0
    assert left_open == BacktestTrade.objects.filter(run=run, exit_reason="end_of_data").count()
    sample = found["sample"]
    assert sample["bars"] == sample["candidates"] + sum(sample["judged"].values())
    assert sample["signals"] == n + left_open + sum(sample["refused"].values())
    for name in (
        "hit_rate_tp1", "win_rate", "profit_factor", "sharpe", "sortino", "max_drawdown_pct", "expectancy_pct", "total_return_pct",
        "final_equity", "trades", "fees", "funding",
    ):  # fmt: skip
        figure = found["metrics"][name]
        assert {"value", "start", "end", "n"} <= figure.keys(), name
        assert figure["value"] is not None or figure["reason"], name
    assert found["span"]["start_ms"] == champion.oos_start_ms
    assert found["label"] == "SIMULATED MARKET"
    assert found["sample"]["trades"] == n
    assert len(run.equity["timestamps"]) == len(run.equity["equity"]) <= 2000


def test_it_touches_nothing_before_out_of_sample_time_and_fills_after_the_decision(champion):
    run = done(start())
    trades = list(run.trades.all())
    assert all(trade.signal_ms >= champion.oos_start_ms for trade in trades)
    assert all(trade.entry_ms == trade.signal_ms + scenes.BAR_MS for trade in trades)
    verdicts = {check["name"]: check["verdict"] for check in run.metrics["checks"]}
    assert (verdicts["Out-of-sample time only"], verdicts["Not chosen by this time"]) == ("pass", "pass")
    assert sum(trade.pnl for trade in trades) == pytest.approx(run.metrics["metrics"]["final_equity"]["value"] - 1000, abs=1e-6)


def test_it_says_when_the_model_claimed_more_than_came(learners, db):
    """A model that is sure of every rise, on a market that only falls."""
    frame = make_series(BARS, symbol=BTC, seed=7)
    fall = np.exp(-0.001 * np.arange(len(frame)))
    prices = (column * fall for column in (frame.open, frame.high, frame.low, frame.close))
    market = scenes.make_market(BTC, frame=CandleFrame(BTC, "15m", frame.timestamp, *prices, frame.volume))
    scenes.make_champion(scenes.make_ensemble(learners, long=0.9), oos_start_ms=candles.last_open_ms(market, "15m") - 600 * scenes.BAR_MS)
    run = done(start(symbols=[BTC], capital=1_000_000))
    check = next(check for check in run.metrics["checks"] if check["name"] == "Probability claimed and seen")
    assert check["verdict"] == "warn"
    assert "TP1 was given 90.0% on average and reached by" in check["detail"]


def test_it_counts_trades_of_markets_that_move_as_one_once(learners, db):
    """The same candles under two names: twice the trades, the same knowledge."""
    frame = make_series(BARS, symbol=BTC, seed=7)
    market = scenes.make_market(BTC, frame=frame)
    scenes.make_market(ETH, frame=CandleFrame(ETH, *frame[1:]))
    scenes.make_champion(scenes.make_ensemble(learners), oos_start_ms=candles.last_open_ms(market, "15m") - 600 * scenes.BAR_MS)
    one, two = (done(start(symbols=symbols, capital=1_000_000)).metrics["metrics"] for symbols in ([BTC], [BTC, ETH]))
    assert two["trades"]["value"] == 2 * one["trades"]["value"] > 4
    for name in ("hit_rate_tp1", "win_rate"):
        assert two[name]["value"] == one[name]["value"]
        assert two[name]["high"] - two[name]["low"] >= 0.9 * (one[name]["high"] - one[name]["low"])


def test_its_figures_follow_from_the_trades_it_hands_out(champion):
    """Recomputed from the exported list alone, by their definitions."""
    run = done(start())
    cells = [dict(zip(exports.HEADER, row, strict=True)) for row in exports.rows(run)]
    closed = [cell for cell in cells if cell["exit_reason"] != "end_of_data"]
    value = {name: figure["value"] for name, figure in run.metrics["metrics"].items()}
    gains, losses = (sum(abs(cell["pnl"]) for cell in closed if (cell["pnl"] > 0) == won) for won in (True, False))
    assert value["hit_rate_tp1"] == pytest.approx(sum(cell["tps_hit"] >= 1 for cell in closed) / len(closed))
    assert value["win_rate"] == pytest.approx(sum(cell["pnl"] > 0 for cell in closed) / len(closed))
    assert value["profit_factor"] == pytest.approx(gains / losses)
    assert value["expectancy_pct"] == pytest.approx(
        sum(100 * cell["pnl"] / (cell["qty"] * cell["entry_price"]) for cell in closed) / len(closed)
    )
    assert value["total_return_pct"] == pytest.approx(sum(cell["pnl"] for cell in cells) / 1000 * 100)
    for cell in cells:
        sign = 1 if cell["side"] == "long" else -1
        gross = sign * (cell["exit_price"] - cell["entry_price"]) * cell["qty"]
        assert cell["pnl"] == pytest.approx(gross - cell["fees"] + cell["funding"], abs=1e-9)


def test_it_gives_the_same_answer_twice(champion):
    first, second = done(start()), done(start())
    assert first.metrics["metrics"] == second.metrics["metrics"]
    assert first.equity == second.equity


def test_it_sees_no_future_when_it_ends_earlier(champion):
    whole = done(start())
    cut_ms = champion.oos_start_ms + 300 * scenes.BAR_MS
    part = done(start(end_ms=cut_ms))
    kept = [(t.symbol, t.entry_ms, t.exit_ms, round(t.pnl, 9)) for t in part.trades.order_by("number") if t.exit_reason != "end_of_data"]
    assert kept == [(t.symbol, t.entry_ms, t.exit_ms, round(t.pnl, 9)) for t in whole.trades.order_by("number")][: len(kept)]
    assert part.end_ms == cut_ms


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"capital": 0}, "capital", "more than 0"),
        ({"capital": -5}, "capital", "more than 0"),
        ({"capital": "lots"}, "capital", "not a number"),
        ({"capital": float("nan")}, "capital", "more than 0"),
        ({"capital": "1.001"}, "capital", "decimals"),
        ({"risk_profile": "yolo"}, "risk_profile", "low, medium, high"),
        ({"symbols": []}, "symbols", "at least one"),
        ({"symbols": ["NOPE/USDT:USDT"]}, "symbols", "not listed"),
        ({"symbols": ["SOL/USDT:USDT"]}, "symbols", "no candles"),
        ({"start_ms": 1_000}, "start", "start there or later"),
        ({"end_ms": 1_000}, "end", "after the start"),
    ],
)
def test_it_refuses_bad_input_in_one_line_and_stores_nothing(champion, changes, field, words):
    with pytest.raises(UserError) as refused:
        start(**changes)
    assert refused.value.field == field
    assert words in refused.value.message
    assert "\n" not in refused.value.message
    assert BacktestRun.objects.count() == 0


def test_it_takes_the_first_out_of_sample_day_as_its_first_moment(champion):
    day_ms = champion.oos_start_ms // runs.DAY_MS * runs.DAY_MS
    assert day_ms < champion.oos_start_ms
    assert start(start_ms=day_ms).requested_start_ms == champion.oos_start_ms
    with pytest.raises(UserError, match="start there or later"):
        start(start_ms=day_ms - 1)


def test_it_needs_candles_within_the_asked_span(champion):
    newest = candles.last_open_ms(candles.find_market(BTC), "15m")
    with pytest.raises(UserError, match="has no 15m candles between"):
        start(start_ms=newest + scenes.BAR_MS)
    assert BacktestRun.objects.count() == 0


def test_it_takes_no_more_runs_than_a_person_can_read(champion, alice):
    for _ in range(runs.MOST_UNFINISHED):
        start(alice)
    with pytest.raises(UserError, match="let one finish"):
        start(alice)
    assert BacktestRun.objects.count() == runs.MOST_UNFINISHED


def test_it_stops_quietly_when_the_run_is_removed_meanwhile(champion):
    run = start()
    seen = []

    def remove(stage, share):
        seen.append(stage)
        BacktestRun.objects.all().delete()

    runs.execute(run.pk, progress=remove)
    assert len(seen) == 1
    assert (BacktestRun.objects.count(), BacktestTrade.objects.count()) == (0, 0)


def test_it_does_not_sell_spot_short(learners, db):
    spot = "BTC/USDT"
    frame = make_series(BARS, symbol=spot, seed=7)
    scenes.make_market(spot, frame=frame)
    ensemble = scenes.make_ensemble(learners, long=0.3, short=0.7)
    scenes.make_champion(ensemble, symbols=[spot], oos_start_ms=int(frame.timestamp[-600]))
    run = done(start(symbols=[spot]))
    assert run.metrics["sample"]["candidates"] == 0
    assert run.metrics["metrics"]["trades"]["value"] == 0
    assert run.metrics["metrics"]["hit_rate_tp1"] | {"start": "", "end": ""} == {
        "value": None, "n": 0, "reason": "no trades", "start": "", "end": "",
    }  # fmt: skip
    assert run.metrics["metrics"]["funding"]["value"] == 0


def test_it_charges_stored_funding_and_the_default_outside_of_it(champion):
    market = candles.find_market(BTC)
    first = champion.oos_start_ms
    stored = np.array([first // HOUR_MS * HOUR_MS + 8 * HOUR_MS * k for k in range(2, 5)])
    candles.ingest_funding(market, FundingFrame(stored, np.full(3, 0.0007)), provenance="simulated")
    ensemble, template = registry.load(champion), strategies.template("ml-ensemble")
    prepared = preparation.prepare(market, ensemble, template, start_ms=first, end_ms=None, bitcoin=None)
    bars, _ = arrays.merge([prepared])
    charged = bars.timestamp[bars.due["row"][bars.due["rate"] != 0]]
    assert charged.tolist() == stored.tolist()
    owed = bars.due[bars.due["cost"] > 0]
    by_default = bars.timestamp[owed["row"]]
    assert len(by_default) > 50
    assert not ((by_default > stored[0]) & (by_default <= stored[-1] + 8 * HOUR_MS)).any()
    assert (by_default < stored[0]).any()
    assert (by_default > stored[-1]).any()
    assert set(owed["cost"].tolist()) == {1e-4}


def test_it_needs_a_champion():
    scenes.make_market(BTC)
    with pytest.raises(UserError, match="no champion yet"):
        start(symbols=[BTC])


def test_it_needs_candles_after_the_training(champion):
    ModelVersion.objects.update(oos_start_ms=clock.now_ms())
    with pytest.raises(UserError, match="no 15m candles after"):
        start()


def test_it_asks_no_model_of_another_timeframe(champion):
    ModelVersion.objects.filter(pk=champion.pk).update(timeframe="1h")
    with pytest.raises(UserError, match="learned from 1h bars") as caught:
        start()
    assert caught.value.field == "model"
    assert BacktestRun.objects.count() == 0


def test_it_never_mixes_a_simulated_model_with_real_prices(champion):
    ModelVersion.objects.update(provenance="file")
    with pytest.raises(UserError, match="both be simulated or both be real"):
        start()


def test_it_runs_once_whoever_asks(champion):
    run = done(start())
    finished = run.finished_at
    assert runs.execute(run.pk).finished_at == finished


def test_it_keeps_the_reason_of_a_failure(champion):
    run = start()
    ModelVersion.objects.update(manifest_sha256="0" * 64)
    with pytest.raises(UserError):
        runs.execute(run.pk)
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.error


def test_it_wakes_a_run_whose_worker_was_killed(champion, django_capture_on_commit_callbacks):
    run = start()
    BacktestRun.objects.update(status="running", heartbeat_at=clock.now() - timedelta(minutes=10))
    with django_capture_on_commit_callbacks(execute=True):
        assert runs.sweep() == 1
    run.refresh_from_db()
    assert run.status == "done"


def test_it_trades_nobodys_account(champion):
    done(start())
    assert Position.objects.count() == 0


# --- the judge


def candidate(learners, champion, **more):
    version = scenes.make_champion(scenes.make_ensemble(learners, **more), oos_start_ms=champion.oos_start_ms)
    ModelVersion.objects.filter(pk=version.pk).update(status=ModelStatus.CANDIDATE)
    ModelVersion.objects.filter(pk=champion.pk).update(status=ModelStatus.CHAMPION)
    version.refresh_from_db()
    return version


def test_it_keeps_the_champion_when_the_candidate_is_no_better(champion, learners):
    same = promotion.judge(candidate(learners, champion).pk)
    assert same.status == ModelStatus.REFUSED
    assert "not better" in same.reason or "too few trades" in same.reason
    assert ModelVersion.objects.champion().pk == champion.pk


def test_it_keeps_the_champion_when_the_candidate_hardly_trades(champion, learners):
    quiet = promotion.judge(candidate(learners, champion, long=0.4, short=0.4).pk)
    assert (quiet.status, "too few trades" in quiet.reason) == (ModelStatus.REFUSED, True)


def rising(frame):
    """The same candles carried upwards by 0.15 % a bar."""
    factor = np.exp(0.0015 * np.arange(len(frame)))
    prices = (column * factor for column in (frame.open, frame.high, frame.low, frame.close))
    return CandleFrame(frame.symbol, frame.timeframe, frame.timestamp, *prices, frame.volume)


def test_it_promotes_the_better_one_with_its_figures(db, learners, monkeypatch):
    monkeypatch.setattr(promotion, "LEAST_TRADES", 3)
    for symbol, seed in ((BTC, 7), (ETH, 8)):
        market = scenes.make_market(symbol, frame=rising(make_series(BARS + 1_800, symbol=symbol, seed=seed)))
    oos_start_ms = candles.last_open_ms(market, "15m") - 2_400 * scenes.BAR_MS
    quiet = scenes.make_champion(scenes.make_ensemble(learners, long=0.4, short=0.4), oos_start_ms=oos_start_ms - scenes.BAR_MS)
    judged = promotion.judge(candidate(learners, quiet).pk)
    assert judged.status == ModelStatus.CHAMPION, judged.reason
    assert judged.reason.startswith("better on the same out-of-sample span")
    assert f"of version {quiet.version}" in judged.reason
    assert ModelVersion.objects.champion() == judged
    assert {run.requested_start_ms for run in BacktestRun.objects.all()} == {judged.oos_start_ms}
    quiet.refresh_from_db()
    assert quiet.status == ModelStatus.ARCHIVED
    # The time that chose it is no longer unseen, and a report on it says so.
    checks = {check["name"]: check for check in done(start()).metrics["checks"]}
    assert checks["Not chosen by this time"]["verdict"] == "warn"
    assert checks["Not chosen by this time"]["detail"].startswith("other models of its scope tried on time of this span: 1")


def test_it_judges_what_a_lost_message_left_behind(champion, learners):
    left = candidate(learners, champion, long=0.4, short=0.4)
    assert promotion.sweep() == 0
    ModelVersion.objects.filter(pk=left.pk).update(created_at=clock.now() - timedelta(hours=1))
    assert promotion.sweep() == 1
    left.refresh_from_db()
    assert left.status == ModelStatus.REFUSED
    assert promotion.sweep() == 0


def test_it_judges_a_model_once(champion):
    assert promotion.judge(champion.pk).status == ModelStatus.CHAMPION
    assert BacktestRun.objects.count() == 0
    assert candles.find_market(BTC)
