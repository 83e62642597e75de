"""Backtests of rules, and the settings of the engine: what is decided, what is refused, and what each setting changes."""

import json
from io import StringIO
from itertools import pairwise

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from backtesting import arrays, runs
from backtesting.engine import Engine, UnfitSetting
from backtesting.models import BacktestRun, BacktestTrade
from exchanges import candles
from exchanges.ports import CandleFrame
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH
from tests.signals.series import make_series
from traderai.lib.errors import UserError

pytestmark = pytest.mark.django_db
BAR_MS, BARS = 900_000, 6_000
FAST = {"fast": 8, "slow": 40}


@pytest.fixture
def markets(db):
    return [scenes.make_market(symbol, frame=make_series(BARS, symbol=symbol, seed=seed)) for symbol, seed in ((BTC, 7), (ETH, 8))]


def start(user=None, **more):
    facts = {
        "symbols": [BTC],
        "capital": 10_000,
        "risk_profile": "medium",
        "strategy": "sma-cross",
        "strategy_params": FAST,
        "queue": False,
    }
    return runs.start(user, **facts | more)


def executed(**more):
    run = runs.execute(start(**more).pk)
    assert run.status == "done"
    return run


def trades_of(run):
    return list(BacktestTrade.objects.filter(run=run).order_by("number").values_list("symbol", "side", "entry_ms", "exit_ms", "pnl"))


def test_it_trades_the_crosses_of_the_averages(markets):
    run = executed()
    frame = candles.read(markets[0], "15m")
    sides = {1: "long", -1: "short"}

    def mean(end, length):
        return frame.close[end - length : end].mean()

    trades = BacktestTrade.objects.filter(run=run)
    assert trades.count() > 20
    for trade in trades:
        end = int(np.searchsorted(frame.timestamp, trade.signal_ms)) + 1
        now, before = mean(end, 8) - mean(end, 40), mean(end - 1, 8) - mean(end - 1, 40)
        assert sides[int(np.sign(now))] == trade.side
        assert now * before < 0
        assert trade.entry_ms == trade.signal_ms + BAR_MS
        assert trade.probability is None
    assert run.strategy_label == "Moving average cross (fast average 8, slow average 40)"
    assert run.params["plan"]["stop_atr"] == 1.5


def test_it_says_that_a_rule_is_not_out_of_sample(markets):
    found = executed().metrics
    assert found["model"] is None
    assert "Not out of sample" in " ".join(found["notes"])
    verdicts = {check["name"]: check["verdict"] for check in found["checks"]}
    assert verdicts["Out-of-sample time only"] == "warn"


def test_it_counts_the_bars_on_which_it_could_not_decide_yet(markets):
    whole = executed()
    frame = candles.read(markets[0], "15m")
    early = whole.metrics["sample"]["judged"]["no_history"]
    first = BacktestTrade.objects.filter(run=whole).earliest("signal_ms")
    assert 0 < early <= np.searchsorted(frame.timestamp, first.signal_ms)
    assert executed(start_ms=int(frame.timestamp[early])).metrics["sample"]["judged"] == {}


def test_an_abbreviation_keeps_its_capitals(markets):
    assert start(strategy="rsi-reversion", strategy_params={}).strategy_label.startswith("RSI reversion (RSI 14, lower level")


def test_the_plan_s_multiples_are_parameters_too(markets):
    near, far = executed(), executed(strategy_params={**FAST, "stop_atr": 3, "hold_hours": 12})
    assert far.params["plan"]["stop_atr"] == 3
    assert far.params["plan"]["max_hold_ms"] == 12 * 3_600_000
    assert trades_of(near) != trades_of(far)


