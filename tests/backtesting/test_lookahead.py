"""The analysis finds every planted leak and names it, and finds nothing where nothing is wrong."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtesting import checks, lookahead, preparation
from backtesting.lookahead import LOOKAHEAD, WARMUP, Data, Finding, Said
from exchanges.models import Market, MarketKind, Venue
from exchanges.ports import CandleFrame, FundingFrame
from signals import features, strategies
from signals.ensemble import Calibration, Ensemble, SideModel
from signals.features import grid
from signals.ports import FeatureFrame
from tests.signals import scenes
from tests.signals.series import HOUR_MS, make_funding, make_series

N, LIVE = 3_000, features.WARMUP_BARS
ETH = make_series(N, seed=41)
BTC = make_series(N, symbol=scenes.BTC, seed=42, price=30_000.0)
MARKET = Market(symbol=scenes.ETH, venue=Venue(slug="binance"), kind=MarketKind.PERPETUAL)
DATA = Data(ETH, make_funding(ETH), BTC)
WARMUPS = {spec.name: spec.warmup_bars for spec in features.CATALOGUE}
DAY_ENDS = 2_880
BEFORE, MOST_PEEK = DAY_ENDS - 2, 12
KNOWN = features.compute(ETH, funding=DATA.funding, btc=BTC).values[BEFORE : BEFORE + MOST_PEEK + 1]
CHANGING = [name for k, name in enumerate(features.NAMES) if (KNOWN[1:, k] != KNOWN[0, k]).all()]
CUTS = [LIVE + 41, 2_880, 2_881, N - 1]


@pytest.fixture(scope="module")
def ensemble(learners):
    """Its chances follow its features, and many of them are good enough."""
    weights = dict.fromkeys(learners, 1.0 / len(learners))
    sides = [SideModel(learners, weights, Calibration((0.3, 0.7), (0.5, 0.9)), scenes.GENEROUS) for _ in (0, 1)]
    return Ensemble(features.NAMES, sides)


def examine(ensemble, compute=None, *, data=DATA, cuts=(), ends=(), warmups=WARMUPS):
    def decide(shorter: Data) -> Said:
        template = strategies.template("ml-ensemble")
        return checks.said(preparation.decide(*shorter, ensemble=ensemble, template=template, market=MARKET, compute=compute))

    return lookahead.examine(decide, data, warmups=warmups, live_bars=LIVE, cuts=cuts, ends=ends, tell=lambda share: None)


def moved(report, *, kind="feature") -> set[tuple[str, str]]:
    return {(found.analysis, found.name) for found in report.findings if found.kind == kind}


def planted(name: str, leak):
    """The honest features with one column replaced by leak(its values, the frame)."""

    def compute(frame: CandleFrame, *, funding: FundingFrame, btc: CandleFrame | None) -> FeatureFrame:
        honest = features.compute(frame, funding=funding, btc=btc)
        values = honest.values.copy()
        column = honest.names.index(name)
        values[:, column] = leak(values[:, column], frame)
        return honest._replace(values=values)

    return compute


def next_bars(values, frame):
    """The next bar's value."""
    return np.concatenate((values[1:], values[-1:]))


def centred(values, frame):
    """A window with its bar in the middle."""
    returns = np.diff(np.log(frame.close), prepend=np.log(frame.close[0]))
    padded = np.pad(returns, 8, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 17).std(axis=1)


def standardised(values, frame):
    """Mean and deviation of the whole series."""
    return (values - np.nanmean(values)) / np.nanstd(values)


def at_its_open(values, frame):
    """The return of a 4h bar, known from its open on."""
    base, place = grid.regularise(frame, 900_000)
    bar = base.timestamp // (4 * HOUR_MS)
    last = np.flatnonzero(np.append(bar[1:] != bar[:-1], True))
    closes = base.close[last]
    returns = np.log(closes / np.concatenate((closes[:1], closes[:-1])))
    return returns[np.searchsorted(bar[last], bar)][place]


LEAKS = [
    ("ret_1", next_bars),
    ("rv_16", centred),
    ("ret_96", standardised),
    ("ret_1_4h", at_its_open),
]


def test_it_finds_nothing_where_nothing_is_wrong(ensemble):
    report = examine(ensemble, cuts=CUTS, ends=[N - 1])
    assert report.findings == ()
    assert report.decided > 0
    assert report.compared == sum(CUTS) * (len(features.NAMES) + 14)
    assert report.settled_bars is not None
    assert report.settled_bars <= LIVE
    for name, needed in report.needs.items():
        assert needed <= WARMUPS[name] + 1, name


@pytest.mark.parametrize(("name", "leak"), LEAKS, ids=lambda value: getattr(value, "__name__", value))
def test_it_names_the_feature_that_knows_the_future(ensemble, name, leak):
    report = examine(ensemble, planted(name, leak), cuts=CUTS, ends=[N - 200] if leak is next_bars else [])
    assert moved(report) == {(LOOKAHEAD, name)}
    found = report.findings[0]
    assert found.bars >= 1
    assert found.whole != found.short
    assert found.at_ms <= found.end_ms


