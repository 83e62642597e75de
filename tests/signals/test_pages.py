import csv
import io
import re

import pytest
from django.urls import reverse

from exchanges.models import Order
from signals.models import SignalStatus, StrategyConfig
from tests.backtesting.rows import make_model
from tests.signals import scenes
from tests.signals.scenes import BAR_MS, BTC, ETH
from traderai.lib import clock

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def market():
    return scenes.make_market(ETH, bars=20)


@pytest.fixture
def trader(client_for, alice):
    return client_for(alice)


def rows(response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))


# --- list


@pytest.mark.parametrize("name", ["signals:list", "signals:rejected", "signals:export", "signals:rejected_export", "strategies:list"])
def test_it_sends_a_visitor_to_the_login(client, name):
    response = client.get(reverse(name))
    assert response.status_code == 302
    assert "/login/" in response["Location"]


@pytest.mark.parametrize("name", ["signals:list", "signals:rejected", "signals:export", "strategies:list"])
def test_it_answers_get_only(trader, name):
    assert trader.post(reverse(name)).status_code == 405


def test_it_lists_signals_newest_first_with_their_label(trader, market):
    old = scenes.make_signal(market, bar_ms=BAR_MS, status=SignalStatus.EXPIRED)
    new = scenes.make_signal(market)
    html = trader.get(reverse("signals:list")).content.decode()
    assert html.index(f'data-signal="{new.pk}"') < html.index(f'data-signal="{old.pk}"')
    assert "badge--sim" in html
    assert "2 signals" in html


@pytest.mark.parametrize(
    ("query", "found"), [("side=short", 1), ("status=open", 1), (f"symbol={BTC}", 1), ("", 3), ("side=long&status=open", 0)]
)
def test_it_filters_by_the_query_string(trader, market, query, found):
    scenes.make_signal(market, bar_ms=BAR_MS, status=SignalStatus.EXPIRED)
    scenes.make_signal(market, side="short")
    scenes.make_signal(scenes.make_market(BTC, bars=20), bar_ms=BAR_MS, status=SignalStatus.SUPERSEDED)
    html = trader.get(f"{reverse('signals:list')}?{query}").content.decode()
    assert html.count("data-signal=") == found


def test_it_shows_nothing_and_says_why_when_a_filter_makes_no_sense(trader, market):
    scenes.make_signal(market)
    html = trader.get(reverse("signals:list"), {"side": "up"}).content.decode()
    assert "data-signal=" not in html
    assert "Select a valid choice" in html


def test_it_answers_htmx_with_the_table_alone(trader, market):
    scenes.make_signal(market)
    html = trader.get(reverse("signals:list"), **HTMX).content.decode()
    assert html.strip().startswith('<section id="signals-table"')
    assert "<html" not in html


def test_the_table_asks_again_for_the_same_filters_when_signals_change(trader, market):
    scenes.make_signal(market)
    html = trader.get(reverse("signals:list"), {"side": "long"}).content.decode()
    assert 'hx-get="/signals/?side=long"' in html
    assert "signals-changed from:body" in html
    assert "js/signals.js" in html


def test_it_pages(trader, market):
    for number in range(30):
        scenes.make_signal(market, bar_ms=number * BAR_MS, status=SignalStatus.EXPIRED)
    first, second = (trader.get(reverse("signals:list"), {"page": number}).content.decode() for number in (1, 2))
    assert (first.count("data-signal="), second.count("data-signal=")) == (25, 5)
    assert "page=2" in first


@pytest.mark.parametrize(("figure", "shown"), [(0.0, "0.00"), (None, "–")])
def test_it_tells_nothing_gained_from_nothing_known(trader, market, figure, shown):
    scenes.make_rejection(market, side="long", numbers={"probability": 0.51, "net_profit_pct": -0.25, "expectancy_pct": figure})
    html = trader.get(reverse("signals:rejected")).content.decode()
    assert re.findall(r'<span class="num[^"]*">([^<]*\d|–)', html) == ["-0.25", shown]


def test_it_lists_rejections_with_code_and_reason(trader, market):
    scenes.make_rejection(market, side="long", numbers={"probability": 0.51, "net_profit_pct": -0.25, "expectancy_pct": None})
    scenes.make_rejection(market, code="stale_data", reason="The newest bar is old.")
    html = trader.get(reverse("signals:rejected")).content.decode()
    assert "Probability too low" in html
    assert "Probability 51.0% is below 55.0%." in html
    assert "-0.25" in html
    only = trader.get(reverse("signals:rejected"), {"code": "stale_data"}).content.decode()
    assert "The newest bar is old." in only
    assert "51.0%" not in only


# --- downloads