def test_a_reversal_leaves_at_the_open_at_which_the_other_side_is_entered(markets):
    run = executed(engine={"opposite": "reverse"})
    trades = list(BacktestTrade.objects.filter(run=run).order_by("entry_ms"))
    turned = [(old, new) for old, new in pairwise(trades) if old.exit_reason == "opposite"]
    assert len(turned) > 5
    assert all(old.exit_ms == new.entry_ms and old.side != new.side for old, new in turned)
    assert not any(trade.exit_reason == "opposite" for trade in BacktestTrade.objects.filter(run=executed()))


def test_a_limit_entry_is_filled_at_its_price_or_not_at_all(markets):
    run = executed(engine={"entry": "limit", "limit_offset": 0.2, "limit_bars": 3})
    frame = candles.read(markets[0], "15m")
    assert run.metrics["sample"]["refused"]["unfilled"] > 0
    for trade in BacktestTrade.objects.filter(run=run):
        decided = int(np.searchsorted(frame.timestamp, trade.signal_ms))
        waited = (trade.entry_ms - trade.signal_ms) // BAR_MS
        assert 1 <= waited <= 3
        better = trade.entry_price < frame.close[decided] if trade.side == "long" else trade.entry_price > frame.close[decided]
        assert better


def test_costs_by_range_and_by_size_make_it_dearer(markets):
    def paid(**more):
        found = executed(**more).metrics
        return found["costs_paid"]["slippage"] / (found["metrics"]["trades"]["value"] + found["metrics"]["open_at_end"]["value"])

    usual = paid()
    assert paid(engine={"slippage_range_pct": 10}) > 1.2 * usual
    assert paid(engine={"impact": 0.001}) > 1.2 * usual


def test_finer_bars_decide_where_they_are_stored(markets):
    """Minutes in which the price goes to the targets first, in bars that reach the stop, too."""
    market, whole = markets[0], candles.read(markets[0], "15m")
    run = executed()
    stopped = BacktestTrade.objects.filter(run=run, exit_reason="stop").order_by("entry_ms").first()
    at = int(np.searchsorted(whole.timestamp, stopped.exit_ms))
    bar = whole.slice(at, at + 1)
    reach = 40 * abs(stopped.tp1 - stopped.entry_price) * (1 if stopped.side == "long" else -1)
    peak = bar.open[0] + reach
    high, low = max(bar.high[0], peak), min(bar.low[0], peak)
    candles.ingest(
        market,
        CandleFrame(BTC, "15m", bar.timestamp, bar.open, np.array([high]), np.array([low]), bar.close, bar.volume),
        provenance="simulated",
    )
    minutes = bar.timestamp[0] + 60_000 * np.arange(15)
    path = np.concatenate(([bar.open[0], peak], np.full(13, bar.close[0])))
    opens = np.concatenate(([bar.open[0]], path[:-1]))
    highs, lows = np.maximum(opens, path), np.minimum(opens, path)
    highs[5], lows[5] = max(high, highs[5]) if high == bar.high[0] else highs[5], min(low, lows[5]) if low == bar.low[0] else lows[5]
    candles.ingest(market, CandleFrame(BTC, "1m", minutes, opens, highs, lows, path, np.full(15, 1.0)), provenance="simulated")
    coarse, fine = executed(), executed(engine={"detail": "1m"})
    told = [next(check for check in run.metrics["checks"] if check["name"] == "Finer bars inside the bar") for run in (coarse, fine)]
    assert all(check["detail"].startswith(f"1 of {BARS:,} bars have all of their 1m bars stored, and the run used") for check in told)
    assert "and the run used none" in told[0]["detail"]
    assert "and the run used them" in told[1]["detail"]
    same = {"symbol": BTC, "entry_ms": stopped.entry_ms}
    assert BacktestTrade.objects.get(run=coarse, **same).exit_reason == "stop"
    assert BacktestTrade.objects.get(run=fine, **same).exit_reason == "tp3"
    assert set(fine.params["data"]) - set(coarse.params["data"]) == {f"{BTC} finer candles"}


