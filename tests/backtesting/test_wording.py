"""How a run was simulated, in words: on its report, its shared page, the list and the command's table."""

import io

import pytest
from django.core.management import call_command
from django.urls import reverse

from backtesting import sharing, wording
from tests.backtesting import rows
from tests.backtesting.test_pages import words
from tests.signals import scenes
from tests.signals.scenes import BTC

pytestmark = pytest.mark.django_db
PLAN = {
    "unit": "atr", "atr_timeframe": "4h", "atr_period": 14, "stop_atr": 1.5, "tp1_atr": 1.0, "tp2_atr": 2.75, "tp3_atr": 4.5, "trail_atr": 1.25,
    "shares": [0.4, 0.3, 0.3], "max_hold_ms": 172_800_000,
}  # fmt: skip
ENGINE = {"path": "adaptive", "sizing": "notional", "notional_pct": 50}
UNUSUAL = "Path inside a bar Adaptive: the side nearer to the open first Size by Notional: a share of equity Notional 50 Stop"
LEVELS = "Stop 1.5 ATR TP1 1 ATR TP2 2.75 ATR TP3 4.5 ATR Trail 1.25 ATR Longest hold 48 h Unit ATR of 14 bars of 4h"


@pytest.fixture
def model():
    return rows.make_model()


def test_the_report_says_how_it_was_simulated(alice, model, client_for):
    run = rows.make_finished(alice, model, engine=ENGINE, params={"plan": PLAN})
    page = words(client_for(alice).get(reverse("backtests:detail", args=[run.pk])))
    assert UNUSUAL in page
    assert LEVELS in page
    assert "usual settings" not in page


def test_the_shared_page_says_so_too(alice, model, client):
    run = rows.make_finished(alice, model, engine=ENGINE, params={"plan": PLAN})
    page = words(client.get(reverse("backtests:shared", args=[sharing.create(run).token])))
    assert UNUSUAL in page
    assert LEVELS in page


def test_usual_settings_are_called_so(alice, model, client_for):
    run = rows.make_finished(alice, model)
    page = words(client_for(alice).get(reverse("backtests:detail", args=[run.pk])))
    assert "Engine usual settings" in page
    assert "Longest hold" not in page


def test_the_list_shows_what_is_unusual(alice, model, client_for):
    rows.make_finished(alice, model, engine=ENGINE)
    rows.make_finished(alice, model)
    page = words(client_for(alice).get(reverse("backtests:list")))
    assert page.count("model version 1 adaptive path, notional 50 %") == 1


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        ({}, ""),
        ({"path": "pessimistic", "impact": 0}, ""),
        ({"sizing": "notional"}, "sized by notional"),
        ({"detail": "1m", "opposite": "reverse"}, "1m bars inside, opposite decisions reverse"),
        ({"limit_bars": 8, "limit_offset": 0.5, "notional_pct": 50}, ""),
        ({"entry": "limit", "limit_bars": 1}, "limit orders, limit good for 1 bar"),
        ({"entry": "limit", "limit_bars": 8, "impact": 0.5}, "limit orders, limit good for 8 bars, impact 0.5"),
    ],
)
def test_it_is_brief(engine, text):
    assert wording.briefly(engine) == text


RATES = {"maker_bps": 2.0, "taker_bps": 5.0, "slippage_bps": 3.0, "funding_bps_per_hour": 1.0}


def test_costs_are_told_once_where_they_are_the_same_and_as_runs_of_old_kept_them():
    told = ["Maker 2 bps, taker 5 bps, slippage 3 bps, default funding 1 bps an hour."]
    assert wording.charged([{"symbols": [BTC], **RATES}]) == wording.charged(RATES) == told


def test_the_report_of_a_run_of_old_still_says_its_costs(alice, model, client_for):
    run = rows.make_finished(alice, model)
    run.metrics["costs"] = RATES
    run.save(update_fields=["metrics"])
    page = words(client_for(alice).get(reverse("backtests:detail", args=[run.pk])))
    assert "Maker 2 bps, taker 5 bps, slippage 3 bps, default funding 1 bps an hour." in page


def test_every_setting_has_its_words():
    assert wording.BRIEF.keys() == wording.LABELS.keys()


def test_the_command_s_table_says_how_it_was_simulated():
    scenes.make_market(BTC, bars=3_000)
    out = io.StringIO()
    call_command(
        "backtest", symbols=BTC, capital="10000", strategy="sma-cross", engine=["path=adaptive"], set=["stop_atr=1.25"], stdout=out
    )
    told = " ".join(out.getvalue().split())
    assert "Simulated with: Path inside a bar: Adaptive: the side nearer to the open first; Stop: 1.25 ATR; TP1: 1.5 ATR" in told
    assert "Longest hold: 48 h; Unit: ATR of 14 bars of 4h" in told