@settings(max_examples=8)
@given(name=st.sampled_from(CHANGING), bars=st.integers(1, MOST_PEEK))
def test_whichever_feature_knows_whichever_number_of_bars_too_many_is_named(ensemble, name, bars):
    def leak(values, frame):
        return np.concatenate((values[bars:], np.repeat(values[-1:], bars)))

    report = examine(ensemble, planted(name, leak), cuts=[2_700, DAY_ENDS - 1])
    assert len(CHANGING) > 110
    assert moved(report) == {(LOOKAHEAD, name)}


def test_it_names_a_feature_whose_warm_up_is_too_short(ensemble):
    import talib

    def leak(values, frame):
        slow = frame.close / talib.EMA(frame.close, timeperiod=100) - 1.0
        return np.where(np.arange(len(frame)) >= 120, slow, np.nan)

    report = examine(ensemble, planted("ema_dist_50", leak), cuts=[N - 1], ends=[N - 1], warmups={**WARMUPS, "ema_dist_50": 120})
    assert moved(report) == {(WARMUP, "ema_dist_50")}
    assert 120 < report.needs["ema_dist_50"] <= LIVE
    assert report.findings[0].held >= 121


def test_a_memory_that_never_ends_is_not_settled_by_a_live_history(ensemble):
    def since_the_beginning(values, frame):
        return np.log(frame.close / frame.close[0])

    report = examine(ensemble, planted("ret_192", since_the_beginning), ends=[N - 1])
    assert (WARMUP, "ret_192") in moved(report)
    assert report.needs["ret_192"] is None
    assert report.settled_bars is None


def test_a_leak_moves_the_decisions_that_follow_from_it(ensemble):
    def everything(frame, *, funding, btc):
        honest = features.compute(frame, funding=funding, btc=btc)
        return honest._replace(values=np.vstack((honest.values[1:], honest.values[-1:])))

    report = examine(ensemble, everything, cuts=CUTS)
    assert {(LOOKAHEAD, "probability_long"), (LOOKAHEAD, "probability_short")} <= moved(report, kind="signal")


def test_it_tells_where_when_and_by_how_much(ensemble):
    report = examine(ensemble, planted("ret_1", next_bars), cuts=[2_900])
    change = np.log(ETH.close[2_900] / ETH.close[2_899])
    last = float(np.log(ETH.close[2_899] / ETH.close[2_898]))
    at_ms = int(ETH.timestamp[2_899])
    found = report.findings[0]
    assert found == Finding(LOOKAHEAD, "feature", "ret_1", 1, at_ms, at_ms, 2_900, pytest.approx(change), pytest.approx(last))


def test_it_hides_funding_and_bitcoin_of_later(ensemble):
    cut = 2_700
    short = lookahead.until(DATA, cut)
    close_ms = int(ETH.timestamp[cut - 1]) + 900_000
    assert len(short.frame) == cut
    assert short.funding.timestamp[-1] <= close_ms < DATA.funding.timestamp[short.funding.timestamp.size]
    assert int(short.bitcoin.timestamp[-1]) == close_ms - 900_000
    window = lookahead.window(DATA, cut, 100)
    assert len(window.frame) == len(window.bitcoin) == 100
    assert window.frame.timestamp[-1] == ETH.timestamp[cut]
    assert window.funding.timestamp[0] >= window.frame.timestamp[0]


def test_half_of_its_cuts_lie_at_the_borders_of_higher_bars():
    cuts = lookahead.cut_points(ETH, first=2_600, count=24)
    assert len(cuts) == 24
    assert cuts == sorted(set(cuts))
    assert 2_600 <= cuts[0] <= cuts[-1] < N
    for bars_a_frame in (4, 16, 96):
        assert any((cut + 1) % bars_a_frame == 0 for cut in cuts)
    assert sum((cut + step) % 16 == 0 for cut in cuts for step in (-1, 0, 1)) >= 4
    assert cuts == lookahead.cut_points(ETH, first=2_600, count=24)
    assert len(lookahead.cut_points(ETH, first=N - 5, count=24)) <= 5


def test_it_refuses_data_that_leaves_nothing_to_cut():
    decide = partial(examine, None)
    with pytest.raises(ValueError, match="more than 2400 are needed"):
        lookahead.examine(decide, lookahead.until(DATA, LIVE), warmups={}, live_bars=LIVE, cuts=[], ends=[], tell=lambda share: None)
    with pytest.raises(ValueError, match="inside the data"):
        lookahead.examine(decide, DATA, warmups={}, live_bars=LIVE, cuts=[N], ends=[], tell=lambda share: None)
    with pytest.raises(ValueError, match="inside the data"):
        lookahead.examine(decide, DATA, warmups={}, live_bars=LIVE, cuts=[], ends=[LIVE - 2], tell=lambda share: None)
