"""The demo's stages that decide something."""

import pytest

from signals.models import StrategyConfig
from tests.backtesting.rows import make_model
from traderai.demo import stages

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("provenance", "metrics", "waits_for"),
    [
        ("simulated", {}, ""),
        ("venue", {"edge": {"found": True, "reason": "it earned"}}, ""),
        ("file", {"edge": {"found": False, "reason": "nothing was traded"}}, "Model default v1 has shown no edge: nothing was traded."),
    ],
)
def test_the_strategy_starts_unless_the_model_has_shown_no_edge_and_then_says_so(alice, provenance, metrics, waits_for):
    make_model(provenance=provenance, metrics=metrics)
    for _ in range(2):  # a demo that is started again finds its strategy there
        assert stages._start_strategy(alice) == waits_for
        assert StrategyConfig.objects.get().auto_trade == (not waits_for)
