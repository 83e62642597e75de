"""Overlapping samples become trades one after another, and their intervals cover what they say they cover."""

from typing import Any

import numpy as np
import pytest

from signals.training import trades
from signals.training.panel import Panel
from tests.signals.series import HOUR_MS, START_MS


def make_panel(start_hours: list[int], lengths: list[int], *, symbols: list[int] | None = None, net: Any = 1.0, y: Any = 1) -> Panel:
    """Samples with labels of given hours; net results and outcomes are the same on both sides."""
    n = len(start_hours)
    start = START_MS + np.array(start_hours, dtype=np.int64) * HOUR_MS
    end = start + np.array(lengths, dtype=np.int64) * HOUR_MS
    number = np.zeros(n, dtype=np.int64) if symbols is None else np.array(symbols, dtype=np.int64)

    def both(values: Any, dtype: Any) -> np.ndarray:
        return np.repeat(np.broadcast_to(np.asarray(values, dtype=dtype), (n,))[:, None], 2, axis=1)

    names = tuple(f"S{k}" for k in range(number.max() + 1))
    x = np.zeros((n, 1), dtype=np.float32)
    zeros = np.zeros(n, dtype=np.int64)
    return Panel(
        names, number, start - 900_000, start, both(end, np.int64), x, both(y, np.int8), both(net, float), both(net, float), both(1.0, float), zeros,
        np.full(n, 2.0), both(0.0, float), np.ones(n, dtype=bool),
    )  # fmt: skip


def offered(panel: Panel, long: Any = 0.6, short: Any = np.nan) -> np.ndarray:
    """What is expected of either side; NaN: not offered."""
    n = panel.start_ms.size
    return np.column_stack([np.broadcast_to(np.asarray(side, dtype=float), (n,)) for side in (long, short)])


def test_the_next_position_of_a_symbol_waits_until_the_former_is_flat() -> None:
    panel = make_panel([0, 1, 5, 6, 30, 0, 2], [5, 5, 5, 5, 5, 48, 5], symbols=[0, 0, 0, 0, 0, 1, 1])
    made = trades.taken(panel, offered(panel))
    assert made.row.tolist() == [0, 2, 4, 5]
    assert made.side.tolist() == [0, 0, 0, 0]


def test_the_side_that_promises_more_is_taken_and_what_is_not_offered_is_left() -> None:
    panel = make_panel([0, 10, 20, 30], [5] * 4)
    made = trades.taken(panel, offered(panel, long=[0.5, 0.5, np.nan, np.nan], short=[0.4, 0.7, 0.1, np.nan]))
    assert (made.row.tolist(), made.side.tolist()) == ([0, 1, 2], [0, 1, 1])


def test_figures_of_trades_written_out() -> None:
    net = [2.0, -1.0, 2.0, -1.0, 2.0]
    panel = make_panel([0, 24, 48, 72, 96], [5] * 5, net=net, y=[1, 0, 1, 0, 1])
    offers = offered(panel)
    seen = trades.describe(panel, trades.taken(panel, offers), offers, np.arange(5))
    assert (seen["trades"], seen["days"], seen["coverage"]) == (5, 5, 1.0)
    assert seen["hit_rate"] == pytest.approx(0.6)
    assert seen["break_even"] == pytest.approx(1.0 / 3.0)
    assert seen["profit_factor"] == pytest.approx(3.0)
    assert seen["mean_net_pct"] == pytest.approx(0.8)
    daily = np.array(net) / 100.0
    assert seen["sharpe"] == pytest.approx(daily.mean() / daily.std() * np.sqrt(365))
    assert seen["sharpe_low"] is None  # five days are too few for an interval
    assert trades.describe(panel, trades.taken(panel, offers), offers, np.empty(0, np.int64)) == {"trades": 0, "samples": 0}


