"""Runs that a limit of loss held up say so: in what they keep, on their page and in the command's table."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from backtesting import reporting
from backtesting.models import BacktestRun, BacktestTrade
from tests.backtesting.test_pages import words
from tests.signals import scenes
from tests.signals.scenes import BTC
from tests.signals.series import make_series

pytestmark = pytest.mark.django_db
HASTY = {"fast": 2, "slow": 5, "stop_atr": 0.3, "tp1_atr": 0.3, "tp2_atr": 0.6, "tp3_atr": 1.0, "trail_atr": 0.3}
"""Crosses every hour, with all the costs of that."""


@pytest.fixture
def told(alice) -> str:
    """What the command says of such a run."""
    scenes.make_market(BTC, frame=make_series(8_000, symbol=BTC, seed=7))
    out = StringIO()
    given = [f"{name}={value}" for name, value in HASTY.items()]
    call_command("backtest", symbols=BTC, capital="10000", strategy="sma-cross", set=given, risk_profile="high", stdout=out)
    return " ".join(out.getvalue().split())


def test_a_run_that_both_limits_held_up_says_so_wherever_it_is_read(told, alice, client_for):
    run = BacktestRun.objects.get()
    sample = run.metrics["sample"]
    refused, signals = sample["refused"]["daily_loss"], sample["signals"]
    assert refused and sample["refused"]["drawdown"]
    ended = reporting.stopped_sentence(sample["stopped_ms"], 25.0)
    paused = f"Days that lost 10 % ended early: the daily loss limit refused {refused} of {signals:,} signals."
    assert (sample["stopped"], sample["paused"]) == (ended, paused)
    newest = BacktestTrade.objects.filter(run=run).order_by("-entry_ms").first()
    assert newest.entry_ms < sample["stopped_ms"] < newest.entry_ms + 30 * 86_400_000

    assert ended in told
    assert paused in told
    run.user = alice
    run.save(update_fields=["user"])
    page = words(client_for(alice).get(reverse("backtests:detail", args=[run.pk])))
    assert ended in page
    assert paused in page
    verdicts = {check["name"]: (check["verdict"], check["detail"]) for check in run.metrics["checks"]}
    assert verdicts["Traded to the end"] == ("warn", ended)
    assert verdicts["Traded every day to its end"] == ("warn", paused)


def test_a_run_that_no_limit_held_up_has_nothing_to_say():
    assert reporting.paused_sentence(0, 12, 10.0) == ""
    assert reporting.paused_sentence(1, 1, 2.5) == "Days that lost 2.5 % ended early: the daily loss limit refused 1 of 1 signal."
