"""Combinatorial paths: whole histories, each sample predicted by a model that could not know it."""

import numpy as np
import pytest

from signals import folds
from signals.net_profit import EntryRule
from signals.plan import PlanConfig
from signals.training import paths
from signals.training.panel import Panel
from signals.training.params import TrainingParams
from tests.signals.series import HOUR_MS, START_MS
from traderai.lib.errors import UserError

PARAMS = TrainingParams(cpcv_groups=5, cpcv_test_groups=2, patience=5)


def make_panel(skill: float, *, n: int = 3_000, seed: int = 1) -> Panel:
    """Two symbols; the first feature says how likely TP1 is, as far as `skill` goes."""
    rng = np.random.default_rng(seed)
    start = START_MS + np.tile(np.arange(n // 2, dtype=np.int64), 2) * 4 * HOUR_MS
    x = rng.normal(size=(n, 3)).astype(np.float32)
    y = (rng.uniform(size=(n, 2)) < 1.0 / (1.0 + np.exp(-skill * np.column_stack((x[:, 0], -x[:, 0]))))).astype(np.int8)
    net = np.where(y == 1, 1.4, -1.6)
    symbol = np.repeat(np.arange(2), n // 2)
    end = start[:, None] + np.full((n, 2), 3 * HOUR_MS)
    return Panel(
        ("A", "B"),
        symbol,
        start - 900_000,
        start,
        end,
        x,
        y,
        net,
        net,
        np.ones((n, 2)),
        np.zeros(n, dtype=np.int64),
        np.full(n, 2.0),
        np.zeros((n, 2)),
        np.ones(n, dtype=bool),
    )


def test_an_edge_shows_on_every_path_and_luck_on_none() -> None:
    heard: list[str] = []
    skilled = paths.validate(make_panel(1.5), PARAMS, {0: 20, 1: 20}, heard.append, EntryRule())
    assert (len(skilled["each"]), skilled["splits"], len(heard)) == (4, 10, 20)
    assert skilled["spread"]["auc_long"]["min"] > 0.7
    assert skilled["spread"]["sharpe"]["min"] > 1.0
    assert skilled["share_without_gain"] == 0.0
    assert heard[0] == "path split 1 of 10, long"

    lucky = paths.validate(make_panel(0.0), PARAMS, {0: 20, 1: 20}, heard.append, EntryRule())
    assert lucky["spread"]["auc_long"]["median"] == pytest.approx(0.5, abs=0.04)
    assert lucky["spread"]["mean_net_pct"]["max"] is None or lucky["spread"]["mean_net_pct"]["median"] < 0.2


def test_fit_calibration_and_test_share_no_moment_in_any_split() -> None:
    panel = make_panel(0.0)
    sides = 0
    calibrating: set[int] = set()
    for split in paths.splits(panel, 0, PARAMS):
        fit, aside = paths.parts(panel, 0, split, PARAMS)
        for train, test in ((fit, split.test), (aside, split.test), (fit, aside)):
            assert folds.straddling(panel.start_ms, panel.end_ms[:, 0], train, test) == 0
            assert not np.intersect1d(train, test).size
        calibrating |= set(folds.time_groups(panel.start_ms, 5)[aside].tolist())
        sides += 1
    assert sides == 10
    assert calibrating == {0, 1, 2, 3, 4}  # no group is always the judge


def test_a_large_panel_is_thinned_by_time_for_all_symbols_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = make_panel(0.0)
    monkeypatch.setattr(paths, "MOST_ROWS", 1_000)
    small = paths.thinned(panel)
    assert small.start_ms.size == 1_000
    assert np.array_equal(small.bar_ms[small.symbol == 0], small.bar_ms[small.symbol == 1])
    assert small.symbols == panel.symbols


def test_too_short_a_history_gives_a_reason_instead_of_paths() -> None:
    panel = make_panel(0.0, n=40)
    long = panel._replace(end_ms=panel.end_ms + PlanConfig().max_hold_ms)
    seen = paths.validate(long, PARAMS, {0: 5, 1: 5}, str, EntryRule())
    assert seen["each"] == []
    assert "use fewer groups" in seen["reason"]
    assert paths.validate(panel, TrainingParams(cpcv_groups=0), {0: 5, 1: 5}, str, EntryRule())["reason"] == "not asked for"
    with pytest.raises(UserError, match="at least cpcv_test_groups"):
        TrainingParams(cpcv_groups=3, cpcv_test_groups=2)


def test_the_spread_counts_what_is_defined() -> None:
    assert paths.spread([1.0, None, 3.0]) == {
        "n": 2, "min": 1.0, "median": 2.0, "max": 3.0, "mean": 2.0, "deviation": pytest.approx(np.sqrt(2.0)),
    }  # fmt: skip
    assert paths.spread([None])["median"] is None