def test_days_without_a_trade_earn_nothing_and_capital_is_split_between_symbols() -> None:
    panel = make_panel([0, 0, 24, 48], [5] * 4, symbols=[0, 1, 0, 0], net=[2.0, 4.0, 1.0, 9.0])
    offers = offered(panel, long=[0.6, 0.6, np.nan, 0.6])
    days = trades.by_day(panel, trades.taken(panel, offers), np.arange(3))
    assert days.returns.tolist() == pytest.approx([0.03, 0.0])
    assert days.trades.tolist() == [2.0, 0.0]


def test_no_trades_give_no_figures_but_still_a_sample() -> None:
    panel = make_panel(list(range(0, 2_400, 24)), [5] * 100)
    offers = offered(panel, long=np.nan)
    made = trades.taken(panel, offers)
    seen = trades.describe(panel, made, offers, np.arange(100))
    assert (seen["trades"], seen["samples"], seen["coverage"]) == (0, 100, 0.0)
    assert {seen[name] for name in ("hit_rate", "profit_factor", "mean_net_pct", "sharpe", "break_even")} == {None}
    assert trades.believed(panel, made, np.arange(100), trials=1)["deflated_sharpe"] is None


def test_each_resample_draws_whole_blocks_around_the_circle() -> None:
    counts = trades.resamples(30, draws=400)
    assert counts is not None
    assert set(counts.sum(axis=1)) == {30.0}
    assert counts.mean(axis=0) == pytest.approx(np.ones(30), abs=0.25)
    once = trades.resamples(20, draws=1, seed=3)
    assert once is not None
    starts = np.random.default_rng(3).integers(0, 20, (1, 4))[0]
    plain = np.bincount(np.concatenate([(first + np.arange(5)) % 20 for first in starts]), minlength=20)
    assert once[0].tolist() == plain.tolist()
    assert trades.resamples(19) is None


def test_its_intervals_cover_the_truth_of_days_that_hang_together() -> None:
    rng = np.random.default_rng(8)
    covered = {"mean_net_pct": 0, "sharpe": 0}
    for _ in range(150):
        noise = rng.normal(0.0, 1.0, 304)
        net = 0.2 + (noise[4:] + noise[3:-1] + noise[2:-2]) / np.sqrt(3.0)  # moving average: neighbours share two thirds
        panel = make_panel(list(range(0, 7_200, 24)), [5] * 300, net=net, y=(net > 0).astype(int))
        offers = offered(panel)
        seen = trades.describe(panel, trades.taken(panel, offers), offers, np.arange(300))
        covered["mean_net_pct"] += seen["mean_net_pct_low"] <= 0.2 <= seen["mean_net_pct_high"]
        covered["sharpe"] += seen["sharpe_low"] <= 0.2 * np.sqrt(365) <= seen["sharpe_high"]
    assert covered["mean_net_pct"] / 150 == pytest.approx(0.93, abs=0.05)
    assert covered["sharpe"] / 150 == pytest.approx(0.93, abs=0.05)


def test_more_trials_are_believed_less() -> None:
    net = 0.3 + np.random.default_rng(2).normal(0.0, 1.0, 200)
    panel = make_panel(list(range(0, 4_800, 24)), [5] * 200, net=net, y=(net > 0).astype(int))
    made = trades.taken(panel, offered(panel))
    one, many = (trades.believed(panel, made, np.arange(200), trials=trials) for trials in (1, 500))
    assert one["deflated_sharpe"] == one["probabilistic_sharpe"] == many["probabilistic_sharpe"]
    assert many["deflated_sharpe"] < one["deflated_sharpe"] - 0.05
    assert many["expected_maximum_daily"] > 0.0 == one["expected_maximum_daily"]
    wide, narrow = (trades.believed(panel, made, np.arange(200), trials=500, variance=variance) for variance in (0.04, 1e-4))
    assert wide["deflated_sharpe"] < many["deflated_sharpe"] == narrow["deflated_sharpe"]
    assert wide["expected_maximum_daily"] == pytest.approx(0.2 * 3.0525, rel=1e-3)
    assert (wide["trial_variance"], many["trial_variance"], wide["chance_variance"]) == (0.04, None, pytest.approx(1.0 / 199))
