"""What would have been offered out of fold: the scan's rule, on what was known before each block."""

from dataclasses import asdict

import numpy as np
import pytest

from exchanges.costs import CostModel
from signals import net_profit
from signals.net_profit import EntryRule, Payoff
from signals.plan import PlanConfig
from signals.ports import LONG, SHORT
from signals.training import TrainingParams, offers, walkforward
from signals.training.panel import Panel
from tests.signals.test_trades import make_panel

N = 400
PAID = Payoff(2.0, -1.2, 10.0, 8.0, 50, 50)
PARAMS = TrainingParams(folds=3, embargo_hours=0)
LOOSE = EntryRule(min_net_profit_pct=0.5)


def half_right(seed: int = 4) -> Panel:
    """A sample a day whose labels are coin flips; a hit brings 2 units, a miss costs 1.2."""
    y = (np.random.default_rng(seed).uniform(size=N) < 0.5).astype(int)
    return make_panel(list(range(0, 24 * N, 24)), [5] * N, net=np.where(y == 1, 2.0, -1.2), y=y)


def test_it_offers_what_the_scans_filter_passes_and_expects_what_that_expects() -> None:
    panel, rows = half_right()._replace(unit_pct=np.tile(np.linspace(0.2, 3.0, N // 2), 2)), np.arange(N)
    probability = np.linspace(0.4, 0.8, N)
    mine = offers.expectancy(panel, LONG, rows, probability, PAID, EntryRule())
    seen = net_profit.assess(
        atr_pct=panel.unit_pct,
        probability=probability,
        agreement=np.ones(N),
        payoff=PAID,
        plan=PlanConfig(),
        costs=CostModel(),
        funding_pct_per_hour=np.zeros(N),
        rule=EntryRule(),
    )
    assert {"confidence", "net_profit", ""} <= set(seen.code.tolist())
    assert np.array_equal(np.isfinite(mine), seen.code == "")
    assert mine[seen.code == ""].tolist() == seen.expectancy_pct[seen.code == ""].tolist()


def test_another_plan_funding_or_a_market_without_shorts_changes_what_is_offered() -> None:
    panel, rows = half_right(), np.arange(N)
    probability = np.full(N, 0.7)

    def mean(given: Panel, side: int = LONG) -> float:
        return float(offers.expectancy(given, side, rows, probability, PAID, LOOSE)[0])

    assert np.isfinite(mean(panel, SHORT))
    assert np.isnan(mean(panel._replace(shortable=np.zeros(N, dtype=bool)), SHORT))
    assert np.isfinite(mean(panel._replace(shortable=np.zeros(N, dtype=bool)), LONG))
    dear = panel._replace(funding_pct=np.full((N, 2), 0.05))
    assert mean(panel) - mean(dear) == pytest.approx(0.05 * (0.7 * PAID.win_hours + 0.3 * PAID.loss_hours))
    near = panel._replace(plan=PlanConfig(tp1_atr=0.1, tp2_atr=0.2, tp3_atr=0.3))
    assert np.isnan(mean(near)), "its whole ladder would not leave half a percent"
    assert np.isnan(offers.expectancy(panel, LONG, rows, probability, None, LOOSE)).all()


def judged(panel: Panel, probability: np.ndarray, rule: EntryRule) -> tuple[np.ndarray, walkforward.OutOfFold]:
    oof = walkforward.OutOfFold(walkforward.split(panel, PARAMS), np.empty(0), {})
    return offers.out_of_fold(panel, {LONG: probability, SHORT: np.full(N, np.nan)}, oof, PARAMS, rule), oof


def test_a_block_is_judged_by_what_was_known_before_it() -> None:
    panel = half_right()
    probability = np.full(N, 0.7)
    before, oof = judged(panel, probability, LOOSE)
    last = oof.folds[LONG][-1]
    assert np.isfinite(before[last.test, LONG]).all()
    assert np.isnan(before[oof.folds[LONG][0].test]).all(), "the first block has no calibration of its own"

    richer = panel.result_atr.copy()
    richer[last.test] *= 3.0
    assert np.array_equal(judged(panel._replace(result_atr=richer), probability, LOOSE)[0], before, equal_nan=True)
    richer = panel.result_atr.copy()
    richer[: last.test[0] - 10] *= 3.0
    later = judged(panel._replace(result_atr=richer), probability, LOOSE)[0]
    assert (later[last.test, LONG] > before[last.test, LONG]).all()


def test_a_rule_with_a_coverage_abstains_by_thresholds_of_earlier_blocks() -> None:
    panel = half_right()
    rng = np.random.default_rng(5)
    probability = np.where(panel.y[:, LONG] == 1, rng.uniform(0.45, 0.85, N), rng.uniform(0.2, 0.75, N))
    first = walkforward.split(panel, PARAMS)[LONG][0]
    probability[: first.test[-1] + 1] = np.nan
    plain, oof = judged(panel, probability, LOOSE)
    strict, _ = judged(panel, probability, EntryRule(min_net_profit_pct=0.5, coverage=0.9))
    second, third = oof.folds[LONG][1], oof.folds[LONG][2]
    assert np.isfinite(plain[second.test, LONG]).any()
    assert np.isnan(strict[second.test, LONG]).all(), "no block of honest probabilities lies before it"
    kept = np.isfinite(strict[third.test, LONG])
    assert 0 < kept.sum() < np.isfinite(plain[third.test, LONG]).sum()
    assert probability[third.test][kept].min() > probability[third.test][~kept & np.isfinite(plain[third.test, LONG])].max()


def test_a_plan_goes_through_json_and_back() -> None:
    plan = PlanConfig(unit="volatility", stop_atr=1.0, tp1_atr=1.0, tp2_atr=2.0, tp3_atr=3.0)
    assert PlanConfig.from_json({**asdict(plan), "shares": list(plan.shares)}) == plan
    assert TrainingParams(plan={**asdict(plan), "shares": list(plan.shares)}).plan_config == plan
    assert PlanConfig.from_json({}) == TrainingParams().plan_config == PlanConfig()
    for wrong in ({"shares": [1.0]}, {"shares": "all"}, {"stop_atr": True}, {"stop_atr": float("nan")}, {"unit": 3}):
        with pytest.raises(ValueError, match="cannot be"):
            PlanConfig.from_json(wrong)
