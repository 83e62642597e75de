"""What a search asks, how it walks forward and what it says, on made-up results: no candles, no database."""

import numpy as np
import pytest

from backtesting import counting
from backtesting.combos import space, windows
from backtesting.models import ParameterSearch
from backtesting.searches import asking, findings, walking
from tests.backtesting.searched import DAY, GRID, evaluated, make_results

# --- asking


def test_it_goes_on_with_the_grid_where_it_was_cut_short() -> None:
    found = space.parse("sma-cross", {"fast": {"low": 2, "high": 50, "step": 1}, "slow": {"low": 60, "high": 80, "step": 1}})
    whole = list(asking.grid(found))
    assert [part.shape[0] for part in whole] == [256, 256, 256, 256, 5]
    rest = list(asking.grid(found, first=512))
    assert np.array_equal(np.concatenate(rest), np.concatenate(whole)[512:])


def make_learning(wanted):
    found = space.parse("sma-cross", {"fast": {"low": 2, "high": 60, "step": 2}, "slow": {"low": 10, "high": 200, "step": 5}})
    return ParameterSearch(method="tpe", wanted=wanted, seed=3), found


def worth(table):
    """Best at fast 20, slow 100."""
    return -np.abs(table[:, 0] - 20) - np.abs(table[:, 1] - 100) / 5.0


def run(batches, tried):
    table = next(batches, None)
    while table is not None:
        tried.append(table)
        try:
            table = batches.send(worth(table))
        except StopIteration:
            table = None
    return np.concatenate(tried)


def test_it_learns_where_the_good_ones_are_and_asks_only_what_goes_together() -> None:
    search, found = make_learning(320)
    table = run(asking.tables(search, found, np.zeros((0, 8)), np.zeros(0)), [])
    assert table.shape == (320, 8)
    assert (table[:, 0] < table[:, 1]).all()
    assert set(table[:, 0].tolist()) <= set(range(2, 61, 2))
    assert worth(table[-64:]).mean() > worth(table[:64]).mean() / 2.0  # both below 0: closer to the best


def test_it_asks_after_a_crash_what_it_would_have_asked() -> None:
    search, found = make_learning(128)
    whole = run(asking.tables(search, found, np.zeros((0, 8)), np.zeros(0)), [])
    stored = whole[:64]
    again = run(asking.tables(search, found, stored, worth(stored)), [stored])
    assert np.array_equal(again, whole)


# --- walk-forward


def whole(evaluate, table, capital=100.0):
    """The training of a grid: every combination on its bars."""
    return lambda _, window, least: walking.Trained(table, evaluate(table, window.train_start_ms, window.train_end_ms, capital).results)


