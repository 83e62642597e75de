"""Whether a model has shown an edge, and that nothing trades by itself where none was shown."""

from typing import Any

import pytest

from signals import autotrade
from signals.models import ModelVersion
from signals.training import edge

SHOWN = {
    "trades": 200,
    "mean_net_pct": 0.4,
    "mean_net_pct_low": 0.1,
    "mean_net_pct_high": 0.7,
    "deflated_sharpe": 0.97,
    "trials": 1,
}


@pytest.mark.parametrize(
    ("changed", "found", "words"),
    [
        (
            {},
            True,
            "+0.40 % a trade after costs out of fold, 95 % interval +0.10 to +0.70 % on 200 trades; the chance of a Sharpe ratio above zero",
        ),
        ({"trades": 0}, False, "no sample out of fold passed the entry rule"),
        ({"trades": 29}, False, "29 trades out of fold are too few to tell: 30 are asked"),
        ({"trades": 1}, False, "1 trade out of fold are too few"),
        ({"trades": 30}, True, "on 30 trades"),
        ({"mean_net_pct_low": 0.0}, False, "it includes zero or lies below it"),
        ({"mean_net_pct_low": None}, False, "too little time for an interval"),
        ({"deflated_sharpe": None}, False, "too little time for an interval"),
        ({"deflated_sharpe": 0.94, "trials": 40}, False, "after 40 trials is 94%, 95% are asked"),
        ({"deflated_sharpe": 0.95, "trials": 40}, True, "after 40 trials is 95%"),
    ],
)
def test_an_edge_needs_trades_an_interval_above_zero_and_a_ratio_that_survives_its_trials(
    changed: dict[str, Any], found: bool, words: str
) -> None:
    seen = edge.found({**SHOWN, **changed})
    assert seen["found"] is found
    assert words in seen["reason"]


@pytest.mark.parametrize(
    ("provenance", "metrics", "words"),
    [
        ("venue", {"edge": {"found": False, "reason": "too few"}}, "Model default v3 has shown no edge: too few."),
        ("file", {"edge": {"found": False, "reason": "too few"}}, "Model default v3 has shown no edge: too few."),
        ("venue", {}, "Model default v3 was trained before its trades out of fold were judged"),
        ("venue", {"edge": {"found": True, "reason": "well"}}, ""),
        ("simulated", {}, ""),
        ("simulated", {"edge": {"found": False, "reason": "too few"}}, ""),
    ],
)
def test_signals_of_a_model_without_an_edge_are_held(provenance: str, metrics: dict[str, Any], words: str) -> None:
    held = autotrade.held(ModelVersion(version=3, provenance=provenance, metrics=metrics))
    assert held.startswith(words) if words else held == ""


def test_where_there_is_no_model_nothing_is_held() -> None:
    assert autotrade.held(None) == ""
