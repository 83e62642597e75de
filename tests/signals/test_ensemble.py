"""Blending, calibration, payoffs, and an ensemble that would rather say nothing than guess."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals import ensemble
from signals.net_profit import Payoff
from signals.ports import LONG, SHORT

PAYOFF = Payoff(1.5, -1.0, 20.0, 10.0, 40, 60)


class Linear:
    """A learner whose probability is its first feature, cut to 0..1."""

    suffix = "txt"
    lookback = 1

    def __init__(self, kind: str, factor: float) -> None:
        self.kind = kind
        self.factor = factor

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, valid: object) -> None:
        raise AssertionError("a loaded learner is never fitted")

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x[:, 0].astype(np.float64) * self.factor, 0.0, 1.0)

    def contributions(self, x: np.ndarray) -> np.ndarray:
        return x.astype(np.float64) * self.factor

    def save(self, path: str) -> str:
        return path


def make_ensemble(calibration: ensemble.Calibration = ensemble.IDENTITY) -> ensemble.Ensemble:
    learners = {"a": Linear("a", 1.0), "b": Linear("b", 0.5)}
    side = ensemble.SideModel(learners, {"a": 0.75, "b": 0.25}, calibration, PAYOFF)
    return ensemble.Ensemble(("first", "second", "third"), (side, side))


def sample(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, a probability that overstates itself, and weights."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.3, 0.6, n)
    return (rng.uniform(size=n) < true).astype(np.int8), np.clip(3.0 * (true - 0.45) + 0.5, 0.0, 1.0), rng.uniform(0.2, 1.0, n)


def test_blend_gives_its_weight_to_the_learner_that_knows() -> None:
    y, _, weight = sample(4_000)
    rng = np.random.default_rng(2)
    good = np.clip(np.where(y == 1, 0.65, 0.35) + rng.normal(0, 0.05, y.size), 0.01, 0.99)
    noise = rng.uniform(0.2, 0.8, y.size)
    shares = ensemble.blend_weights(y, np.column_stack((good, noise)), weight)
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] > 0.95
    assert ensemble.blend_weights(y, np.column_stack((good, good)), weight) == pytest.approx((0.5, 0.5))


def test_blend_reaches_the_lowest_log_loss_of_a_fine_grid() -> None:
    y, first, weight = sample(3_000, seed=3)
    second = np.clip(first + np.random.default_rng(4).normal(0, 0.3, y.size), 0.01, 0.99)
    predictions = np.column_stack((np.clip(first, 0.01, 0.99), second))
    shares = ensemble.blend_weights(y, predictions, weight, rounds=3_000)
    grid = min(ensemble.log_loss(y, predictions @ np.array([w, 1 - w]), weight) for w in np.linspace(0, 1, 201))
    assert ensemble.log_loss(y, predictions @ np.array(shares), weight) <= grid + 1e-5


def test_calibration_pulls_an_overstated_probability_back() -> None:
    y, p, weight = sample(20_000)
    fitted = ensemble.isotonic(y, p, weight)
    fresh_y, fresh_p, fresh_weight = sample(20_000, seed=9)
    after = fitted.apply(fresh_p)
    assert ensemble.log_loss(fresh_y, after, fresh_weight) < ensemble.log_loss(fresh_y, np.clip(fresh_p, 0.01, 0.99), fresh_weight)
    for low in (0.3, 0.4, 0.5):
        inside = (after >= low) & (after < low + 0.1)
        assert fresh_y[inside].mean() == pytest.approx(after[inside].mean(), abs=0.03)


def test_calibration_is_scikit_learns_isotonic_regression_but_for_bins_and_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.isotonic import IsotonicRegression

    y, p, _ = sample(200)
    p = p + np.arange(200) * 1e-9
    monkeypatch.setattr(ensemble, "BIN_LABELS", 1.0)
    monkeypatch.setattr(ensemble, "MAX_BINS", 200)
    monkeypatch.setattr(ensemble, "PRIOR_LABELS", 0.0)
    fitted = ensemble.isotonic(y, p, np.ones(200))
    theirs = IsotonicRegression().fit(p, y).predict(np.array(fitted.raw))
    assert np.mean(np.abs(np.array(fitted.calibrated) - theirs)) < 0.02


def test_a_lucky_handful_cannot_claim_certainty() -> None:
    y = np.array([0] * 300 + [1] * 300 + [1] * 6, dtype=np.int8)
    p = np.array([0.5] * 600 + [0.9] * 6) + np.arange(606) * 1e-7
    fitted = ensemble.isotonic(y[np.random.default_rng(0).permutation(606)], p, np.ones(606))
    assert fitted.apply(np.array([0.9]))[0] < 0.7


def test_calibration_with_few_independent_labels_says_the_base_rate() -> None:
    y, p, _ = sample(2_000)
    fitted = ensemble.isotonic(y, p, np.full(2_000, 0.005))  # ten independent labels
    assert fitted.apply(np.array([0.0, 1.0])) == pytest.approx([y.mean(), y.mean()])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.floats(0.01, 1)), min_size=1, max_size=300))
def test_calibration_rises_and_stays_between_0_and_1(rows: list[tuple[float, bool, float]]) -> None:
    p, y, weight = (np.array(column) for column in zip(*rows, strict=True))
    fitted = ensemble.isotonic(y.astype(np.int8), p.astype(np.float64), weight)
    out = fitted.apply(np.linspace(0, 1, 50))
    assert (np.diff(out) >= -1e-12).all()
    assert (np.diff(fitted.raw) >= 0).all()
    assert ((out >= 0.0) & (out <= 1.0)).all()
    assert np.isnan(fitted.apply(np.array([np.nan]))).all()


def test_calibration_needs_predictions() -> None:
    with pytest.raises(ValueError, match="out-of-fold"):
        ensemble.isotonic(np.empty(0, dtype=np.int8), np.empty(0), np.empty(0))


def test_payoff_is_the_mean_of_what_happened() -> None:
    out = ensemble.payoff(np.array([1, 1, 0], dtype=np.int8), np.array([2.0, 1.0, -1.5]), np.array([10.0, 20.0, 5.0]))
    assert out == Payoff(1.5, -1.5, 15.0, 5.0, 2, 1)
    with pytest.raises(ValueError, match="hit 0 times and missed 2"):
        ensemble.payoff(np.array([0, 0], dtype=np.int8), np.zeros(2), np.zeros(2))


def test_it_blends_calibrates_and_measures_agreement() -> None:
    made = make_ensemble(ensemble.Calibration((0.0, 1.0), (0.2, 0.6)))
    out = made.predict(np.array([[0.8, 0.0, 0.0]]))
    raw = 0.75 * 0.8 + 0.25 * 0.4
    assert out.probability[0, LONG] == pytest.approx(0.2 + 0.4 * raw)
    assert out.agreement[0, SHORT] == pytest.approx(1.0 - (0.8 - 0.4))


def test_agreement_of_two_is_their_distance_whatever_they_weigh() -> None:
    each = np.array([[0.8, 0.4], [0.5, 0.5]])
    for shares in ((0.5, 0.5), (0.9, 0.1), (1.0, 0.0)):
        assert ensemble.agreement(each, np.array(shares)) == pytest.approx([0.6, 1.0])


def test_agreement_of_more_counts_pairs_by_weight() -> None:
    each = np.array([[0.2, 0.4, 0.8]])
    pairs = 0.5 * 0.3 * 0.2 + 0.5 * 0.2 * 0.6 + 0.3 * 0.2 * 0.4
    assert ensemble.agreement(each, np.array([0.5, 0.3, 0.2])) == pytest.approx([1.0 - pairs / (0.15 + 0.10 + 0.06)])
    assert ensemble.agreement(each, np.array([0.5, 0.5, 0.0])) == pytest.approx([0.8], abs=1e-4)  # who has no weight is not asked
    assert ensemble.agreement(np.array([[0.3, 0.5, 0.3, 0.5]]), np.full(4, 0.25)) == pytest.approx([1.0 - 0.2 * 4 / 6])


def test_one_learner_agrees_with_itself() -> None:
    assert ensemble.agreement(np.array([[0.3], [0.9]]), np.ones(1)) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_with_an_unknown_feature_gets_no_probability(bad: float) -> None:
    out = make_ensemble().predict(np.array([[0.5, 0.0, 0.0], [0.5, bad, 0.0]]))
    assert np.isfinite(out.probability[0]).all()
    assert np.isnan(out.probability[1]).all()
    assert np.isnan(out.agreement[1]).all()
    assert np.isnan(make_ensemble().predict(np.full((2, 3), np.nan)).probability).all()


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 3 features"):
        make_ensemble().predict(np.zeros((1, 4)))


def test_explanation_names_the_strongest_features_first() -> None:
    reasons = make_ensemble().explain(np.array([0.1, -3.0, 2.0]), LONG, top=2)
    assert [reason.feature for reason in reasons] == ["second", "third"]
    assert reasons[0].value == -3.0
    assert reasons[0].contribution == pytest.approx(-3.0 * (0.75 + 0.25 * 0.5))


def test_a_side_survives_json() -> None:
    made = make_ensemble(ensemble.Calibration((0.1, 0.9), (0.3, 0.5))).sides[LONG]
    back = ensemble.side_from_json(json.loads(json.dumps(ensemble.side_to_json(made))), made.learners)
    assert (back.weights, back.calibration, back.payoff) == (made.weights, made.calibration, made.payoff)
    with pytest.raises(ValueError, match="missing: b"):
        ensemble.side_from_json(ensemble.side_to_json(made), {"a": made.learners["a"]})
