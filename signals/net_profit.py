"""Requirement S2 and the entry rule S3: which candidates are worth their costs. Vectorised over bars, so that scan and backtest share it.

`probability` is the calibrated chance that TP1 comes before the stop. What a position brings GIVEN that outcome (partial exits, trail and
time stop included) is not assumed but measured on the training span by replaying exchanges.exits.step: see `Payoff`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges.costs import CostModel
from signals import conformal
from signals.plan import PlanConfig


class Payoff(NamedTuple):
    """Mean result in ATR before costs of positions whose TP1 was hit (`win_atr`, positive) and of the others (`loss_atr`, negative),
    their mean holding time in hours, and how many there were."""

    win_atr: float
    loss_atr: float
    win_hours: float
    loss_hours: float
    wins: int
    losses: int


@dataclass(frozen=True, slots=True)
class EntryRule:
    """Thresholds a candidate has to pass. The platform's floors are the defaults of the ML template (S3).

    coverage -- one of signals.conformal.LEVELS: a candidate whose prediction set decides nothing at that coverage is left alone; 0: never.
    """

    min_confidence: float = 0.55
    min_agreement: float = 0.0
    min_net_profit_pct: float = 2.0
    coverage: float = 0.0

    def __post_init__(self) -> None:
        if not 0.5 <= self.min_confidence <= 1.0:
            raise ValueError("min_confidence must be between 0.5 and 1")
        if not 0.0 <= self.min_agreement <= 1.0:
            raise ValueError("min_agreement must be between 0 and 1")
        if self.coverage and self.coverage not in conformal.LEVELS:
            raise ValueError(f"coverage must be 0 or one of {', '.join(f'{level:g}' for level in conformal.LEVELS)}")


class Assessment(NamedTuple):
    """Arrays of shape [n], all in % of notional, without leverage; `code` names the first test that failed, "" when none did."""

    gross_gain_pct: NDArray[np.float64]
    cost_pct: NDArray[np.float64]
    net_profit_pct: NDArray[np.float64]
    expectancy_pct: NDArray[np.float64]
    code: NDArray[np.str_]


def assess(
    *,
    atr_pct: NDArray[np.float64],
    probability: NDArray[np.float64],
    agreement: NDArray[np.float64],
    payoff: Payoff,
    plan: PlanConfig,
    costs: CostModel,
    funding_pct_per_hour: NDArray[np.float64],
    rule: EntryRule,
    abstained: NDArray[np.bool_] | None = None,
) -> Assessment:
    """Judge one side's candidates. Every input array has shape [n]; `abstained` says where the model decides nothing at the rule's coverage.

    funding_pct_per_hour -- what an hour of holding this side is reckoned to cost, % of notional (exchanges.funding.expected); the default of
                            `costs` is not charged beside it

    net_profit  = the ladder's weighted gain - entry taker fee and slippage, maker exits, funding for the whole holding bound
    expectancy  = p * win + (1 - p) * loss, each after the costs of its own kind of exit and its own measured holding time.
    A position whose TP1 was hit may leave the rest by the trail: its win is charged as if it always did.
    """
    gross = plan.ladder_atr * atr_pct
    cost = costs.ladder_cost_pct(hours=0.0) + funding_pct_per_hour * plan.max_hold_hours
    net = gross - cost
    win = payoff.win_atr * atr_pct - _win_cost_pct(plan, costs) - funding_pct_per_hour * payoff.win_hours
    loss = payoff.loss_atr * atr_pct - costs.stop_cost_pct(hours=0.0) - funding_pct_per_hour * payoff.loss_hours
    expectancy = probability * win + (1.0 - probability) * loss
    undecided = np.zeros(gross.shape, dtype=np.bool_) if abstained is None else abstained
    code = np.select(
        [
            ~np.isfinite(atr_pct) | ~np.isfinite(probability) | ~np.isfinite(agreement),
            undecided,
            probability < rule.min_confidence,
            agreement < rule.min_agreement,
            net < rule.min_net_profit_pct,
            expectancy <= 0.0,
        ],
        ["no_history", "abstained", "confidence", "agreement", "net_profit", "expectancy"],
        default="",
    )
    return Assessment(gross, cost, net, expectancy, code)


def _win_cost_pct(plan: PlanConfig, costs: CostModel) -> float:
    """Costs of a position whose TP1 was hit, less funding, % of notional: the first share leaves as maker, the rest at worst as taker."""
    first = plan.shares[0]
    return first * costs.ladder_cost_pct(hours=0.0) + (1.0 - first) * costs.stop_cost_pct(hours=0.0)


class CostLines(NamedTuple):
    """What the ladder's cost is made of, each in % of notional; they add up to Assessment.cost_pct."""

    entry_fee_pct: float
    entry_slippage_pct: float
    exit_fee_pct: float
    funding_pct: float


def cost_lines(plan: PlanConfig, costs: CostModel, *, funding_pct_per_hour: float) -> CostLines:
    """The lines a person reads beside net_profit."""
    return CostLines(
        entry_fee_pct=costs.taker_bps / 100.0,
        entry_slippage_pct=costs.slippage_bps / 100.0,
        exit_fee_pct=costs.maker_bps / 100.0,
        funding_pct=funding_pct_per_hour * plan.max_hold_hours,
    )


def reward_to_risk(
    *, net_profit_pct: float, atr_pct: float, payoff: Payoff, plan: PlanConfig, costs: CostModel, funding_pct_per_hour: float
) -> float:
    """The ladder's net gain over the net loss at the stop, both in % of notional after costs."""
    return net_profit_pct / (plan.stop_atr * atr_pct + costs.stop_cost_pct(hours=0.0) + funding_pct_per_hour * payoff.loss_hours)
