import numpy as np
import pytest

from exchanges.costs import CostModel
from signals.net_profit import EntryRule, Payoff, assess, cost_lines, reward_to_risk
from signals.plan import PlanConfig

PLAN = PlanConfig(stop_atr=1.5, tp1_atr=1.0, tp2_atr=2.0, tp3_atr=4.0)  # ladder: 0.3 + 0.8 + 1.2 = 2.3 ATR
PAYOFF = Payoff(win_atr=1.2, loss_atr=-1.5, win_hours=10.0, loss_hours=5.0, wins=500, losses=500)
RULE, COSTS = EntryRule(), CostModel()
AN_HOUR = 0.01  # % of notional


def judge(*, atr_pct=2.0, probability=0.7, agreement=0.9, rule=RULE, costs=COSTS, funding=AN_HOUR):
    row = {"atr_pct": np.array([atr_pct]), "probability": np.array([probability]), "agreement": np.array([agreement])}
    return assess(**row, funding_pct_per_hour=np.array([funding]), payoff=PAYOFF, plan=PLAN, costs=costs, rule=rule)


def test_it_accepts_what_passes_every_test_and_shows_its_numbers():
    seen = judge()
    assert seen.code[0] == ""
    assert seen.gross_gain_pct[0] == pytest.approx(4.6)
    assert seen.cost_pct[0] == pytest.approx(0.05 + 0.03 + 0.02 + 0.48)
    assert seen.net_profit_pct[0] == pytest.approx(4.6 - 0.58)
    # a win pays 0.3 * (8 + 2 + 10 bp) + 0.7 * (8 + 8 + 10 bp), a loss 16 + 5 bp
    assert seen.expectancy_pct[0] == pytest.approx(0.7 * (2.4 - 0.242) + 0.3 * (-3.0 - 0.21))


def test_it_charges_the_funding_it_is_told_by_the_hour_and_no_default_beside_it():
    seen = judge(funding=0.002)
    assert seen.cost_pct[0] == pytest.approx(0.10 + 0.096)
    assert seen.expectancy_pct[0] == pytest.approx(0.7 * (2.4 - 0.142 - 0.02) + 0.3 * (-3.0 - 0.16 - 0.01))
    assert judge(funding=0.0).cost_pct[0] == pytest.approx(0.10)
    assert (judge(atr_pct=0.98).code[0], judge(atr_pct=0.98, funding=0.002).code[0]) == ("net_profit", "")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"atr_pct": float("nan")}, "no_history"),
        ({"probability": float("nan")}, "no_history"),
        ({"agreement": float("nan")}, "no_history"),
        ({"probability": 0.5499}, "confidence"),
        ({"agreement": 0.2, "rule": EntryRule(min_agreement=0.5)}, "agreement"),
        ({"atr_pct": 1.0}, "net_profit"),
        ({"probability": 0.56}, "expectancy"),
    ],
)
def test_it_names_the_first_test_that_failed(change, code):
    assert judge(**change).code[0] == code


def test_an_undecided_model_is_heard_before_its_probability_but_not_before_its_history():
    row = {"atr_pct": np.array([2.0, 2.0, np.nan]), "probability": np.array([0.5, 0.7, 0.7]), "agreement": np.ones(3)}
    row["funding_pct_per_hour"] = np.full(3, AN_HOUR)
    seen = assess(**row, payoff=PAYOFF, plan=PLAN, costs=COSTS, rule=RULE, abstained=np.array([True, False, True]))
    assert seen.code.tolist() == ["abstained", "", "no_history"]
    with pytest.raises(ValueError, match=r"coverage must be 0 or one of 0\.6, 0\.7"):
        EntryRule(coverage=0.85)


def test_it_takes_a_candidate_exactly_at_the_thresholds():
    free = CostModel(0.0, 0.0, 0.0, 0.0)
    assert judge(atr_pct=2.0 / 2.3 + 1e-12, probability=0.6, costs=free, funding=0.0, rule=EntryRule(min_confidence=0.6)).code[0] == ""


def test_it_judges_every_bar_as_it_would_judge_it_alone():
    atr, chance = np.array([2.0, 1.0, np.nan, 3.0]), np.array([0.7, 0.9, 0.9, 0.4])
    rows = {"atr_pct": atr, "probability": chance, "agreement": np.ones(4), "funding_pct_per_hour": np.full(4, AN_HOUR)}
    together = assess(**rows, payoff=PAYOFF, plan=PLAN, costs=CostModel(), rule=EntryRule())
    alone = [judge(atr_pct=a, probability=p, agreement=1.0).code[0] for a, p in zip(atr, chance, strict=True)]
    assert together.code.tolist() == alone == ["", "net_profit", "no_history", "confidence"]


def test_its_cost_lines_add_up_to_the_cost_it_charges():
    assert sum(cost_lines(PLAN, CostModel(), funding_pct_per_hour=AN_HOUR)) == pytest.approx(judge().cost_pct[0])


def test_it_compares_net_reward_with_net_risk():
    known = {"net_profit_pct": 4.02, "atr_pct": 2.0, "payoff": PAYOFF, "plan": PLAN, "costs": CostModel()}
    assert reward_to_risk(**known, funding_pct_per_hour=AN_HOUR) == pytest.approx(4.02 / 3.21)


@pytest.mark.parametrize("wrong", [{"min_confidence": 0.4}, {"min_confidence": 1.1}, {"min_agreement": -0.1}, {"min_agreement": 1.1}])
def test_it_refuses_thresholds_outside_their_range(wrong):
    with pytest.raises(ValueError, match="must be between"):
        EntryRule(**wrong)
