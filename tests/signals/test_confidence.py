"""Coverage is measured after the calibration span, and precision is told with what its samples can carry."""

import numpy as np
import pytest

from signals import conformal, folds
from signals.training import confidence
from signals.training.panel import Panel
from tests.signals.series import HOUR_MS
from tests.signals.test_trades import make_panel

N = 6_000


def make_sample(seed: int = 1, shift: float = 0.0) -> tuple[Panel, np.ndarray, list[folds.Fold]]:
    """Independent labels of six blocks with the probabilities they had; in the last two blocks they come true less by `shift`."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.1, 0.9, N)
    late = np.arange(N) >= N * 4 // 6
    y = rng.uniform(size=N) < np.where(late, np.clip(chance - shift * np.sign(chance - 0.5), 0.0, 1.0), chance)
    panel = make_panel(list(range(0, 49 * N, 49)), [1] * N, y=y.astype(int))
    panel = panel._replace(regime=np.arange(N) // 500 % 3, symbol=np.arange(N) % 2, symbols=("A", "B"))
    split = folds.walk_forward(panel.start_ms, panel.end_ms[:, 0], folds=5, embargo_ms=HOUR_MS)
    probability = np.where(np.arange(N) >= split[1].test[0], chance, np.nan)
    return panel, probability, split


def test_coverage_is_what_was_asked_for_overall_by_regime_and_by_symbol() -> None:
    panel, probability, split = make_sample()
    seen = confidence.measured(panel, 0, probability, split, embargo_ms=HOUR_MS)
    assert [level["nominal"] for level in seen] == [0.8, 0.9]
    for level in seen:
        assert level["n"] == sum(fold.test.size for fold in split[2:])
        assert level["coverage"] == pytest.approx(level["nominal"], abs=0.03)
        assert level["low"] < level["coverage"] < level["high"]
        for groups, names in (("regimes", {"sideways", "bull", "bear"}), ("symbols", {"A", "B"})):
            assert set(level[groups]) == names
            assert sum(part["n"] for part in level[groups].values()) == level["n"]
            assert all(part["coverage"] == pytest.approx(level["nominal"], abs=0.05) for part in level[groups].values())
        assert level["says_hit"]["precision"] > 0.6
        assert level["abstained"] == pytest.approx(0.225 if level["nominal"] == 0.8 else 0.5, abs=0.08)


def test_a_market_that_turned_after_the_calibration_shows_in_the_measured_coverage() -> None:
    panel, probability, split = make_sample(shift=0.3)
    [at_80, _] = confidence.measured(panel, 0, probability, split, embargo_ms=HOUR_MS)
    assert at_80["high"] < 0.8


def test_thresholds_come_from_earlier_blocks_only() -> None:
    panel, probability, split = make_sample()
    before = confidence.measured(panel, 0, probability, split[:3], embargo_ms=HOUR_MS)
    later = panel._replace(y=np.where((np.arange(N) >= split[3].test[0])[:, None], 1 - panel.y, panel.y))
    assert confidence.measured(later, 0, probability, split[:3], embargo_ms=HOUR_MS) == before
    earlier = np.flatnonzero(np.isfinite(probability) & (panel.end_ms[:, 0] < split[2].test_start_ms - HOUR_MS))
    limit = conformal.calibrate(panel.y[earlier, 0], probability[earlier]).threshold(0.8)
    held = conformal.sets(probability[split[2].test], limit)
    assert before[0]["coverage"] == pytest.approx(conformal.covered(panel.y[split[2].test, 0], held).mean())


def test_two_blocks_are_not_enough_to_measure_but_enough_to_carry_thresholds() -> None:
    panel, probability, split = make_sample()
    assert confidence.measured(panel, 0, probability, split[:2], embargo_ms=HOUR_MS) == []
    live = confidence.calibrated(panel, 0, probability)
    assert live.n == np.isfinite(probability).sum()


def test_precision_rises_with_confidence_and_its_interval_counts_independent_labels() -> None:
    panel, probability, _ = make_sample()
    known = np.isfinite(probability)
    rows = confidence.precision_by_share(panel.y[known, 0], probability[known], panel.weight[known, 0], panel.start_ms[known])
    assert rows[0]["kept"] == 1.0
    assert [row["kept"] for row in rows] == sorted((row["kept"] for row in rows), reverse=True)
    assert rows[-1]["precision"] > rows[0]["precision"] + 0.3
    tenth = next(row for row in rows if row["kept"] == pytest.approx(0.1, abs=0.001))
    chosen = known & (probability >= tenth["threshold"])
    assert tenth["precision"] == pytest.approx(panel.y[chosen, 0].mean())
    assert all(row["low"] <= row["precision"] <= row["high"] for row in rows)
    tight = tenth["high"] - tenth["low"]
    doubtful = confidence.precision_by_share(panel.y[known, 0], probability[known], panel.weight[known, 0] / 20.0, panel.start_ms[known])
    wide = next(row for row in doubtful if row["kept"] == tenth["kept"])
    assert wide["n_effective"] == pytest.approx(tenth["n"] / 20.0)
    assert wide["high"] - wide["low"] > 3.0 * tight


def test_equal_probabilities_are_kept_or_left_together() -> None:
    y = np.array([1, 0] * 50, dtype=np.int8)
    rows = confidence.precision_by_share(y, np.full(100, 0.5), np.ones(100), np.arange(100) * 49 * HOUR_MS)
    assert [(row["kept"], row["n"], row["precision"]) for row in rows] == [(1.0, 100, 0.5)]
    assert confidence.precision_by_share(y[:0], np.empty(0), np.empty(0), np.empty(0, np.int64)) == []
