"""Tests of two samples against literal numbers, SciPy, and processes whose answers are known."""

import numpy as np
import pytest
from scipy import signal, stats

from signals import distributions
from signals.distributions import Histogram, histogram, independent_share, ks, ks_p_value, psi, reference_of
from signals.drift.comparing import Limits, compare

STEP_MS = 3_600_000


def autoregressive(rng: np.random.Generator, phi: float, n: int, columns: int = 1) -> np.ndarray:
    """A stationary AR(1) process of unit variance, [n, columns]."""
    noise = rng.normal(size=(n, columns)) * np.sqrt(1.0 - phi * phi)
    noise[0] = rng.normal(size=columns)
    return signal.lfilter([1.0], [1.0, -phi], noise, axis=0)


@pytest.mark.parametrize(
    ("reference", "current", "expected"),
    [
        ((0.5, 0.5), (0.5, 0.5), 0.0),
        ((0.5, 0.5), (0.8, 0.2), 0.41589),  # 0.3 ln 1.6 - 0.3 ln 0.4
        ((0.25, 0.25, 0.25, 0.25), (0.4, 0.3, 0.2, 0.1), 0.22822),  # 0.15 ln 1.6 + 0.05 ln 1.2 - 0.05 ln 0.8 - 0.15 ln 0.4
    ],
)
def test_psi_is_the_sum_over_the_bins(reference, current, expected):
    assert psi(Histogram((), reference, current), 10**8, 10**8) == pytest.approx(expected, abs=1e-5)


def test_psi_of_an_empty_bin_is_finite():
    assert 0.25 < psi(Histogram((0.0,), (0.5, 0.5), (1.0, 0.0)), 100, 100) < 10.0


def test_bins_hold_equal_parts_of_the_reference():
    rng = np.random.default_rng(1)
    found = histogram(rng.normal(size=5_000), rng.normal(size=700))
    assert len(found.edges) == 9
    assert found.reference == pytest.approx([0.1] * 10, abs=1e-3)
    assert sum(found.current) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("reference", "bins"), [(np.zeros(50), 1), (np.array([0.0, 1.0] * 50), 2), (np.repeat([0.0, 1.0, 2.0], [97, 2, 1]), 2)]
)
def test_bins_bear_ties(reference, bins):
    found = histogram(reference, reference)
    assert len(found.reference) == len(found.current) == len(found.edges) + 1
    assert len(found.reference) == bins
    assert found.reference == found.current


def test_a_constant_that_changes_is_seen_by_ks_and_counted_outside():
    assert ks(np.zeros(100), np.ones(50)) == 1.0
    assert ks(np.zeros(100), np.zeros(50)) == 0.0


@pytest.mark.parametrize(("n", "m", "shift"), [(50, 80, 0.0), (500, 200, 0.3), (4_000, 1_000, 0.05)])
def test_ks_agrees_with_scipy(n, m, shift):
    rng = np.random.default_rng(n)
    ours, theirs = rng.normal(size=n), rng.normal(loc=shift, size=m).round(1)
    known = stats.ks_2samp(ours, theirs, method="exact" if n < 1_000 else "asymp")
    assert ks(ours, theirs) == pytest.approx(known.statistic)
    assert ks_p_value(known.statistic, n, m) == pytest.approx(known.pvalue, abs=0.03)


def test_ks_p_values_are_evenly_spread_when_nothing_differs():
    rng = np.random.default_rng(3)
    values = [ks_p_value(ks(rng.normal(size=400), rng.normal(size=60)), 400, 60) for _ in range(600)]
    assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(values) < 0.5) == pytest.approx(0.5, abs=0.07)