def test_it_downloads_the_filtered_signals(trader, market):
    scenes.make_signal(market, bar_ms=BAR_MS, status=SignalStatus.EXPIRED, ended_reason="=HYPERLINK(1)")
    short = scenes.make_signal(market, side="short")
    response = trader.get(reverse("signals:export"), {"side": "short"})
    [row] = rows(response)
    assert response["Content-Type"].startswith("text/csv")
    assert "attachment" in response["Content-Disposition"]
    assert (row["id"], row["side"], row["data"]) == (str(short.pk), "short", "simulated")


def test_no_cell_of_a_download_runs_as_a_formula(trader, market):
    scenes.make_signal(market, status=SignalStatus.EXPIRED, ended_reason="=HYPERLINK(1)")
    scenes.make_rejection(market, reason="@SUM(A1)", numbers={"expectancy_pct": -0.5})
    [signal] = rows(trader.get(reverse("signals:export")))
    [rejection] = rows(trader.get(reverse("signals:rejected_export")))
    assert signal["ended_reason"] == "'=HYPERLINK(1)"
    assert rejection["reason"] == "'@SUM(A1)"
    assert rejection["expectancy_pct"] == "-0.5"


# --- detail


def test_it_explains_a_signal(trader, market):
    signal = scenes.make_signal(market)
    html = trader.get(reverse("signals:detail", args=[signal.pk])).content.decode()
    for text in (
        "SIMULATED MARKET",
        "Funding, as if held to the time limit",
        "Left after costs",
        "RSI of 14 bars: +0.40, speaks for a long",
        "speaks against a long",
        "<meter",
        "TP3",
        f"/api/v1/signals/{signal.pk}/candles",
        "js/chart.js",
    ):
        assert text in html


def test_it_says_nothing_of_simulation_on_a_real_market(trader):
    signal = scenes.make_signal(scenes.make_market(ETH, bars=20, provenance="file"))
    html = trader.get(reverse("signals:detail", args=[signal.pk])).content.decode()
    assert "SIMULATED MARKET" not in html


def test_it_sizes_the_signal_for_the_readers_own_account(trader, alice, market):
    scenes.make_account(alice, balance=1_000)
    signal = scenes.make_signal(market)  # medium: 50 % of equity at 100 each, steps of 0.001
    html = trader.get(reverse("signals:detail", args=[signal.pk])).content.decode()
    assert "<dt>Quantity</dt>" in html
    assert "500.00" in html
    assert "18.00" in html


def test_it_says_when_an_account_is_too_small(trader, alice, market):
    scenes.make_account(alice, balance=10)  # 5 USDT, and the venue takes 20 at least
    signal = scenes.make_signal(market)
    assert "Too small to trade" in trader.get(reverse("signals:detail", args=[signal.pk])).content.decode()


def test_it_shows_how_much_the_model_learned_from(trader, market, ensemble):
    champion = scenes.make_champion(ensemble)
    signal = scenes.make_signal(market, model=champion)
    html = trader.get(reverse("signals:detail", args=[signal.pk])).content.decode()
    assert f"Model version {champion.version}" in html
    assert "120.5" in html
    assert "No edge after costs was found out of fold." in html


def test_an_unknown_signal_is_not_found(trader):
    assert trader.get(reverse("signals:detail", args=[404])).status_code == 404


# --- strategies

FORM = {"name": "Majors", "symbols": [], "risk_profile": "low", "min_confidence": "0.6"}


def test_it_offers_the_templates(trader):
    html = trader.get(reverse("strategies:list")).content.decode()
    assert "ML ensemble" in html
    assert reverse("strategies:new", args=["ml-ensemble"]) in html


