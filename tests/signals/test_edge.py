"""Whether a model has shown an edge, and that nothing trades by itself where none was shown."""

from dataclasses import asdict
from typing import Any

import pytest

from exchanges.models import Market, Venue
from signals import autotrade, processing
from signals.models import ModelVersion
from signals.strategies import ml_ensemble
from signals.training import edge

SHOWN = {
    "trades": 200,
    "n_effective": 120.0,
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
        ({"trades": 30, "n_effective": 30.0}, True, "on 30 trades"),
        ({"trades": 400, "n_effective": 29.4}, False, "400 trades out of fold are worth about 29 independent ones: 30 are asked"),
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


def champion(**metrics: Any) -> ModelVersion:
    return ModelVersion(
        version=3,
        provenance="venue",
        symbols=["BTC/USDT:USDT"],
        venue_slug="binance",
        metrics={"edge": {"found": True, "reason": "well"}, **metrics},
    )


def test_an_edge_counts_on_the_markets_that_it_was_shown_on() -> None:
    binance, okx = Venue(slug="binance"), Venue(slug="okx")
    assert autotrade.held(champion(), Market(symbol="BTC/USDT:USDT", venue=binance)) == ""
    elsewhere = "shown its edge on BTC/USDT:USDT at binance, and not on"
    assert f"{elsewhere} ETH/USDT:USDT at binance." in autotrade.held(champion(), Market(symbol="ETH/USDT:USDT", venue=binance))
    assert f"{elsewhere} BTC/USDT:USDT at okx." in autotrade.held(champion(), Market(symbol="BTC/USDT:USDT", venue=okx))


def test_an_edge_counts_under_the_entry_rule_that_it_was_shown_by(settings: Any) -> None:
    rule = asdict(processing.entry_rule(ml_ensemble.TEMPLATE))
    assert autotrade.held(champion(trading={"rule": rule})) == ""
    settings.SCAN_MIN_CONFIDENCE = 0.6
    assert "by another entry rule than the one in force" in autotrade.held(champion(trading={"rule": rule}))
    assert autotrade.held(champion(trading={"rule": {**rule, "min_confidence": 0.6}})) == ""


def test_where_there_is_no_model_nothing_is_held() -> None:
    assert autotrade.held(None) == ""
