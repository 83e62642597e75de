"""What the simulation assumed of its fills, its costs and its data, on scenes small enough to reckon by hand."""

from pathlib import Path

import numpy as np
import pytest

from backtesting import kernel
from backtesting.honesty import costs, fills, repeating, sayings, series, timing, training
from backtesting.honesty.again import Again, Finer, Outcome, again, simulated
from backtesting.honesty.training import Trained, Tries
from backtesting.metrics import Interval
from exchanges.exits import LIQUIDATION, STOP, TAKE_PROFIT_3

BAR_MS, START_MS = 900_000, 1_735_689_600_000
SPEC = kernel.Spec(step_size=0.001, tick=0.01, min_notional=5.0, max_leverage=20, maker=0.0, taker=0.001)
TIERED = SPEC._replace(tiers=(kernel.Tier(0.0, 0.01), kernel.Tier(50_000.0, 0.02, 500.0)))
RULES = kernel.Rules(capital=10_000.0, sizing=1, notional_pct=10.0, max_margin_pct=100.0)


def make_bars(*rows, volume=1_000.0):
    """(open, high, low, close) of bars that follow each other."""
    table = np.array(rows, float)
    stamps = START_MS + BAR_MS * np.arange(table.shape[0])
    return kernel.join([kernel.Series(stamps, *table.T.copy(), np.full(table.shape[0], volume))])


def scene(*rows, rules=RULES, spec=SPEC):
    """Long at the close of the first bar, with a unit of 1."""
    bars = make_bars(*rows)
    side = np.zeros(len(rows), np.int8)
    side[0] = 1
    entries = kernel.entries_of(bars, side, np.ones(len(rows)))
    return simulated(bars, entries, [spec], rules)


QUIET = (100.0, 100.5, 99.5, 100.0)
BOTH = (100.0, 110.0, 98.0, 100.0)
"""Reaches the stop at 98.5 and every target."""


def told(checks):
    return {each["name"]: each for each in checks}


def test_other_paths_and_dearer_costs_are_simulated():
    done = scene(QUIET, QUIET, BOTH, QUIET)
    seen = again(done)
    # 10 coins for 1,000: 15 lost at the stop, 0.1 % of 1,000 and of 985; 4.5, 11 and 13.5 won at the targets, whose fills cost nothing.
    assert seen.paths["pessimistic"] == pytest.approx((-16.985, 1))
    assert seen.paths["adaptive"] == pytest.approx((-16.985, 1))
    assert seen.paths["optimistic"] == pytest.approx((28.0, 1))
    assert [seen.costs[times].net for times in (1, 2, 3)] == pytest.approx([-16.985, -18.97, -20.955])
    assert seen.coarse is None
    found = told(fills.paths(done, seen))
    assert found["Order inside a bar assumed"]["verdict"] == "warn"
    assert found["Order inside a bar assumed"]["number"] == "100 %"
    assert (found["Profit on the pessimistic path"]["verdict"], found["Profit on the pessimistic path"]["number"]) == ("warn", "-16.99")
    assert "they span 44.99" in found["Profit on the pessimistic path"]["detail"]


def with_finer(bars, *rows):
    """The bars with finer ones of the third: (open, high, low) of each."""
    counts = np.zeros(bars.rows.shape[0], np.int64)
    counts[2] = len(rows)
    details = np.array(list(rows), kernel.types.DETAIL_ROW).view(np.recarray)
    return bars._replace(detail_first=np.concatenate(([0], np.cumsum(counts))), details=details)


UP_FIRST = ((100.0, 110.0, 100.0), (105.0, 105.0, 98.0))
"""BOTH by two finer bars: all targets are reached before the stop."""


def test_stored_finer_bars_are_compared_with_a_run_that_did_not_use_them():
    done = scene(QUIET, QUIET, BOTH, QUIET)
    finer = Finer("1m", with_finer(done.bars, *UP_FIRST))
    seen = again(done, finer)
    assert (seen.coarse, seen.fine) == (None, pytest.approx((28.0, 1)))
    found = fills.inside(done, seen, finer)
    assert (found["verdict"], found["number"]) == ("warn", "25 %")  # three of the four bars have none
    assert "1 of 4 bars have all of their 1m bars stored, and the run used none" in found["detail"]
    assert "net -16.99, with the finer bars +28.00" in found["detail"]


