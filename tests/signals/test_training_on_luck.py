"""A price without an edge must not be sold as one, however it happened to move; an edge that is there is found on time nobody has seen."""

import numpy as np
import pytest

from exchanges.costs import CostModel
from exchanges.models import Market, Provenance, Venue
from exchanges.ports import CandleFrame, FundingFrame
from signals import ensemble, features, labels, net_profit
from signals.plan import PlanConfig
from signals.training import panel, pipeline
from signals.training.params import TrainingParams
from tests.signals.series import changed, make_series

NO_FUNDING = FundingFrame(np.empty(0, np.int64), np.empty(0))


def louder(frame: CandleFrame, factor: float) -> CandleFrame:
    """The same path with moves `factor` times as large."""
    prices = {name: frame.close[0] * (getattr(frame, name) / frame.close[0]) ** factor for name in ("open", "high", "low", "close")}
    return changed(frame, **prices)


def candidates(frame: CandleFrame) -> tuple[np.ndarray, np.ndarray]:
    """Expectancy claimed and result after costs of every candidate on the holdout, by a model trained before it."""
    market = Market(symbol=frame.symbol, venue=Venue(slug="binance"), provenance=Provenance.FILE)
    params, plan, costs = TrainingParams(rounds=80), PlanConfig(), CostModel()
    trained = pipeline.fit([panel.History(market, frame, NO_FUNDING)], None, params, lambda *_: None)
    rows = np.flatnonzero(frame.timestamp >= trained.facts["oos_start_ms"])
    atr = features.plan_atr(frame, plan)
    predicted = trained.ensemble.predict(features.compute(frame).values[rows])
    came = labels.outcomes(frame, atr, plan, costs, rows=rows)
    claimed, got = [], []
    for side in (0, 1):
        seen = net_profit.assess(
            atr_pct=atr[rows] / frame.close[rows] * 100.0,
            probability=predicted.probability[:, side],
            agreement=predicted.agreement[:, side],
            payoff=trained.ensemble.payoffs[side],
            plan=plan,
            costs=costs,
            funding_pct_per_hour=np.full(rows.size, costs.funding_bps_per_hour / 100.0),
            rule=net_profit.EntryRule(),
        )
        taken = (seen.code == "") & (came.tp1_hit[rows, side] >= 0)
        claimed.append(seen.expectancy_pct[taken])
        got.append(came.net_pct[rows, side][taken])
    return np.concatenate(claimed), np.concatenate(got)


@pytest.mark.parametrize("seed", [2300, 3600])
def test_a_random_walk_that_rose_while_it_was_watched_is_not_called_an_edge(seed: int) -> None:
    """TP1 was hit far more often than a fair game allows in the training span of these walks, by luck alone."""
    claimed, _ = candidates(louder(make_series(7_200, seed=seed), 1.4))
    assert claimed.size == 0


def test_an_edge_that_is_there_earns_on_time_that_nobody_has_seen() -> None:
    claimed, got = candidates(make_series(16_000, seed=202, pull=0.9))
    assert claimed.size > 100
    assert got.mean() > 0.0


def test_a_base_rate_above_a_fair_games_is_believed_as_far_as_its_labels_go() -> None:
    plain = ensemble.Calibration((0.2, 0.8), (0.5, 0.7))
    few, many = (ensemble.sober(plain, base_rate=0.75, independent=n, fair=0.5).calibrated for n in (100.0, 1e6))
    assert few == pytest.approx((0.375, 0.575))  # half of the excess of 25 %
    assert many == pytest.approx(plain.calibrated, abs=1e-4)
    assert ensemble.sober(plain, base_rate=0.25, independent=4.0, fair=0.5) == plain
