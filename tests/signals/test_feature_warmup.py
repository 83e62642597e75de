"""Every feature keeps its own promise: as many bars as its catalogue entry declares are enough, and no stored bar is a silent hole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.ports import CandleFrame, FundingFrame
from signals import features
from signals.features import grid, plan_atr
from signals.features.plan_atr import warmup_bars
from signals.plan import PlanConfig
from tests.signals.series import changed, make_funding, make_series, picked

N = 3_200
BAR_MS = 900_000
ETH = make_series(N, seed=31)
BTC = make_series(N, symbol="BTC/USDT:USDT", seed=32, price=30_000.0)
FUNDING = make_funding(ETH)
WHOLE = features.compute(ETH, funding=FUNDING, btc=BTC)
SPREAD = np.nanstd(WHOLE.values, axis=0)
DECLARED = np.array([spec.warmup_bars for spec in features.CATALOGUE])


def window(frame: CandleFrame, last: int, bars: int) -> CandleFrame:
    return frame.slice(last + 1 - bars, last + 1)


def recent(funding: FundingFrame, frame: CandleFrame) -> FundingFrame:
    """What a scan of `frame` reads: rates from its first open to its last close."""
    seen = (funding.timestamp >= frame.timestamp[0]) & (funding.timestamp <= frame.timestamp[-1] + BAR_MS)
    return FundingFrame(funding.timestamp[seen], funding.rate[seen])


def moved(frame: CandleFrame, btc: CandleFrame, whole: np.ndarray, last: int) -> list[str]:
    """Features whose value at `last` differs from `whole` when no more than their own warm-up lies before it."""
    found = []
    for bars in sorted(set(DECLARED.tolist())):
        short = window(frame, last, bars + 1)
        live = features.compute(short, funding=recent(FUNDING, short), btc=window(btc, last, bars + 1)).values[-1]
        for k in np.flatnonzero(bars == DECLARED):
            if not abs(live[k] - whole[last, k]) <= 1e-9 * max(abs(whole[last, k]), SPREAD[k]):
                found.append(features.NAMES[k])
    return found


@settings(max_examples=6)
@given(last=st.integers(features.WARMUP_BARS, N - 1))
def test_its_own_warm_up_gives_each_feature_the_batch_value(last: int) -> None:
    assert moved(ETH, BTC, WHOLE.values, last) == []


@pytest.mark.parametrize("last", [3_071, 3_072, 3_073])
def test_its_own_warm_up_is_enough_at_the_border_of_a_day(last: int) -> None:
    assert moved(ETH, BTC, WHOLE.values, last) == []


def test_it_is_enough_when_bitcoins_newest_bars_are_late() -> None:
    late = BTC.slice(0, N - 4)
    whole = features.compute(ETH, funding=FUNDING, btc=late).values
    known = features.NAMES.index("btc_known")
    assert whole[-1, known] == 1.0
    bars = int(DECLARED[known])
    short = window(ETH, N - 1, bars + 1)
    live = features.compute(short, funding=recent(FUNDING, short), btc=BTC.slice(N - 1 - bars, N - 4)).values[-1]
    assert live[known] == 1.0


def spans(longest: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(st.integers(1, N - 2), st.integers(1, longest)), max_size=6)


@settings(max_examples=25)
@given(holes=spans(900), silent=spans(400), frozen=spans(400))
def test_no_gap_and_no_dead_market_leaves_a_stored_row_without_values(holes, silent, frozen) -> None:
    """Whatever is missing, silent or frozen: a row is NaN exactly before a feature's warm-up since the last gap of more than a week."""
    keep, volume = np.ones(N, dtype=bool), ETH.volume.copy()
    prices = {name: getattr(ETH, name).copy() for name in ("open", "high", "low", "close")}
    for start, length in holes:
        keep[start : start + length] = False
    for start, length in silent:
        volume[start : start + length] = 0.0
    for start, length in frozen:
        for column in prices.values():
            column[start : start + length] = ETH.close[start - 1]
    frame = picked(changed(ETH, volume=volume, **prices), keep)
    out = features.compute(frame, funding=FUNDING, btc=BTC)
    for start, stop in grid.stretches(frame.timestamp):
        place = (frame.timestamp[start:stop] - frame.timestamp[start]) // BAR_MS
        assert (np.isfinite(out.values[start:stop]) == (place[:, None] >= DECLARED)).all()


@pytest.mark.parametrize("unit", ["atr", "volatility"])
@pytest.mark.parametrize("timeframe", ["1h", "4h"])
def test_the_plans_unit_needs_no_more_than_its_warm_up(unit: str, timeframe: str) -> None:
    config = PlanConfig(unit=unit, atr_timeframe=timeframe)
    whole = plan_atr(ETH, config)
    needed = warmup_bars(config)
    assert needed <= features.WARMUP_BARS
    for last in (N - 1, 3_071, 3_072, 2_900):
        assert plan_atr(window(ETH, last, needed + 1), config)[-1] == pytest.approx(whole[last], rel=1e-9)
        assert plan_atr(ETH.slice(0, last + 1), config)[-1] == whole[last]


def test_the_unit_of_volatility_is_the_deviation_of_closed_4h_returns_times_the_price() -> None:
    config = PlanConfig(unit="volatility", atr_period=20)
    out = plan_atr(ETH, config)
    last = 16 * 150 + 7  # inside a 4h bar, which is not looked at
    closes = ETH.close[15 : 16 * 150 : 16]
    returns = np.diff(np.log(closes))[-20:]
    assert out[last] == pytest.approx(returns.std() * closes[-1])
    assert np.isnan(out[: 16 * 21 - 1]).all()
    assert np.isfinite(out[16 * 21 - 1 :]).all()