def test_finer_bars_that_take_a_profit_away_fail_it():
    done = scene(QUIET, QUIET, BOTH, QUIET, rules=RULES._replace(path=2))
    finer = Finer("1m", with_finer(done.bars, (100.0, 100.0, 98.0), (98.0, 110.0, 98.0)))
    seen = again(done, finer)
    assert (seen.costs[1].net, seen.fine.net) == (pytest.approx(28.0), pytest.approx(-16.985))
    assert fills.inside(done, seen, finer)["verdict"] == "fail"


def test_a_run_that_used_finer_bars_says_for_how_many_and_what_it_is_without():
    plain = scene(QUIET, QUIET, BOTH, QUIET)
    bars = with_finer(plain.bars, *UP_FIRST)
    done = simulated(bars, plain.entries, plain.specs, plain.rules)
    seen = again(done, Finer("5m", bars))
    found = fills.inside(done, seen, Finer("5m", bars))
    assert seen.fine is None
    assert (found["verdict"], found["number"]) == ("warn", "25 %")
    assert "the run used them: without the limits of loss net +28.00, without the finer bars -16.99" in found["detail"]


def test_finer_bars_that_are_not_stored_matter_where_an_order_was_assumed():
    done = scene(QUIET, QUIET, BOTH, QUIET)
    found = fills.inside(done, again(done), None)
    assert (found["verdict"], found["number"]) == ("warn", "0 %")
    assert "backfill or import 1m candles" in found["detail"]
    quiet = scene(QUIET, QUIET, QUIET, QUIET)
    assert fills.inside(quiet, again(quiet), None)["verdict"] == "pass"


def test_a_run_on_a_kinder_path_is_judged_by_the_pessimistic_one():
    done = scene(QUIET, QUIET, BOTH, QUIET, rules=RULES._replace(path=2))
    seen = again(done)
    assert seen.paths["optimistic"].net == pytest.approx(28.0)
    assert seen.paths["pessimistic"].net == pytest.approx(-16.985)
    assert told(fills.paths(done, seen))["Profit on the pessimistic path"]["verdict"] == "warn"


def test_funding_and_slippage_are_dearer_too():
    free = SPEC._replace(taker=0.0, slippage=0.0005)
    done = scene(QUIET, QUIET, QUIET, spec=free)
    bars = done.bars
    due = np.zeros(1, bars.due.dtype).view(np.recarray)
    due["price"], due["rate"], due["row"] = 100.0, 0.001, 2
    done = simulated(bars._replace(due=due), done.entries, [free], done.rules)
    # Slippage: 0.05 % of 100 is paid when it comes and when it goes, on 10 coins; funding: 0.1 % of 1,000.
    assert [again(done).costs[times].net for times in (1, 2, 3)] == pytest.approx([-2.0, -4.0, -6.0], abs=1e-6)
    assert float(due["rate"][0]) == 0.001


def test_funding_that_was_earned_does_not_grow_with_the_costs():
    """It would pay for them: 1 of slippage a time, and 0.1 % of 1,000 that the shorts pay."""
    free = SPEC._replace(taker=0.0, slippage=0.0005)
    done = scene(QUIET, QUIET, QUIET, spec=free)
    due = np.zeros(1, done.bars.due.dtype).view(np.recarray)
    due["price"], due["rate"], due["row"] = 100.0, -0.001, 2
    done = simulated(done.bars._replace(due=due), done.entries, [free], done.rules)
    assert [again(done).costs[times].net for times in (1, 2, 3)] == pytest.approx([0.0, -1.0, -2.0], abs=1e-6)