def test_false_discoveries_are_those_of_the_paper():
    """Benjamini and Hochberg 1995, section 3.1: thrombolysis against neuhaus, 15 comparisons, q 0.05."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert distributions.false_discoveries(np.array(p), 0.05).tolist() == [True] * 4 + [False] * 11
    assert distributions.false_discoveries(np.array(p[::-1]), 0.05).tolist() == [False] * 11 + [True] * 4
    assert distributions.false_discoveries(np.empty(0), 0.05).tolist() == []


def test_a_higher_p_value_can_save_a_lower_one():
    assert distributions.false_discoveries(np.array([0.04, 0.04]), 0.05).all()
    assert not distributions.false_discoveries(np.array([0.04, 0.9]), 0.05).any()


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.97])
def test_it_knows_how_little_neighbours_tell(phi):
    """The mean of an AR(1) process is worth (1 - phi) / (1 + phi) of its values; ranks are a little less alike than values."""
    x = autoregressive(np.random.default_rng(5), phi, 30_000)
    share = independent_share(x.astype(np.float32), np.arange(30_000))[0]
    assert share == pytest.approx((1.0 - phi) / (1.0 + phi), rel=0.25)


def test_coins_that_move_together_count_once():
    rng = np.random.default_rng(6)
    one, other = autoregressive(rng, 0.8, 8_000), autoregressive(rng, 0.8, 8_000)
    moments = np.arange(8_000)
    alone = independent_share(one.astype(np.float32), moments)[0]
    twice = np.concatenate([moments, moments])
    assert independent_share(np.concatenate([one, one]).astype(np.float32), twice)[0] == pytest.approx(alone, rel=1e-3)
    assert independent_share(np.concatenate([one, other]).astype(np.float32), twice)[0] == pytest.approx(2.0 * alone, rel=0.3)


def test_a_reference_is_small_even_and_the_same_every_time():
    rng = np.random.default_rng(7)
    values = autoregressive(rng, 0.6, 30_000, 3).astype(np.float32)
    values[:6_000, 2] = np.nan
    moments = np.arange(30_000) * STEP_MS
    first, second = (reference_of(("a", "b", "c"), values, moments, step_ms=STEP_MS) for _ in range(2))
    assert first.sample.shape == (distributions.SAMPLE_ROWS, 3)
    assert np.array_equal(first.sample, second.sample, equal_nan=True)
    assert first.per_day == second.per_day
    assert (first.rows, first.days) == (30_000, 1_250.0)
    assert np.isnan(first.sample[:, 2]).mean() == pytest.approx(0.2, abs=0.01)
    assert first.per_day[0] == pytest.approx(24 * 0.25, rel=0.25)


# --- alarms


COLUMNS = tuple(f"f{k}" for k in range(30))
PHIS = np.linspace(0.3, 0.985, 30)


def panel(rng: np.random.Generator, n: int) -> np.ndarray:
    """Thirty columns that remember between an instant and days, each with something of a common factor; two coins that share half."""
    common = autoregressive(rng, 0.9, n)
    coins = []
    for _ in range(2):
        own = np.column_stack([autoregressive(rng, phi, n) for phi in PHIS])
        coins.append(0.5 * common + 0.8 * own)
    return np.concatenate(coins).astype(np.float32)


def times(n: int) -> np.ndarray:
    return np.tile(np.arange(n) * STEP_MS, 2)


@pytest.fixture(scope="module")
def references():
    return [reference_of(COLUMNS, panel(np.random.default_rng(seed), 6_000), times(6_000), step_ms=STEP_MS) for seed in (100, 200, 300)]


def test_data_of_one_distribution_raises_no_alarm(references):
    """The thresholds alone would: a slow column has a PSI of 0.15 or a KS of 0.10 by chance."""
    shares, crossed, windows = [], 0, 0
    for number, reference in enumerate(references):
        for seed in range(8):
            values = panel(np.random.default_rng(1_000 * number + seed), 720)
            found = compare(reference, values, times(720), step_ms=STEP_MS, limits=Limits())
            shares.append(sum(one.is_different for one in found) / len(COLUMNS))
            crossed += any(one.psi >= 0.15 or one.ks >= 0.10 for one in found)
            windows += 1
    assert crossed > 0.5 * windows
    assert np.mean(np.array(shares) > 0.0) <= 0.15
    assert max(shares) < Limits().feature_share


def test_a_planted_shift_is_found_where_it_was_planted(references):
    hits, false = [], 0
    for number, reference in enumerate(references):
        for seed in range(4):
            values = panel(np.random.default_rng(9_000 * number + seed), 720)  # 30 days of hours
            values[:, :10] += 0.8
            found = compare(reference, values, times(720), step_ms=STEP_MS, limits=Limits())
            names = [one.name for one in found if one.is_different]
            hits.append(len(set(names) & set(COLUMNS[:10])))
            false += len(set(names) - set(COLUMNS[:10]))
    assert np.mean(hits) >= 9.0
    assert false <= 0.15 * sum(hits)


def test_a_column_that_is_too_slow_to_tell_is_never_accused():
    rng = np.random.default_rng(8)
    slow = np.cumsum(rng.normal(size=(6_000, 1)), axis=0).astype(np.float32)
    reference = reference_of(("slow",), slow, np.arange(6_000) * STEP_MS, step_ms=STEP_MS)
    window = np.full((100, 1), slow.max() + 50.0, dtype=np.float32)
    found = compare(reference, window, np.arange(100) * STEP_MS, step_ms=STEP_MS, limits=Limits())
    assert (found[0].ks, found[0].is_tested, found[0].is_different) == (1.0, False, False)
