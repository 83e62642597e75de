"""Figures of a training say no more than their samples can carry."""

import numpy as np
import pytest

from signals.training import figures
from tests.signals.series import HOUR_MS, START_MS


def blocks(count: int, size: int) -> np.ndarray:
    """`count` blocks of `size` samples each, in ms."""
    return START_MS + np.repeat(np.arange(count, dtype=np.int64) * 48 * HOUR_MS, size)


def test_ten_coins_that_move_as_one_are_one_witness() -> None:
    alone = np.random.default_rng(1).normal(size=400)
    together = np.repeat(alone, 10)
    assert figures.independent(together, np.ones(4_000), blocks(400, 10)) == pytest.approx(400, rel=0.01)
    one, ten = (figures.net_result(x, np.ones(x.size), blocks(400, x.size // 400)) for x in (alone, together))
    assert ten["net_high"] - ten["net_low"] == pytest.approx(one["net_high"] - one["net_low"], rel=0.01)


def test_coins_that_move_apart_count_each_but_never_more_than_their_uniqueness() -> None:
    apart = np.random.default_rng(2).normal(size=4_000)
    assert figures.independent(apart, np.ones(4_000), blocks(400, 10)) == pytest.approx(4_000, rel=0.2)
    assert figures.independent(apart, np.full(4_000, 0.1), blocks(400, 10)) == pytest.approx(400)


def test_its_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(3), 0
    for _ in range(300):
        common, own = np.repeat(rng.normal(size=60), 8), rng.normal(size=480)
        seen = figures.net_result(0.8 * common + 0.6 * own, np.ones(480), blocks(60, 8))
        covered += seen["net_low"] <= 0.0 <= seen["net_high"]
    assert covered / 300 == pytest.approx(0.95, abs=0.035)


def test_hits_without_a_single_miss_are_no_certainty() -> None:
    seen = figures.hit_rate(np.ones(200, np.int8), np.ones(200), blocks(4, 50))
    assert seen["n_effective"] == 4
    assert seen["low"] < 0.55
    assert figures.independent(np.empty(0), np.empty(0), np.empty(0, np.int64)) == 0.0


def test_auc_and_wilson_agree_with_known_values() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    y, p = rng.integers(0, 2, 500).astype(np.int8), rng.integers(0, 20, 500) / 20.0
    assert figures.auc(y, p) == pytest.approx(roc_auc_score(y, p))
    assert figures.auc(np.ones(5, dtype=np.int8), p[:5]) is None
    assert figures.wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-3)
    assert figures.wilson(0.0, 0.0) == (0.0, 1.0)
    assert figures.break_even(np.array([1, 0], dtype=np.int8), np.array([1.0, -1.5])) == pytest.approx(0.6)