def test_costs_are_borne_when_twice_as_much_leaves_a_profit():
    paid = {"net": 4.0, "net_edge_pct": 0.4, "cost_pct": 0.2}
    outcomes = {1: Outcome(4.0, 3), 2: Outcome(0.5, 3), 3: Outcome(-2.0, 2)}
    seen = Again({}, outcomes, None)
    assert costs.costs(paid, seen)["verdict"] == "pass"
    assert "3 times as high -2.00 (2 trades)" in costs.costs(paid, seen)["detail"]
    assert costs.at(seen) == [
        {"times": 1, "net": 4.0, "trades": 3},
        {"times": 2, "net": 0.5, "trades": 3},
        {"times": 3, "net": -2.0, "trades": 2},
    ]
    outcomes[2] = Outcome(0.0, 3)
    assert costs.costs(paid, seen)["verdict"] == "warn"
    assert costs.costs(paid | {"cost_pct": None}, seen)["detail"] == "no trades"


def test_stops_that_are_jumped_over_are_counted_with_what_they_cost():
    done = scene(QUIET, QUIET, (97.0, 97.5, 96.5, 97.0), QUIET)
    found = told(fills.gaps(done))["Stops fill at the worse of stop and open"]
    assert (found["verdict"], found["number"]) == ("pass", "1")
    assert found["detail"].startswith("1 of 1 first stop jumped over and filled at the open, 15.00 beyond them; 0 filled better")
    trades = done.result.trades
    kinder = done._replace(result=done.result._replace(trades=trades._replace(exit=np.array([98.5]))))
    assert told(fills.gaps(kinder))["Stops fill at the worse of stop and open"]["verdict"] == "fail"
    reached = scene(QUIET, QUIET, (100.0, 100.0, 98.0, 99.0), QUIET)
    assert told(fills.gaps(reached))["Stops fill at the worse of stop and open"]["number"] == "0"


@pytest.mark.parametrize(
    ("volume", "verdict", "number"), [(1_001.0, "pass", "1.00%"), (990.0, "warn", "1.01%"), (99.0, "fail", "10.10%"), (0.0, "fail", "")]
)
def test_orders_are_held_against_the_turnover_of_their_bar(volume, verdict, number):
    done = scene(QUIET, QUIET, BOTH, QUIET)
    bars = make_bars(QUIET, QUIET, BOTH, QUIET, volume=volume)
    (found,) = fills.volume(done._replace(bars=bars))
    assert (found["verdict"], found["number"]) == (verdict, number)


def make_trades(**changes):
    columns = {name: np.zeros(1, np.int64) for name in kernel.Trades._fields}
    facts = {"side": 1, "entered": 1, "left": 2, "entry": 100.0, "exit": 98.0, "qty": 10.0, "leverage": 10, "stop": 98.0, "reason": STOP}
    return kernel.Trades(**columns | {name: np.array([value]) for name, value in (facts | changes).items()})


def test_the_way_from_stop_to_liquidation_is_measured():
    # Ten times leverage, 1 % maintenance: liquidated at 90 / 0.99 = 90.909.
    assert fills.distances([TIERED], make_trades()) == pytest.approx([0.0709091], abs=1e-6)
    # The second tier, 100,000 of notional: (90,000 - 500) / 980 = 91.3265, above a stop at 91.
    assert fills.distances([TIERED], make_trades(qty=1_000.0, stop=91.0)) == pytest.approx([-0.0032653], abs=1e-6)
    # A short of 45,000 that is liquidated where it is worth more than 50,000: (67,500 + 500) / (450 x 1.02) = 148.148, under a stop at 148.3.
    short = make_trades(side=-1, qty=450.0, leverage=2, stop=148.3)
    assert fills.distances([TIERED], short) == pytest.approx([-0.0015185], abs=1e-6)
    assert fills.distances([SPEC], make_trades()).shape == (0,)


@pytest.mark.parametrize(
    ("changes", "verdict"), [({}, "pass"), ({"reason": LIQUIDATION}, "warn"), ({"stop": 91.0}, "warn"), ({"stop": 90.0}, "fail")]
)
def test_a_liquidation_and_a_stop_near_it_are_warned_of(changes, verdict):
    done = scene(QUIET, QUIET, BOTH, QUIET, spec=TIERED)
    done = done._replace(result=done.result._replace(trades=make_trades(**changes)))
    found = told(fills.liquidation(done, 0, 0))
    assert found["Stop before liquidation"]["verdict"] == verdict
    assert found["Mark prices"]["verdict"] == "pass"


