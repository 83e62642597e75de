"""manage.py train: what it prints, and what it refuses."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from signals.models import ModelVersion
from tests.signals.markets import make_market, make_pair
from tests.signals.series import make_series

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_dir")]
BOTH = ["BTC/USDT:USDT", "ETH/USDT:USDT"]


def test_the_command_prints_json_with_spans_and_samples() -> None:
    make_pair()
    out = StringIO()
    call_command("train", symbols=",".join(BOTH), folds=2, rounds=10, json=True, stdout=out)
    result = json.loads(out.getvalue())
    assert (result["version"], result["status"], result["symbols"]) == (1, "champion", BOTH)
    assert result["train_end"] < result["out_of_sample_from"]
    assert result["metrics"]["span"]["n"] > 500
    plain = StringIO()
    call_command("train", symbols=BOTH[0], folds=2, rounds=10, stdout=plain)
    assert "default v2 (candidate) from BTC/USDT:USDT" in plain.getvalue()


def test_the_command_trains_named_learners() -> None:
    make_pair()
    out = StringIO()
    call_command("train", symbols=BOTH[0], folds=2, rounds=10, learners="lightgbm", json=True, stdout=out)
    assert list(json.loads(out.getvalue())["metrics"]["blend"]["long"]) == ["lightgbm"]


def test_the_command_refuses_bad_input_in_one_line() -> None:
    make_market(BOTH[0], make_series(100, symbol=BOTH[0]))
    for options in (
        {"symbols": "NOPE/USDT:USDT"},
        {"symbols": BOTH[0]},
        {"symbols": BOTH[0], "folds": 99},
        {"symbols": BOTH[0], "scope": "A B"},
        {"symbols": BOTH[0], "learners": "oracle"},
        {"symbols": BOTH[0], "learners": ","},
    ):
        with pytest.raises(CommandError) as caught:
            call_command("train", **options)
        assert "\n" not in str(caught.value)
    assert not ModelVersion.objects.exists()
