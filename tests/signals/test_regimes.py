"""Regimes over time: the model's own column, told as stretches, and never changed by what comes later."""

import itertools

import numpy as np
import pytest

from exchanges import candles
from exchanges.models import Market
from signals import features, regimes
from signals.features.regime import NAMES
from tests.signals import scenes
from tests.signals.scenes import BAR_MS, BTC, ETH
from tests.signals.series import START_MS, changed, make_series, picked

API = "/api/v1/regimes"
N = 4_000
FRAME = make_series(N, symbol=ETH, seed=51)
CODES = features.regimes(FRAME)


def crashing(frame):
    """The same market, and after bar 3,400 a fall of a fifth within a day in wild swings."""
    fall = np.zeros(len(frame))
    fall[3_400:3_496] = -0.0025
    fall[3_400:3_800] += np.random.default_rng(1).normal(0.0, 0.012, 400)
    factor = np.exp(np.cumsum(fall))
    return changed(frame, **{name: getattr(frame, name) * factor for name in ("open", "high", "low", "close")})


def test_it_is_the_models_own_column():
    column = features.compute(FRAME).values[:, features.NAMES.index("regime_code")]
    assert (np.where(np.isnan(column), -1, column) == CODES).all()
    assert len(set(CODES.tolist())) > 2


def test_a_crash_is_a_crisis_and_was_none_before_it_came():
    crashed = features.regimes(crashing(FRAME))
    assert (crashed[:3_400] == CODES[:3_400]).all()
    assert "crisis" in {NAMES[code] for code in set(crashed[3_400:].tolist())}


@pytest.fixture
def market(db):
    return scenes.make_market(ETH, frame=FRAME)


def named(found) -> dict[int, str]:
    """The regime at each close."""
    return {close: stretch.regime for stretch in found for close in range(stretch.since_ms, stretch.until_ms + 1, BAR_MS)}


def test_it_tells_every_close_that_has_a_regime_once(market):
    found = regimes.stretches(market)
    closes = FRAME.timestamp + BAR_MS
    assert named(found) == {int(close): NAMES[code] for close, code in zip(closes, CODES.tolist(), strict=True) if code >= 0}
    assert all(a.regime != b.regime and a.until_ms + BAR_MS == b.since_ms for a, b in itertools.pairwise(found))
    assert len(found) > 1


def test_a_part_of_the_span_says_the_same(market):
    whole = named(regimes.stretches(market))
    start_ms, end_ms = START_MS + 3_000 * BAR_MS, START_MS + 3_500 * BAR_MS
    part = named(regimes.stretches(market, start_ms=start_ms, end_ms=end_ms))
    assert part == {close: name for close, name in whole.items() if start_ms < close <= end_ms}
    assert len(part) == 500


def test_what_comes_later_changes_nothing(db):
    market = scenes.make_market(ETH, frame=FRAME.slice(0, 3_400))
    before = named(regimes.stretches(market))
    candles.ingest(market, crashing(FRAME).slice(3_400, N), provenance="simulated")
    after = named(regimes.stretches(market))
    assert {close: after[close] for close in before} == before
    assert "crisis" in after.values()


def test_a_gap_ends_a_stretch(db):
    keep = np.r_[0:3_000, 3_010:N]
    market = scenes.make_market(ETH, frame=picked(FRAME, keep))
    closes = named(regimes.stretches(market))
    assert START_MS + 3_005 * BAR_MS not in closes
    assert START_MS + 3_000 * BAR_MS in closes


def test_it_is_silent_without_history_and_for_markets_that_close_at_night(db):
    assert regimes.stretches(candles.find_market(BTC)) == []
    assert regimes.stretches(scenes.make_market(BTC, bars=200)) == []
    share = Market.objects.filter(kind="equity").first()
    assert share is not None
    assert regimes.stretches(share) == []


def test_of_a_long_span_it_tells_the_newest_part(market, monkeypatch):
    monkeypatch.setattr(regimes, "MOST_BARS", 100)
    assert len(named(regimes.stretches(market, start_ms=START_MS))) == 100


# --- over HTTP


def test_the_api_tells_stretches(market, client_for, alice):
    client = client_for(alice)
    body = client.get(f"{API}/{market.pk}").json()
    assert (body["symbol"], body["simulated"], body["timeframe"]) == (ETH, True, "15m")
    assert [tuple(row.values()) for row in body["regimes"]] == regimes.stretches(market, start_ms=START_MS + (N - 1_000) * BAR_MS)
    span = {"start": START_MS + 3_000 * BAR_MS, "end": START_MS + 3_500 * BAR_MS}
    body = client.get(f"{API}/{market.pk}", span).json()
    assert [tuple(row.values()) for row in body["regimes"]] == regimes.stretches(market, start_ms=span["start"], end_ms=span["end"])


def test_the_api_refuses_what_makes_no_sense(market, client_for, alice, client):
    caller = client_for(alice)
    assert client.get(f"{API}/{market.pk}").status_code == 401
    assert caller.get(f"{API}/{10**6}").status_code == 404
    assert caller.get(f"{API}/{market.pk}", {"begin": 1}).status_code == 422
    backwards = caller.get(f"{API}/{market.pk}", {"start": START_MS + 1_000, "end": START_MS})
    assert (backwards.status_code, backwards.json()["field"]) == (422, "start")


def test_a_signals_chart_has_the_regimes_of_its_bars(market, client_for, alice):
    signal = scenes.make_signal(market, bar_ms=int(FRAME.timestamp[3_500]), regime="bull")
    client = client_for(alice)
    body = client.get(f"/api/v1/signals/{signal.pk}/candles").json()
    assert body["length_ms"] == BAR_MS
    first, last = body["candles"][0][0], body["candles"][-1][0]
    assert body["regimes"][0]["since_ms"] <= first + BAR_MS
    assert body["regimes"][-1]["until_ms"] == last + BAR_MS
    assert "bull when the signal was decided" in client.get(f"/signals/{signal.pk}/").content.decode()


def test_it_names_the_regime_of_single_bars_as_the_whole_series_does(market):
    rows = np.array([3_900, 100, 3_000, 3_999, 3_000])
    opens = FRAME.timestamp[rows]
    assert regimes.names_at(market, opens) == [NAMES.get(int(CODES[row]), "") for row in rows]
    assert regimes.names_at(market, opens)[1] == ""  # too little history
    assert regimes.names_at(market, opens[3:4] + BAR_MS) == [""]  # no such bar
    assert regimes.names_at(market, opens[:0]) == []