def test_missing_mark_prices_are_warned_of_and_cash_cannot_be_liquidated():
    done = scene(QUIET, QUIET, BOTH, QUIET, spec=TIERED)
    assert told(fills.liquidation(done, 98, 100))["Mark prices"]["verdict"] == "warn"
    assert told(fills.liquidation(done, 99, 100))["Mark prices"]["number"] == "99 %"
    assert told(fills.liquidation(done, 99, 100))["Mark prices"]["verdict"] == "pass"
    (found,) = fills.liquidation(scene(QUIET, QUIET, BOTH, QUIET), 0, 0)
    assert "nothing is borrowed" in found["detail"]


def test_the_least_order_is_told_with_the_rules_of_today():
    done = scene(QUIET, QUIET, BOTH, QUIET, rules=RULES._replace(capital=40.0))
    (found,) = fills.venue(done)
    assert (found["verdict"], found["number"]) == ("warn", "1")
    assert "1 of 1 signal refused" in found["detail"]


def test_a_fill_in_its_deciding_bar_fails():
    found = told(timing.fills(make_trades(entered=0)))
    assert found["Fill after the decision"]["verdict"] == "fail"
    assert told(timing.fills(make_trades(left=1, reason=TAKE_PROFIT_3)))["Entry and exit in one bar"]["verdict"] == "warn"
    assert {each["verdict"] for each in timing.fills(make_trades())} == {"pass"}


def test_bars_that_are_missing_silent_or_jump_back_are_counted():
    close = 100.0 + np.tile([0.0, 0.1], 500)
    close[400] = 150.0
    close[700:] += 50.0  # a step that stays is news, no bad tick
    volume = np.ones(1_000)
    volume[:3] = 0.0
    stamps = START_MS + BAR_MS * np.delete(np.arange(1_002), [10, 11])
    found = series.count(stamps, close, volume, BAR_MS)
    assert found == (1_002, 2, 3, 1)
    checks = told(series.data([found, found]))
    assert {name: (each["verdict"], each["number"]) for name, each in checks.items()} == {
        "Gaps in the candles": ("warn", "0.2 %"),
        "Bars without volume": ("warn", "0.3 %"),
        "Prices that jump and come back": ("pass", "0.1 %"),
    }


def test_a_market_that_begins_late_or_ends_early_is_told():
    whole = START_MS + BAR_MS * np.arange(9_600)  # 100 days
    late, early = whole[4_800:], whole[:-12]
    end_ms = int(whole[-1]) + BAR_MS
    assert series.span([("A", whole), ("B", whole[5:])], START_MS, end_ms, BAR_MS)["verdict"] == "pass"
    found = series.span([("A", whole), ("B", early), ("C", late)], START_MS, end_ms, BAR_MS)
    assert (found["point"], found["verdict"], found["number"]) == (13, "warn", "2")
    assert found["detail"] == "2 of 3 markets begin late in the 100 days asked for, or end early; the shortest, C, reaches over 50 % of it"
    assert series.span([("A", whole)], START_MS, end_ms + 86_400_000, BAR_MS)["verdict"] == "warn", "the end that was asked for counts"
    assert series.span([("A", whole[:0])], START_MS, end_ms, BAR_MS)["number"] == "1"


MODEL = Trained("2024-01-01 00:00", "2025-01-01 00:00", "2025-01-03 00:00", 130, 24, 48.0, 5, True)


def test_what_a_training_kept_is_read():
    report = {"folds": [{"number": 1, "long": {"purged": 60}, "short": {"purged": 70}}], "leak_tests": {"passed": True}}
    params = {"embargo_hours": 24, "trials": 5}
    words = {"begins": MODEL.begins, "ends": MODEL.ends, "kept_back": MODEL.kept_back, "label_ms": 48 * 3_600_000}
    assert Trained.parse(report, params, **words) == MODEL
    assert Trained.parse({}, {}, **words) == MODEL._replace(purged=None, embargo_hours=None, trials=1, leak_tests=None)


