"""The ML ensemble by itself: the learners of a model, one calibrated probability."""

from signals.net_profit import EntryRule
from signals.plan import PlanConfig
from signals.ports import Template

TEMPLATE = Template(
    slug="ml-ensemble",
    name="ML ensemble",
    description=(
        "The learners of the champion together estimate the chance that the first take-profit comes before the stop. It enters when the calibrated "
        "probability is at least 55 %, the full ladder would leave at least 2 % after costs, and the expected result after costs is positive."
    ),
    style="swing",
    rule=EntryRule(min_confidence=0.55, min_agreement=0.0, min_net_profit_pct=2.0),
    plan=PlanConfig(),
)