def test_it_liquidates_on_the_mark_price(markets):
    market, whole = markets[0], candles.read(markets[0], "15m")
    usual = executed()
    trade = BacktestTrade.objects.filter(run=usual, side="long").order_by("entry_ms").first()
    at = int(np.searchsorted(whole.timestamp, trade.entry_ms))
    bar = whole.slice(at, at + 1)
    mark = CandleFrame(BTC, "15m", bar.timestamp, bar.open, bar.high, bar.low * 0.01, bar.close, bar.volume)
    candles.ingest(market, mark, provenance="simulated", price="mark")
    liquidated = BacktestTrade.objects.get(run=executed(), entry_ms=trade.entry_ms)
    assert (liquidated.exit_reason, liquidated.exit_ms) == ("liquidation", trade.entry_ms)


def test_it_takes_finer_bars_only_where_all_of_a_bar_are_there(markets):
    frame = candles.read(markets[0], "15m").slice(0, 3)
    stamps = np.concatenate([frame.timestamp[0] + 300_000 * np.arange(3), frame.timestamp[1] + 300_000 * np.arange(2)])
    fives = CandleFrame(BTC, "5m", stamps, *(np.arange(5.0) for _ in range(5)))
    found = arrays.series(markets[0], frame, candles.funding(markets[0]), None, fives)
    assert found.detail_first.tolist() == [0, 3, 3, 3]
    assert found.detail_open.tolist() == [0.0, 1.0, 2.0]


def test_it_is_repeated_exactly(markets):
    first = executed(symbols=[BTC, ETH], engine={"path": "adaptive", "opposite": "reverse"})
    again = runs.execute(runs.repeat(first, queue=False).pk)
    assert again.comparison["same"] is True
    assert trades_of(again) == trades_of(first)
    assert (again.engine, again.strategy_params) == (first.engine, first.strategy_params)


def test_it_ends_with_the_bar_that_all_markets_have_received(markets):
    scenes.next_bars(markets[1], [(100.0, 101.0, 99.0, 100.0)])
    first = executed(symbols=[BTC, ETH])
    assert first.end_ms == candles.last_open_ms(markets[0], "15m") + BAR_MS
    scenes.next_bars(markets[0], [(100.0, 101.0, 99.0, 100.0)])
    assert runs.execute(runs.repeat(first, queue=False).pk).comparison["same"] is True


def test_a_market_that_ended_does_not_end_the_others(markets):
    scenes.next_bars(markets[1], [(100.0, 101.0, 99.0, 100.0)] * 5)
    assert executed(symbols=[BTC, ETH]).end_ms == candles.last_open_ms(markets[1], "15m") + BAR_MS


@pytest.mark.parametrize(
    ("more", "field", "text"),
    [
        ({"strategy": "magic"}, "strategy", "'magic' is unknown; use one of ml-ensemble, sma-cross"),
        ({"strategy_params": {"fast": 50, "slow": 20}}, "fast", "fewer bars"),
        ({"strategy_params": {"fast": "many"}}, "fast", "whole number"),
        ({"strategy_params": {"tp1_atr": 5, "tp2_atr": 3}}, "tp1_atr", "nearer"),
        ({"strategy_params": {"fast": {"low": 1, "high": 2}}}, "fast", "not a range"),
        ({"strategy": "ml-ensemble"}, "model", "no champion"),
        ({"engine": {"path": "lucky"}}, "path", "pessimistic or adaptive or optimistic"),
        ({"engine": {"impact": -1}}, "impact", "from 0 to 10"),
        ({"engine": {"limit_bars": 2.5}}, "limit_bars", "whole number"),
        ({"engine": {"wings": 2}}, "wings", "no such setting"),
        ({"engine": {"detail": "1m"}}, "detail", "none of the chosen markets has 1m candles"),
        ({"start_ms": 2_000_000_000_000, "end_ms": 1_900_000_000_000}, "end", "after the start"),
        ({"start_ms": 2_000_000_000_000}, "start", r"the newest candle is of \d{4}-\d\d-\d\d \d\d:\d\d UTC; start earlier"),
        ({"end_ms": 1_000_000_000_000}, "symbols", r"no 15m candles between .+; its candles are of \d{4}-\d\d-\d\d to "),
    ],
)
def test_it_refuses_what_cannot_be_simulated_and_stores_nothing(markets, more, field, text):
    facts = {"strategy_params": {}} if more.get("strategy") == "ml-ensemble" else {}
    with pytest.raises(UserError, match=text) as caught:
        start(**facts | more)
    assert caught.value.field == field
    assert not BacktestRun.objects.exists()