@pytest.mark.parametrize(
    ("trained", "inside", "verdicts"),
    [
        (MODEL, 0, ["pass", "pass", "pass"]),
        (MODEL, 1, ["fail", "pass", "pass"]),
        (MODEL._replace(leak_tests=False), 0, ["pass", "fail", "pass"]),
        (MODEL._replace(leak_tests=None), 0, ["pass", "warn", "pass"]),
        (MODEL._replace(purged=None), 0, ["pass", "pass", "warn"]),
        (None, 0, ["warn", "skip"]),
    ],
)
def test_time_kept_back_purge_and_embargo_are_told(trained, inside, verdicts):
    assert [each["verdict"] for each in training.kept_back(trained, Tries(), inside, 10)] == verdicts


def test_a_good_ratio_is_not_enough_after_many_tries():
    returns = np.tile([0.01, -0.008], 200)
    returns[::7] += 0.004
    (one,) = training.tries(returns, Tries(), None)
    (many,) = training.tries(returns, Tries(3, 5_000, 2, 0), None)
    assert (one["verdict"], many["verdict"]) == ("pass", "warn")
    assert "5,003 tries" in many["detail"]
    alike, unlike = (training.tries(returns + 0.002, Tries(1, 30, ratios=tuple(np.linspace(-far, far, 30))), None) for far in (0.01, 0.4))
    assert [each["verdict"] for each in (*alike, *unlike)] == ["pass", "warn"], "tries that differ more show more by chance"
    chosen, _ = training.tries(returns, Tries(models=2), MODEL)
    assert (chosen["verdict"], chosen["number"]) == ("warn", "2")


def test_chances_that_came_true_are_calibrated():
    claimed, hit = np.array([0.75, 0.75, 0.75, 0.75]), np.array([True, True, True, False])
    found = training.calibration(claimed, hit, Interval(0.3, 0.95), is_model=True)
    assert (found["verdict"], found["number"]) == ("pass", "0.188")  # (3 x 0.0625 + 0.5625) / 4
    assert training.calibration(claimed, hit, Interval(0.8, 0.95), is_model=True)["verdict"] == "warn"
    assert training.calibration(claimed, hit, None, is_model=False)["verdict"] == "skip"


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("v1.2-3-gabcdef0", "pass"), ("abcdef0", "pass"), ("abcdef0-dirty+12345678", "warn"), ("0.1.0+12345678", "warn")],
)
def test_code_that_no_commit_holds_is_warned_of(version, verdict):
    found = list(repeating.answers({"code_version": version, "seed": 0, "data": {"a": "1"}}, "0123456789abcdef"))
    assert [each["verdict"] for each in found] == [verdict, "skip"]
    assert found[0]["number"] == "01234567"


def test_the_suites_of_planted_cheats_are_there():
    root = Path(__file__).parents[2]
    assert all((root / name).is_file() for name in repeating.SUITES)


def test_every_question_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "backtesting.md").read_text()
    for point, title in sayings.POINTS.items():
        assert f"\n{point}. {title}" in text, title


def test_other_costs_and_paths_are_told_without_the_limits_of_loss():
    """Ten stops of 1 % of 10,000 at a tenth of it: 0.1 % each. A limit of 0.3 % ends the run after three of them."""
    falling = [(100.0, 100.5, 98.0, 100.0)] * 21
    bars = make_bars(*falling)
    side = np.zeros(21, np.int8)
    side[0:20:2] = 1
    entries = kernel.entries_of(bars, side, np.ones(21))
    rules = RULES._replace(stop=1.0, tp1=1.0, tp2=2.0, tp3=3.0, max_drawdown_pct=0.25)
    done = simulated(bars, entries, [SPEC._replace(taker=0.0)], rules)
    assert done.result.trades.pnl.size == 3
    assert done.unlimited.trades.pnl.size == 10
    seen = again(done)
    assert seen.costs[1].trades == seen.paths["adaptive"].trades == 10
    assert seen.costs[1].net == pytest.approx(done.unlimited.balance - 10_000.0)
    wide = simulated(bars, entries, [SPEC], rules._replace(max_drawdown_pct=50.0))
    assert wide.unlimited is wide.result
