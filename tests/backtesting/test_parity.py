"""The backtest judges a bar as the live scan did when that bar was the newest: same side, same prices, same expectancy, or neither anything."""

import numpy as np
import pytest

from backtesting import preparation
from exchanges import candles
from exchanges.models import Candle, FundingRate
from signals import features, strategies
from signals.conformal import Conformal
from signals.ensemble import Calibration, Ensemble, SideModel
from signals.plan import PlanConfig
from signals.scan import judgement
from signals.scan.judgement import Champion, Context, Refused
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH
from tests.signals.series import make_funding, make_series

pytestmark = pytest.mark.django_db

OUT_OF_SAMPLE = 240
LOOKED_AT = range(0, OUT_OF_SAMPLE, 12)
BARS = features.WARMUP_BARS + OUT_OF_SAMPLE


def make_moody(learners, frame):
    """An ensemble that is long where its learners answer high, short where they answer low, and refuses in between."""
    rows = features.compute(frame).values
    rows = rows[np.isfinite(rows).all(axis=1)].astype(np.float32)
    raw = np.mean([model.predict(rows) for model in learners.values()], axis=0)
    weights = dict.fromkeys(learners, 1.0 / len(learners))
    spread = float(raw.std())
    sides = []
    for quantile, chances in ((0.8, (0.3, 0.75)), (0.2, (0.75, 0.3))):
        middle = float(np.quantile(raw, quantile))
        calibration = Calibration((middle - spread, middle + spread), chances)
        sides.append(SideModel(learners, weights, calibration, scenes.GENEROUS, Conformal((0.8,), (0.7,), 500)))
    return Ensemble(features.NAMES, sides)


@pytest.fixture
def moody(db, learners):
    """Two generated pairs with funding, and a champion whose out-of-sample time is their last bars."""
    frames = {symbol: make_series(BARS, symbol=symbol, seed=seed) for symbol, seed in ((BTC, 7), (ETH, 8))}
    for symbol, frame in frames.items():
        market, funding = scenes.make_market(symbol, frame=frame), make_funding(frame)
        FundingRate.objects.bulk_create(
            FundingRate(market=market, timestamp=at, rate=rate)
            for at, rate in zip(funding.timestamp.tolist(), funding.rate.tolist(), strict=True)
        )
    ensemble = make_moody(learners, frames[ETH])
    return scenes.make_champion(ensemble, oos_start_ms=int(frames[ETH].timestamp[-OUT_OF_SAMPLE])), ensemble


def judge_live(version, ensemble, market, template, bar_ms):
    """What the scan said when `bar_ms` was the newest bar. Later bars are forgotten for good."""
    Candle.objects.filter(timestamp__gt=bar_ms).delete()
    try:
        return judgement.judge(Context(Champion(version, ensemble)), market, template, candles.last_open_ms(market, "15m"))
    except Refused as refused:
        return refused


NEAR = PlanConfig(stop_atr=1.0, tp1_atr=1.0, tp2_atr=2.0, tp3_atr=3.0)


@pytest.mark.parametrize(
    ("symbol", "coverage", "plan"), [(BTC, 0.0, PlanConfig()), (ETH, 0.0, PlanConfig()), (ETH, 0.8, PlanConfig()), (ETH, 0.0, NEAR)]
)
def test_it_chooses_what_the_scan_chose(moody, settings, symbol, coverage, plan):
    settings.SCAN_COVERAGE = coverage
    version, ensemble = moody
    ensemble.plan = plan
    market, template = candles.find_market(symbol), strategies.template("ml-ensemble")
    bitcoin = preparation.bitcoin_for([market], version.oos_start_ms, None)
    prepared = preparation.prepare(market, ensemble, template, start_ms=version.oos_start_ms, end_ms=None, bitcoin=bitcoin)
    assert len(prepared.frame) == OUT_OF_SAMPLE

    seen = []
    for row in reversed(LOOKED_AT):
        mine = preparation.Candidates(*(column[row] for column in prepared.candidates))
        live = judge_live(version, ensemble, market, template, int(prepared.frame.timestamp[row]))
        if isinstance(live, Refused):
            assert mine.side == 0, (row, live.code)
            seen.append(live.code)
            continue
        assert ("long" if mine.side > 0 else "short") == live.side, row
        prices = (live.stop, live.tp1, live.tp2, live.tp3, live.trail_distance)
        assert mine[1:6] == pytest.approx(prices, rel=1e-9), row
        assert abs(live.entry - live.stop) == pytest.approx(plan.stop_atr * live.atr, rel=1e-9), row
        assert (mine.expectancy, mine.probability) == pytest.approx((live.expectancy_pct, live.probability), rel=1e-9), row
        assert 0.0 <= live.cost_lines["funding_pct"] < 48 * market.default_funding * 100.0, "the market's own rates, not the default"
        seen.append(live.side)
    assert {"long", "short"} < set(seen), seen  # and some refusals
    assert ("abstained" in seen) == (coverage > 0.0) == ("abstained" in prepared.judged)


def test_it_asks_for_as_much_history_as_the_scan(moody):
    version, ensemble = moody
    market, template = candles.find_market(ETH), strategies.template("ml-ensemble")
    first = candles.read(market, "15m", last=BARS).timestamp[100]
    Candle.objects.filter(market=market, timestamp__lt=first).delete()
    bitcoin = preparation.bitcoin_for([market], version.oos_start_ms, None)
    prepared = preparation.prepare(market, ensemble, template, start_ms=version.oos_start_ms, end_ms=None, bitcoin=bitcoin)
    short = 99  # rows for which fewer than WARMUP_BARS bars are stored
    assert np.count_nonzero(prepared.candidates.side[short:]) > 0
    live = judge_live(version, ensemble, market, template, int(prepared.frame.timestamp[short - 1]))
    assert (type(live), getattr(live, "code", "")) == (Refused, "no_history")
    assert np.count_nonzero(prepared.candidates.side[:short]) == 0