def test_it_trades_what_was_best_before_and_nothing_else() -> None:
    """Two combinations that are good in turns: 10 % in every second window, -10 % in the others."""
    spans = windows.windows(0, 100 * DAY, train_days=20, test_days=20, purge_ms=0, is_anchored=False)
    asked = []

    def evaluate(table, start_ms, end_ms, capital):
        asked.append((table[:, 0].tolist(), start_ms // DAY, end_ms // DAY, round(capital, 6)))
        turn = 1 if (start_ms // DAY // 20) % 2 == 0 else -1
        sign = np.where(table[:, 0] == 7, turn, -turn)
        return evaluated(10.0 * sign, start_ms=start_ms, days=(end_ms - start_ms) // DAY, capital=capital)

    train = whole(evaluate, np.array([[7.0], [8.0]]))
    found = walking.walk(train, evaluate, spans, objective="net_profit", least_trades=30, span_ms=100 * DAY, capital=100.0)
    assert [(step.chosen[0], step.inside_pct, round(step.outside_pct, 6)) for step in found.steps] == [
        (7, 10, -10),
        (8, 10, -10),
        (7, 10, -10),
        (8, 10, -10),
    ]
    assert asked[:4] == [([7.0, 8.0], 0, 20, 100.0), ([7.0], 20, 40, 100.0), ([7.0, 8.0], 20, 40, 100.0), ([8.0], 40, 60, 90.0)]
    assert found.equity[-1] == pytest.approx(100 * 0.9**4)
    assert found.days.tolist() == [DAY * day for day in range(20, 100)]
    assert found.efficiency == pytest.approx(-1.0)


def test_it_trades_nothing_when_nothing_had_enough_trades() -> None:
    spans = windows.windows(0, 80 * DAY, train_days=20, test_days=20, purge_ms=0, is_anchored=True)

    def evaluate(table, start_ms, end_ms, capital):
        return evaluated([10.0], trades=[9 if end_ms <= 40 * DAY else 40], start_ms=start_ms, days=20, capital=capital)

    train = whole(evaluate, np.array([[7.0]]))
    found = walking.walk(train, evaluate, spans, objective="sharpe", least_trades=40, span_ms=80 * DAY, capital=100.0)
    # a training of 20 days is asked for 10 trades, one of 40 days for 20, one of 60 for 30
    assert [(step.chosen is None, step.trades) for step in found.steps] == [(True, 0), (True, 0), (False, 40)]
    assert found.equity[-1] == pytest.approx(110.0)
    assert found.days.tolist() == [DAY * day for day in range(20, 80)]
    assert found.equity[:40].tolist() == [100.0] * 40


# --- findings


def judge(net, *, trades=None, others=0, least_trades=30):
    found = space.parse("sma-cross", GRID)
    table = found.combinations()
    net = np.array(net, float)

    def evaluate(some, start_ms, end_ms, capital):
        return evaluated([net[table.tolist().index(row)] for row in some.tolist()], days=64, capital=capital)

    return findings.found(
        found, table, make_results(net, trades=trades), evaluate, objective="net_profit", least_trades=least_trades, span=(0, 64 * DAY),
        capital=100.0, counted=counting.Counted(6, 0, others, 2, net / 100.0),
    )  # fmt: skip


def test_it_names_the_best_that_has_enough_trades() -> None:
    facts = judge([1.0, 2.0, 3.0, 4.0, 50.0, -1.0], trades=[100, 100, 100, 100, 3, 100])
    assert [row["number"] for row in facts["top"]] == [3, 2, 1, 0, 5]
    assert facts["top"][0]["values"] == {
        "fast": 10,
        "slow": 40,
        **{name: facts["top"][0]["values"][name] for name in list(facts["top"][0]["values"])[2:]},
    }
    assert (facts["tried"], facts["eligible"], facts["top"][0]["net_profit"], facts["top"][0]["won_pct"]) == (6, 5, 4.0, 50.0)
    # fast 5 to 15 with slow 20 to 40 are all within a step of (10, 40)
    assert facts["around"] == {"neighbours": 5, "share": 0.8, "mean": 11.0}
    assert facts["overfit"]["combinations"] == 6
    assert facts["overfit"]["splits"] == 12_870


def test_it_believes_less_of_the_best_when_more_was_tried() -> None:
    once, thrice = (judge([1.0, 2.0, 3.0, 4.0, 2.0, -1.0], others=others)["deflated"] for others in (0, 994))
    assert (once["trials"], thrice["trials"]) == (6, 1_000)
    assert thrice["probability"] < once["probability"]


@pytest.mark.parametrize(
    ("counted", "words"),
    [
        ((1_000, 0, 0, 0), "1,000 here"),
        ((1_000, 12, 200, 1), "1,000 here, 12 runs by hand, 200 in 1 other search"),
        ((9, 1, 2_000, 2), "9 here, 1 run by hand, 2,000 in 2 other searches"),
        ((9, 0, 0, 1), "9 here"),
    ],
)
def test_it_says_what_the_count_is_made_of(counted, words) -> None:
    assert findings.made_of(counting.Counted(*counted, np.zeros(0))) == words


def test_it_says_that_there_is_no_best() -> None:
    facts = judge([1.0] * 6, trades=[3] * 6)
    assert (facts["top"], facts["deflated"], facts["overfit"]) == ([], None, None)
    assert findings.warnings(facts, "net_profit", limit_pct=25.0) == [
        "No combination had enough trades and a defined objective: there is no best."
    ]


def test_it_warns_of_a_best_that_stands_alone() -> None:
    facts = judge([-1.0, -2.0, 0.5, 40.0, -2.0, -1.0])
    assert any("it stands alone" in warning for warning in findings.warnings(facts, "net_profit", limit_pct=25.0))
    assert not any(
        "it stands alone" in warning
        for warning in findings.warnings(judge([30.0, 35.0, 38.0, 40.0, 33.0, 31.0]), "net_profit", limit_pct=25.0)
    )


def test_it_measures_a_profit_factor_from_one() -> None:
    """1.1 around 1.6 is a sixth of what the best has above 1, though more than half of 1.6."""
    facts = judge([1.0, 2.0, 3.0, 4.0, 2.0, 1.0])
    facts["top"][0]["profit_factor"] = 1.6
    for mean, is_alone in ((1.1, True), (1.4, False)):
        facts["around"] = {"neighbours": 5, "share": 1.0, "mean": mean}
        assert any("it stands alone" in said for said in findings.warnings(facts, "profit_factor", limit_pct=25.0)) == is_alone


def test_it_warns_of_a_best_that_the_drawdown_limit_stopped() -> None:
    facts = judge([1.0, 2.0, 3.0, 4.0, 2.0, 1.0])  # each fell by 5 %
    assert any("enters nothing more" in warning for warning in findings.warnings(facts, "net_profit", limit_pct=5.0))
    assert not any("enters nothing more" in warning for warning in findings.warnings(facts, "net_profit", limit_pct=5.1))


@pytest.mark.parametrize(
    ("walk", "word"),
    [
        (None, "unjudged"),
        ({"trades": 12, "net_pct": 50.0, "deflated": {"probability": 0.99}}, "unjudged"),
        ({"trades": 90, "net_pct": -3.0, "deflated": {"probability": 0.1}}, "fails"),
        ({"trades": 90, "net_pct": 3.0, "deflated": {"probability": 0.7}}, "unproven"),
        ({"trades": 90, "net_pct": 3.0, "deflated": None}, "unproven"),
        ({"trades": 90, "net_pct": 30.0, "deflated": {"probability": 0.97}}, "holds"),
    ],
)
def test_it_judges_by_out_of_sample_results_alone(walk, word) -> None:
    assert findings.verdict(walk)["word"] == word
