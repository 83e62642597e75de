"""Leaks that are planted are caught by name; honest panels, an honest edge among them, are left in peace."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exchanges.costs import CostModel
from exchanges.models import Market, Provenance, Venue
from signals import features, folds
from signals.plan import PlanConfig
from signals.training import leaks, panel
from signals.training.panel import History, Panel
from signals.training.params import TrainingParams
from tests.signals.series import HOUR_MS, make_funding, make_series

HORIZON_MS = 48 * HOUR_MS
PLAN, COSTS = PlanConfig(), CostModel()
BARS = 16_000


def history(seed: int, *, symbol: str = "ETH/USDT:USDT", pull: float = 0.0, bars: int = BARS) -> History:
    frame = make_series(bars, symbol=symbol, seed=seed, pull=pull)
    return History(Market(symbol=symbol, venue=Venue(slug="binance"), provenance=Provenance.FILE), frame, make_funding(frame))


def build(known: list[History], stride: int = 4) -> Panel:
    """The samples that training would take before its holdout, and no bar after it."""
    params = TrainingParams(stride=stride, holdout_share=0.05)
    return panel.build(known, None, panel.holdout_of(known, params), params, plan=PLAN, costs=COSTS, tell=lambda _: None)


@pytest.fixture(scope="module")
def walk() -> tuple[list[History], Panel]:
    known = [history(5)]
    return known, build(known)


@pytest.fixture(scope="module")
def trending() -> tuple[list[History], Panel]:
    """Two markets in which moves go on: an edge that is really there."""
    known = [history(21, symbol="BTC/USDT:USDT", pull=0.9), history(22, pull=0.9)]
    return known, build(known)


def with_column(made: Panel, column: np.ndarray) -> tuple[Panel, list[str]]:
    return made._replace(x=np.column_stack((made.x, column)).astype(np.float32)), [*features.NAMES, "planted"]


def coming_return(known: list[History], made: Panel, bars: int) -> np.ndarray:
    """What the price does over the `bars` bars after each sample, of the first symbol."""
    close = np.log(known[0].frame.close)
    rows = np.searchsorted(known[0].frame.timestamp, made.bar_ms)
    return close[np.minimum(rows + bars, close.size - 1)] - close[rows]


# --- features against shifted returns


@pytest.mark.parametrize("bars", [4, 16, 64, 192])
def test_a_feature_that_is_a_coming_return_is_caught(walk: tuple[list[History], Panel], bars: int) -> None:
    known, made = walk
    planted, names = with_column(made, coming_return(known, made, bars))
    seen = leaks.shifted_features(planted, known, horizon_ms=HORIZON_MS, names=names)
    assert not seen["passed"]
    assert [item["feature"] for item in seen["offending"]] == ["planted"]
    assert seen["offending"][0]["ahead"] > 0.6


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_coming_return_is_caught_under_noise(walk: tuple[list[History], Panel], share: float) -> None:
    known, made = walk
    leak = coming_return(known, made, 16)
    noise = np.random.default_rng(1).normal(0.0, leak.std(), leak.size)
    planted, names = with_column(made, np.sqrt(share) * leak + np.sqrt(1.0 - share) * noise)
    assert not leaks.shifted_features(planted, known, horizon_ms=HORIZON_MS, names=names)["passed"]


@pytest.mark.parametrize("bars", [4, 16, 64, 192])
def test_a_return_that_is_over_is_no_leak(walk: tuple[list[History], Panel], bars: int) -> None:
    known, made = walk
    close = np.log(known[0].frame.close)
    rows = np.searchsorted(known[0].frame.timestamp, made.bar_ms)
    planted, names = with_column(made, close[rows] - close[rows - bars])
    assert leaks.shifted_features(planted, known, horizon_ms=HORIZON_MS, names=names)["passed"]


def test_an_edge_that_is_there_is_no_leak(trending: tuple[list[History], Panel]) -> None:
    known, made = trending
    seen = leaks.shifted_features(made, known, horizon_ms=HORIZON_MS)
    assert seen["passed"], seen["offending"]
    assert len(seen["limits"]) == 2


@pytest.mark.parametrize("seed", range(100, 106))
def test_random_walks_raise_no_false_alarm(seed: int) -> None:
    known = [history(seed, bars=8_000)]
    seen = leaks.shifted_features(build(known), known, horizon_ms=HORIZON_MS)
    assert seen["passed"], seen["offending"]


def test_too_short_a_history_says_that_it_was_not_measured() -> None:
    known = [history(3, bars=3_400)]
    seen = leaks.shifted_features(build(known, stride=12), known, horizon_ms=HORIZON_MS)
    assert (seen["passed"], seen["samples"]) == (True, 0)
    assert "not measured" in seen["note"]


# --- features from a truncated history

Computed = Callable[..., Any]


def spoiled(column: str, spoil: Callable[[np.ndarray], np.ndarray]) -> Computed:
    """signals.features.compute with one column made anew from itself."""
    honest = features.compute
    place = features.NAMES.index(column)

    def compute(*args: Any, **kwargs: Any) -> Any:
        seen = honest(*args, **kwargs)
        values = seen.values.copy()
        values[:, place] = spoil(values[:, place])
        return seen._replace(values=values)

    return compute


def peek(values: np.ndarray) -> np.ndarray:
    return np.append(values[1:], values[-1])


def centred(values: np.ndarray) -> np.ndarray:
    return np.convolve(np.nan_to_num(values), np.ones(5) / 5, mode="same")


def scaled(values: np.ndarray) -> np.ndarray:
    return (values - np.nanmean(values)) / np.nanstd(values)


@pytest.mark.parametrize("spoil", [peek, centred, scaled])
def test_what_needs_bars_that_have_not_closed_is_caught_by_name(
    walk: tuple[list[History], Panel], monkeypatch: pytest.MonkeyPatch, spoil: Callable[[np.ndarray], np.ndarray]
) -> None:
    known, _ = walk
    leaky = spoiled("ret_4", spoil)
    monkeypatch.setattr(features, "compute", leaky)
    seen = leaks.truncated_features(build(known), known, None)
    assert not seen["passed"]
    assert [item["feature"] for item in seen["offending"]] == ["ret_4"]
    assert seen["offending"][0]["learned"] != seen["offending"][0]["without_the_future"]


def test_honest_features_are_the_same_without_the_future(walk: tuple[list[History], Panel], trending: tuple[list[History], Panel]) -> None:
    for (known, made), rows in ((walk, 6), (trending, 12)):
        seen = leaks.truncated_features(made, known, None)
        assert seen == {"passed": True, "rows": rows, "features": len(features.NAMES), "offending": [], "count": 0}


def test_a_scaler_fitted_on_all_samples_is_caught(walk: tuple[list[History], Panel]) -> None:
    known, made = walk
    fitted = made._replace(x=((made.x - made.x.mean(axis=0)) / (made.x.std(axis=0) + 1e-9)).astype(np.float32))
    seen = leaks.truncated_features(fitted, known, None)
    assert not seen["passed"]
    assert seen["count"] > 50


# --- labels and splits


def fold_splits(made: Panel, embargo_ms: int = 24 * HOUR_MS) -> list[tuple[np.ndarray, ...]]:
    end = made.end_ms[:, 0]
    return [(made.start_ms, end, fold.train, fold.test) for fold in folds.walk_forward(made.start_ms, end, folds=3, embargo_ms=embargo_ms)]


def test_labels_need_no_bar_after_the_end_they_declare(walk: tuple[list[History], Panel]) -> None:
    known, made = walk
    seen = leaks.label_spans(made, known, fold_splits(made), plan=PLAN, costs=COSTS)
    assert seen == {"passed": True, "labels": 80, "wrong": 0, "examples": [], "splits": 3, "straddling": 0}


def test_a_label_that_outlives_its_declared_end_is_caught(walk: tuple[list[History], Panel]) -> None:
    known, made = walk
    hidden = made._replace(end_ms=made.start_ms[:, None] + (made.end_ms - made.start_ms[:, None]) // 2)
    seen = leaks.label_spans(hidden, known, [], plan=PLAN, costs=COSTS)
    assert not seen["passed"]
    assert seen["wrong"] > 40
    assert "ETH/USDT:USDT 2023-" in seen["examples"][0]


def test_a_split_that_ignores_label_ends_is_caught(walk: tuple[list[History], Panel]) -> None:
    known, made = walk
    end = made.end_ms[:, 0]
    blind = folds.walk_forward(made.start_ms, made.start_ms, folds=3, embargo_ms=0)  # purged as if labels ended at once
    seen = leaks.label_spans(made, known, [(made.start_ms, end, fold.train, fold.test) for fold in blind], plan=PLAN, costs=COSTS)
    assert not seen["passed"]
    assert seen["straddling"] > 10


# --- the verdict


def test_the_verdict_names_every_test_that_failed() -> None:
    offending = [{"feature": "ret_4"}, {"feature": "rsi_14"}]
    tests = {
        "truncated_features": {"passed": False, "count": 2, "features": 144, "offending": offending},
        "shifted_features": {"passed": False, "count": 1, "features": 144, "offending": offending[:1]},
        "label_spans": {"passed": False, "wrong": 3, "labels": 80, "straddling": 7},
        "lagged_features": {"long": {"passed": True}, "short": {"passed": False}},
        "shuffled_labels": {"long": {"passed": False}, "short": {"passed": True}},
    }
    assert leaks.failures(tests) == [
        "2 of 144 features change once the future is cut off (ret_4, rsi_14)",
        "1 of 144 features go with coming returns, not past ones (ret_4)",
        "3 of 80 labels depend on bars after the end they declare",
        "7 training labels share a moment with a test label",
        "the score falls too far with features one sample older (short)",
        "a model of shuffled labels is not at chance (long)",
    ]
