import numpy as np
import pytest

from signals import features
from signals.features import words
from signals.ports import LONG, SHORT
from signals.voters import ml
from tests.signals import scenes


@pytest.mark.parametrize("name", features.NAMES)
def test_every_feature_has_plain_words(name):
    described = words.describe(name)
    assert described is not None
    assert "{" not in described.words
    assert " 0 minutes" not in described.words


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("ret_16", "Price change over 4 hours"),
        ("ret_6_4h", "Price change over one day, on 4h bars"),
        ("rsi_14_1h", "RSI of 14 bars (-1 oversold, 1 overbought), on 1h bars"),
        ("volume_ratio_96_384", "Volume of one day against that of 4 days"),
        ("btc_ret_96", "Bitcoin's change over one day"),
    ],
)
def test_it_words_windows_as_time(name, phrase):
    assert words.describe(name).words == phrase


def test_an_unknown_feature_has_no_words():
    assert words.describe("moon_phase") is None


@pytest.mark.parametrize(("value", "kind", "text"), [(0.0123, "percent", "+1.23 %"), (-1.5, "bp", "-1.50 bp"), (0.4, "number", "+0.40")])
def test_it_writes_values_with_their_unit(value, kind, text):
    assert words.write(value, kind) == text


def test_it_votes_with_the_five_strongest_reasons(learners):
    model = scenes.make_ensemble(learners)
    row = np.linspace(-1.0, 1.0, len(model.feature_names))
    vote = ml.vote(model, row, side=SHORT, probability=0.61)
    strengths = [abs(reason.contribution) for reason in vote.reasons]
    assert (vote.voter, vote.side, vote.weight, vote.probability) == ("ml", "short", 1.0, 0.61)
    assert len(strengths) == 5
    assert strengths == sorted(strengths, reverse=True)
    for reason in vote.reasons:
        assert reason.text.endswith("speaks for a short" if reason.contribution >= 0 else "speaks against a short")


def test_it_puts_features_into_the_models_order(learners):
    model = scenes.make_ensemble(learners)
    names = tuple(reversed(model.feature_names))
    row = np.arange(len(names), dtype=np.float64)
    assert ml.align(model, names, row).tolist() == row[::-1].tolist()


def test_it_names_a_feature_that_is_missing(learners):
    model = scenes.make_ensemble(learners)
    with pytest.raises(ml.FeaturesMismatch, match=f"{model.feature_names[0]}.*train a new model"):
        ml.align(model, model.feature_names[1:], np.zeros(len(model.feature_names) - 1))


def test_it_reads_a_long_and_a_short_apart(learners):
    prediction = scenes.make_ensemble(learners, long=0.7, short=0.2).predict(np.zeros((1, len(features.NAMES))))
    assert prediction.probability[0, LONG] == pytest.approx(0.7)
    assert prediction.probability[0, SHORT] == pytest.approx(0.2)