def test_it_saves_a_configuration_on_my_paper_account(trader, alice, market):
    response = trader.post(reverse("strategies:new", args=["ml-ensemble"]), {**FORM, "symbols": [ETH]})
    assert response.status_code == 302
    config = StrategyConfig.objects.get()
    assert (config.user, config.template, config.symbols, config.risk_profile, config.min_confidence) == (
        alice,
        "ml-ensemble",
        [ETH],
        "low",
        0.6,
    )
    assert (config.account.user, config.account.environment, config.auto_trade) == (alice, "paper", False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_confidence": "0.5"}, "greater than or equal to 0.55"),
        ({"min_confidence": "nan"}, "Enter a number"),
        ({"min_confidence": "1.5"}, "less than or equal to 1"),
        ({"risk_profile": "reckless"}, "Select a valid choice"),
        ({"symbols": ["FOO/BAR"]}, "Select a valid choice"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_it_refuses_a_bad_configuration_and_says_why(trader, market, change, message):
    response = trader.post(reverse("strategies:new", args=["ml-ensemble"]), {**FORM, **change})
    assert response.status_code == 422
    assert message in response.content.decode()
    assert not StrategyConfig.objects.exists()


def test_it_refuses_a_name_that_i_already_use(trader, alice, bob):
    scenes.make_config(bob, scenes.make_account(bob), name="Majors")
    assert trader.post(reverse("strategies:new", args=["ml-ensemble"]), FORM).status_code == 302
    response = trader.post(reverse("strategies:new", args=["ml-ensemble"]), FORM)
    assert response.status_code == 422
    assert "already have a configuration of this name" in response.content.decode()


def test_an_unknown_template_is_not_found(trader):
    assert trader.get(reverse("strategies:new", args=["magic"])).status_code == 404


def test_it_changes_a_configuration(trader, alice):
    config = scenes.make_config(alice, scenes.make_account(alice))
    assert trader.post(reverse("strategies:edit", args=[config.pk]), FORM).status_code == 302
    config.refresh_from_db()
    assert (config.name, config.risk_profile) == ("Majors", "low")


def test_it_asks_before_it_starts(trader, alice):
    config = scenes.make_config(alice, scenes.make_account(alice))
    html = trader.get(reverse("strategies:start", args=[config.pk])).content.decode()
    assert "What will happen" in html
    config.refresh_from_db()
    assert not config.auto_trade


def test_it_starts_and_stops(trader, alice):
    config = scenes.make_config(alice, scenes.make_account(alice))
    assert trader.post(reverse("strategies:start", args=[config.pk])).status_code == 302
    config.refresh_from_db()
    assert config.auto_trade
    html = trader.get(reverse("strategies:list")).content.decode()
    assert "Running since" in html
    assert "0 made, 0 denied" in html
    assert trader.post(reverse("strategies:stop", args=[config.pk])).status_code == 302
    config.refresh_from_db()
    assert not config.auto_trade
    assert config.stopped_at is not None


def test_stopping_is_a_post(trader, alice):
    config = scenes.make_config(alice, scenes.make_account(alice), auto_trade=True)
    assert trader.get(reverse("strategies:stop", args=[config.pk])).status_code == 405


@pytest.mark.parametrize("name", ["strategies:edit", "strategies:start", "strategies:stop"])
def test_a_strangers_configuration_is_not_found(trader, bob, name):
    config = scenes.make_config(bob, scenes.make_account(bob))
    assert trader.post(reverse(name, args=[config.pk]), FORM).status_code == 404
    config.refresh_from_db()
    assert (config.auto_trade, config.name) == (False, "Mine")


def test_a_strangers_configuration_is_not_listed(trader, bob):
    scenes.make_config(bob, scenes.make_account(bob), name="Secret plan")
    assert "Secret plan" not in trader.get(reverse("strategies:list")).content.decode()


def test_it_shows_what_was_denied_and_why(trader, alice, market):
    account = scenes.make_account(alice)
    config = scenes.make_config(alice, account)
    trader.post(reverse("strategies:start", args=[config.pk]))
    signal = scenes.make_signal(market)
    Order.objects.create(
        account=account,
        market=market,
        origin=f"signal:{signal.pk}",
        client_order_id="c1",
        side="buy",
        order_type="market",
        qty=0,
        state="denied",
        reason="Too many open positions.",
    )
    html = trader.get(reverse("strategies:list")).content.decode()
    assert "0 made, 1 denied" in html
    assert "Too many open positions." in html


def test_a_strategy_says_at_what_coverage_its_model_abstains(trader, settings):
    assert "Abstains" not in trader.get(reverse("strategies:list")).content.decode()
    settings.SCAN_COVERAGE = 0.9
    html = trader.get(reverse("strategies:list")).content.decode()
    assert re.search(r"Abstains where undecided at a coverage of</dt><dd class=\"num\">90 %", html)


def test_where_no_edge_was_shown_the_page_says_so_and_offers_no_start(trader, alice):
    config = scenes.make_config(alice, scenes.make_account(alice))
    start = reverse("strategies:start", args=[config.pk])
    assert start in trader.get(reverse("strategies:list")).content.decode()
    model = make_model(provenance="venue", metrics={"edge": {"found": False, "reason": "12 trades out of fold are too few to tell"}})
    html = trader.get(reverse("strategies:list")).content.decode()
    assert "Nothing is traded by itself now." in html
    assert "Model default v1 has shown no edge: 12 trades out of fold are too few to tell." in html
    assert reverse("models:detail", args=[model.pk]) in html
    assert start not in html
    for answer in (trader.get(start, follow=True), trader.post(start, follow=True)):
        assert "has shown no edge" in answer.content.decode()
    config.refresh_from_db()
    assert not config.auto_trade


def test_a_configuration_that_waits_is_not_shown_as_trading(trader, alice):
    config = scenes.make_config(alice, scenes.make_account(alice), auto_trade=True, started_at=clock.now())
    assert '<span class="badge badge--on">trading</span>' in trader.get(reverse("strategies:list")).content.decode()
    make_model(provenance="venue", metrics={})
    html = trader.get(reverse("strategies:list")).content.decode()
    assert '<span class="badge badge--warn">waiting</span>' in html
    assert '<span class="badge badge--on">trading</span>' not in html
    assert reverse("strategies:stop", args=[config.pk]) in html
