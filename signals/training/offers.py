"""Which samples the platform would have offered as signals: the scan's own entry rule (signals.net_profit) on out-of-fold probabilities.

What a position brings when TP1 is hit, and when it is not, comes from labels that were known before the block: the scan learns it from the
training span, too.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from signals import conformal, ensemble, net_profit
from signals.net_profit import EntryRule, Payoff
from signals.ports import SHORT, SIDES
from signals.training import walkforward
from signals.training.panel import Panel
from signals.training.params import TrainingParams

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


def payoff(panel: Panel, side: int, rows: Rows) -> Payoff | None:
    """What positions of these rows brought; None when all of them, or none, hit TP1."""
    try:
        return ensemble.payoff(panel.y[rows, side], panel.result_atr[rows, side], panel.hours(side)[rows])
    except ValueError:
        return None


def expectancy(
    panel: Panel,
    side: int,
    rows: Rows,
    probability: Array,
    paid: Payoff | None,
    rule: EntryRule,
    thresholds: conformal.Conformal | None = None,
) -> Array:
    """Expected result after costs of the samples `rows`, % of notional, NaN where the rule refuses; shapes [n].

    probability -- of these rows. paid -- None refuses all of them. thresholds -- for a rule with a coverage; None: nobody abstains. The learners'
    agreement is not asked here: no template asks for any.
    """
    if paid is None:
        return np.full(rows.size, np.nan)
    abstained = None
    if rule.coverage and thresholds is not None:
        abstained = conformal.sets(probability, thresholds.threshold(rule.coverage)).abstains
    seen = net_profit.assess(
        atr_pct=panel.unit_pct[rows],
        probability=probability,
        agreement=np.ones(rows.size),
        payoff=paid,
        plan=panel.plan,
        costs=panel.costs,
        funding_pct_per_hour=panel.funding_pct[rows, side],
        rule=rule,
        abstained=abstained,
    )
    passed = (seen.code == "") & (panel.shortable[rows] if side == SHORT else True)
    return np.where(passed, seen.expectancy_pct, np.nan)


def out_of_fold(panel: Panel, honest: Mapping[int, Array], oof: walkforward.OutOfFold, params: TrainingParams, rule: EntryRule) -> Array:
    """What would have been offered in each block on what was known before it: expected result [m, 2], NaN where nothing was.

    honest -- by side: out-of-fold probabilities [m] calibrated on earlier blocks alone, NaN where there is none. A rule with a coverage offers
    nothing before the third block: its thresholds need a block of honest probabilities.
    """
    out = np.full((panel.start_ms.size, len(SIDES)), np.nan)
    for side in SIDES:
        probability = honest[side]
        for fold in oof.folds[side][1:]:
            before = panel.end_ms[:, side] < fold.test_start_ms - params.embargo_ms
            thresholds = None
            if rule.coverage:
                seen = np.flatnonzero(before & np.isfinite(probability))
                if not seen.size:
                    continue
                thresholds = conformal.calibrate(panel.y[seen, side], probability[seen])
            paid = payoff(panel, side, np.flatnonzero(before))
            out[fold.test, side] = expectancy(panel, side, fold.test, probability[fold.test], paid, rule, thresholds)
    return out