@pytest.mark.parametrize(
    "more",
    [
        {"strategy_params": {"x" * 100_000: 1}},
        {"strategy_params": {"fast": "9" * 100_000}},
        {"strategy_params": {"fast": {"low": "x" * 100_000}}},
        {"engine": {"y" * 100_000: 1}},
        {"engine": {"impact": "z" * 100_000}},
        {"strategy_params": {"": 1}},
    ],
)
def test_its_refusals_are_short_whatever_was_given(markets, more):
    with pytest.raises(UserError) as caught:
        start(**more)
    assert len(str(caught.value)) < 400
    assert 0 < len(caught.value.field) <= 60


def test_settings_come_back_as_they_went():
    given = {"path": "optimistic", "detail": "5m", "sizing": "notional", "notional_pct": "25", "limit_bars": "2"}
    engine = Engine.parse(given)
    assert Engine.parse(json.loads(json.dumps(engine.to_json()))) == engine
    assert engine.unusual == {"path": "optimistic", "detail": "5m", "sizing": "notional", "notional_pct": 25.0}, (
        "a limit's bars say nothing of orders to market"
    )
    assert engine.changes()["limit_offset"] == 0.0
    with pytest.raises(UnfitSetting, match="impact"):
        Engine.parse({"impact": float("nan")})


def test_the_command_takes_rules_and_settings(markets):
    out = StringIO()
    call_command(
        "backtest", symbols=BTC, capital="10000", strategy="sma-cross", set=["fast=8", "slow=40"], engine=["opposite=reverse"], json=True, stdout=out
    )  # fmt: skip
    told = json.loads(out.getvalue())
    assert told["strategy_params"]["slow"] == 40
    assert told["engine"]["opposite"] == "reverse"
    assert told["metrics"]["trades"]["value"] == executed(engine={"opposite": "reverse"}).metrics["metrics"]["trades"]["value"]
    with pytest.raises(CommandError, match="NAME=VALUE"):
        call_command("backtest", symbols=BTC, strategy="sma-cross", set=["fast"])
    with pytest.raises(CommandError, match="slow: 3000"):
        call_command("backtest", symbols=BTC, strategy="sma-cross", set=["slow=3000"])


@pytest.mark.parametrize(("option", "example"), [("set", "fast=20"), ("engine", "path=adaptive")])
def test_the_example_of_a_pair_is_one_that_the_option_takes(db, option, example):
    with pytest.raises(CommandError, match=f"{option}: 'entry' is not NAME=VALUE, like {example}"):
        call_command("backtest", symbols="BTC/USDT:USDT", strategy="sma-cross", **{option: ["entry"]})


def test_nothing_is_reversed_where_no_short_is_held(markets):
    spot = "BTC/USDT"
    scenes.make_market(spot, frame=make_series(BARS, symbol=spot, seed=9))
    with pytest.raises(UserError, match="BTC/USDT is paid in full") as caught:
        start(symbols=[BTC, spot], engine={"opposite": "reverse"})
    assert caught.value.field == "opposite"
    assert not BacktestRun.objects.exists()
    sides = set(BacktestTrade.objects.filter(run=executed(symbols=[spot])).values_list("side", flat=True))
    assert sides == {"long"}
