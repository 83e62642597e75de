import time

import numpy as np
import pytest

from exchanges import simulated, timeframes
from exchanges.candles.validation import check_candles, check_funding
from tests.exchanges.frames import START_MS, rows

PAIRS = [f"{base}/USDT:USDT" for base in list(simulated.PRICE_LEVELS)[:10]]


@pytest.fixture(scope="module")
def market():
    return simulated.generate(PAIRS, START_MS, 20_000, seed=42)


def test_it_makes_only_bars_that_could_be_stored(market):
    for frame in market:
        checked = check_candles(frame, now_ms=START_MS + 10**12)
        assert checked.bad == ()
        assert len(checked.columns[0]) == 20_000
        assert timeframes.gaps(frame.timestamp, "15m") == []


def test_it_gives_the_same_symbol_the_same_path_in_any_company(market):
    alone = simulated.generate([PAIRS[3]], START_MS, 20_000, seed=42)[0]
    assert rows(alone) == rows(market[3])
    assert rows(simulated.generate([PAIRS[3]], START_MS, 20_000, seed=43)[0]) != rows(alone)


def test_it_moves_four_hour_bars_by_one_to_two_and_a_half_percent(market):
    for frame in market:
        hours = timeframes.aggregate(frame, "4h")
        before = hours.close[:-1]
        true_range = np.maximum(hours.high[1:], before) - np.minimum(hours.low[1:], before)
        typical = np.median(np.convolve(true_range, np.ones(14) / 14, "valid") / hours.close[14:])
        assert 0.01 < typical < 0.025, frame.symbol


def test_it_has_the_habits_of_a_market(market):
    returns = np.array([np.diff(np.log(frame.close)) for frame in market])
    for row in returns:
        assert ((row - row.mean()) ** 4).mean() / row.var() ** 2 > 4.5, "fat tails"
        assert np.corrcoef(np.abs(row[1:]), np.abs(row[:-1]))[0, 1] > 0.05, "volatility clusters"
    correlation = np.corrcoef(returns)
    assert (correlation[0, 1:] > 0.4).all()
    assert (correlation[np.triu_indices(10, 1)] < 0.98).all()
    for frame, row in zip(market, returns, strict=True):
        assert np.corrcoef(np.log(frame.volume[1:]), np.abs(row))[0, 1] > 0.2, "volume rises with movement"


def test_it_leaves_a_trend_that_can_be_found_and_no_more(market):
    found = []
    for frame in market:
        path = np.log(frame.close)
        found.append(np.corrcoef(path[96:-192] - path[:-288], path[288:] - path[96:-192])[0, 1])
    assert 0.03 < np.mean(found) < 0.75


def test_it_funds_every_eight_hours_near_the_neutral_rate(market):
    rates = simulated.funding(market[0], seed=42)
    assert check_funding(rates, now_ms=START_MS + 10**12).bad == ()
    assert set(np.diff(rates.timestamp)) == {28_800_000}
    assert rates.timestamp[0] % 28_800_000 == 0
    assert -0.0005 < np.median(rates.rate) < 0.0005


def test_it_knows_a_funding_rate_from_the_past_alone(market):
    whole = simulated.funding(market[1], seed=42)
    cut = simulated.funding(market[1].slice(0, 5_000), seed=42)
    assert cut.rate.tolist() == whole.rate[: len(cut.rate)].tolist()


def test_it_is_ready_in_three_seconds():
    started = time.perf_counter()
    simulated.generate(PAIRS, START_MS, 25_000, seed=1)
    assert time.perf_counter() - started < 3


def test_it_refuses_to_make_nothing():
    with pytest.raises(ValueError, match="at least one"):
        simulated.generate([], START_MS, 100, seed=1)
