"""What is held against a run: each verdict at its limit, on findings written by hand."""

import copy

import pytest

from backtesting.honesty import statistics

GOOD = {
    "metrics": {
        "total_return_pct": {"value": 12.0}, "buy_and_hold_pct": {"value": 5.0},
        "hit_rate_tp1": {"value": 0.65, "n": 130, "low": 0.56, "high": 0.73},
    },
    "sample": {"trades": 130, "stopped": "", "paused": ""},
    "costs_paid": {"net": 12.0},
    "luck": {
        "random": {"runs": 100, "low_pct": -9.0, "middle_pct": -2.0, "high_pct": 6.0, "beaten": 0.97, "p_value": 0.04, "trades": 130.0},
        "trades": {"expectancy_pct": [0.1, 0.7], "clusters": 80},
        "record": {"days": 400, "above_zero": 0.96, "days_needed": 360.4},
        "drawdowns": {"seen_pct": 7.0, "shuffled": {"deeper": 0.6, "max_drawdown_pct": [3.0, 8.0, 15.25]}},
    },
    "concentration": {"without_best": [{"k": 1, "net": 9.0}, {"k": 5, "net": 2.5}], "best_month": {"key": "2025-01", "share": 0.4}, "best_symbol": {"key": "BTC/USDT:USDT", "share": 0.7}},
    "tables": {"month": [{}, {}, {}], "symbol": [{}, {}]},
}  # fmt: skip


def told(changes=(), *, independent=120.0):
    """Verdicts by name; changes: (path, value)."""
    found = copy.deepcopy(GOOD)
    for path, value in changes:
        *parents, last = path.split(".")
        part = found
        for name in parents:
            part = part[name]
        part[last] = value
    return {each["name"]: each for each in statistics.of(found, independent=independent)}


def test_nothing_is_held_against_a_good_run():
    found = told()
    assert {each["verdict"] for each in found.values()} == {"pass"}
    assert [each["point"] for each in found.values()] == [17, 17, 17, 17, 17, 18, 18, 18, 18, 18, 21, 21, 21]
    assert found["Reaches the first target often enough"]["number"] == "56.0%"
    assert found["Without the five best trades"]["detail"] == "net +2.50 instead of +12.00"
    assert found["Better than random moments"]["number"] == "p = 0.04"
    assert "97% of them earned less" in found["Better than random moments"]["detail"]
    assert "360 such days would make it 95 % sure" in found["Sharpe ratio above zero"]["detail"]
    assert found["Better than buy and hold"]["number"] == "+7.0 %"
    assert found["Drawdown not owed to a lucky order"]["number"] == "15.2 %"
    assert "BTC/USDT:USDT, the best of 2, brought 70% of the net result" in found["Not owed to one market"]["detail"]


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("Sample size", "sample.trades", 99),
        ("Traded to the end", "sample.stopped", "Entered nothing after 3 Mar 2023."),
        ("Traded every day to its end", "sample.paused", "Days that lost 10 % ended early."),
        ("Reaches the first target often enough", "metrics.hit_rate_tp1.low", 0.54),
        ("Reaches the first target often enough", "metrics.hit_rate_tp1", {"value": None, "n": 0}),
        ("Without the five best trades", "concentration.without_best", [{"k": 5, "net": -0.01}]),
        ("Without the five best trades", "concentration.without_best", [{"k": 5, "net": None}]),
        ("Better than random moments", "luck.random.p_value", 0.06),
        ("Better than random moments", "luck.random", None),
        ("Expectancy above zero", "luck.trades.expectancy_pct", [-0.001, 0.7]),
        ("Expectancy above zero", "luck.trades.expectancy_pct", None),
        ("Sharpe ratio above zero", "luck.record.above_zero", 0.94),
        ("Sharpe ratio above zero", "luck.record.above_zero", None),
        ("Better than buy and hold", "metrics.total_return_pct.value", 5.0),
        ("Better than buy and hold", "metrics.buy_and_hold_pct.value", None),
        ("Drawdown not owed to a lucky order", "luck.drawdowns.shuffled.deeper", 0.8),
        ("Drawdown not owed to a lucky order", "luck.drawdowns", None),
        ("Not owed to one month", "concentration.best_month.share", 0.51),
        ("Not owed to one month", "concentration.best_month", None),
        ("Not owed to one market", "concentration.best_symbol.share", 1.0),
        ("Not owed to one market", "tables.symbol", [{}, {}, {}]),
    ],
)
def test_each_doubt_is_raised_by_its_own_number_alone(name, path, value):
    found = told([(path, value)])
    assert [each["name"] for each in found.values() if each["verdict"] != "pass"] == [name]
    assert found[name]["verdict"] == "warn"
    assert found[name]["detail"]


def test_a_loss_is_no_profit_without_its_best_trades():
    found = told([("concentration.without_best", [{"k": 5, "net": -9.0}]), ("costs_paid.net", -4.0)])
    assert (found["Without the five best trades"]["verdict"], found["Without the five best trades"]["detail"]) == (
        "warn",
        "net -9.00 instead of -4.00",
    )


def test_trades_that_count_once_are_too_few():
    assert told(independent=99.4)["Independent trades"]["verdict"] == "warn"
    assert told(independent=99.4)["Independent trades"]["number"] == "99"


def test_it_says_when_no_time_would_be_enough():
    found = told([("luck.record.days_needed", None), ("luck.record.above_zero", 0.2)])
    assert "no number of such days" in found["Sharpe ratio above zero"]["detail"]
