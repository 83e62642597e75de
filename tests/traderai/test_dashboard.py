"""The page a trader sees first."""

import re
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from exchanges.models import Market, Position, Provenance, TradingAccount
from signals.models import ScanRun, SignalStatus
from tests.exchanges.trading import OPENED, make_account, make_market, make_position
from tests.signals.scenes import make_config, make_signal


def dashboard(client) -> str:
    """The page without needless space."""
    reply = client.get(reverse("dashboard"))
    assert reply.status_code == 200
    return " ".join(reply.content.decode().split())


def shown(page: str) -> str:
    """What is read on it."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@pytest.fixture
def traded(alice):
    """alice's account with one long position, up by 2 before 0.05 of fees."""
    return make_position(alice, make_market(provenance=Provenance.SIMULATED), mark_price=Decimal(51_000))


def test_it_sends_strangers_to_the_sign_in_and_back(client, db):
    reply = client.get(reverse("dashboard"))
    assert (reply.status_code, reply["Location"]) == (302, f"{reverse('account_login')}?next={reverse('dashboard')}")


def test_it_is_the_front_door_of_whoever_is_signed_in(client, alice, client_for):
    assert client_for(alice).get("/")["Location"] == reverse("dashboard")
    welcome = client.get("/")
    assert welcome.status_code == 200
    assert reverse("account_signup") in welcome.content.decode()


def test_it_says_what_to_do_when_there_is_nothing(alice, client_for):
    TradingAccount.objects.all().delete()
    text = shown(dashboard(client_for(alice)))
    for words in ("No paper account yet", "No strategy is set up", "No open positions", "No open signals", "none trained yet", "none yet"):
        assert words in text
    assert "SIMULATED MARKET" not in text


def test_it_adds_up_balance_and_open_positions(alice, client_for, traded):
    page = dashboard(client_for(alice))
    text = shown(page)
    assert "Equity paper 102.00 USDT" in text
    assert "Balance 100.00 USDT" in text
    assert "Unrealised P&amp;L +2.00 USDT" in text
    assert "1 open, 0 closed" in text
    assert f'href="{reverse("positions:detail", args=[traded.pk])}"' in page
    assert "BTC/USDT:USDT Long 5x 50000 51000 +1.9500" in text


def test_it_calls_a_loss_a_loss(alice, client_for, traded):
    Position.objects.update(mark_price=Decimal(49_500))
    page = dashboard(client_for(alice))
    assert re.search(r'class="loss" data-field="net_pnl">-1\.0500<', page)
    assert re.search(r'class="loss" data-unrealised>-1\.00<', page)


def test_it_counts_closed_positions_and_leaves_them_out(alice, client_for, traded):
    Position.objects.update(status="closed", qty=0, closed_at=OPENED)
    text = shown(dashboard(client_for(alice)))
    assert "0 open, 1 closed" in text
    assert "No open positions" in text


def test_it_shows_open_signals_with_their_chances(alice, client_for, db):
    market = make_market()
    signal = make_signal(market, bar_ms=0)
    ended = make_signal(market, bar_ms=900_000, status=SignalStatus.EXPIRED)
    page = dashboard(client_for(alice))
    assert reverse("signals:detail", args=[signal.pk]) in page
    assert reverse("signals:detail", args=[ended.pk]) not in page
    assert "BTC/USDT:USDT Long 70.0 % 3.42 %" in shown(page)


def test_it_tells_whether_a_strategy_trades_and_how_the_last_scan_went(alice, client_for, db):
    account = make_account(alice)
    make_config(alice, account, name="Resting")
    make_config(alice, account, name="Working", auto_trade=True, started_at=OPENED)
    ScanRun.objects.create(slot="a", issued=2, rejected=7, error="candles are stale")
    text = shown(dashboard(client_for(alice)))
    assert "Resting stopped" in text
    assert "Working running since 1 Jan 12:00 UTC" in text
    assert "2 issued, 7 rejected (candles are stale)" in text


def test_it_shows_nothing_of_anybody_else(alice, bob, client_for, traded):
    make_config(alice, traded.account, name="Alice's own")
    page = dashboard(client_for(bob))
    assert reverse("positions:detail", args=[traded.pk]) not in page
    assert "Alice" not in page
    assert "102.00" not in page


@pytest.mark.parametrize(
    ("provenance", "words"),
    [
        (Provenance.SIMULATED, "SIMULATED MARKET: generated prices, from no venue."),
        (Provenance.FILE, "Prices from imported history. Fills are simulated."),
        (Provenance.VENUE, "Prices from the venue's public API. Fills are simulated."),
    ],
)
def test_it_says_on_top_where_the_prices_come_from(alice, client_for, provenance, words):
    make_market(provenance=provenance)
    page = dashboard(client_for(alice))
    strip = re.search(r'<aside class="strip strip--(\w+)".*?</aside>', page)
    assert strip
    assert strip[1] == provenance
    assert words in shown(strip[0]).replace("&#x27;", "'")
    assert page.index(strip[0]) < page.index("<main")


def test_it_warns_of_a_simulated_market_although_another_is_real(alice, client_for):
    make_market(provenance=Provenance.VENUE)
    make_market("ETH/USDT:USDT", provenance=Provenance.SIMULATED)
    assert "SIMULATED MARKET" in dashboard(client_for(alice))


def test_it_asks_the_database_no_more_for_many_positions_than_for_one(alice, client_for, traded):
    client = client_for(alice)
    client.get(reverse("dashboard"))
    with CaptureQueriesContext(connection) as few:
        client.get(reverse("dashboard"))
    for market in Market.objects.filter(venue__slug="binance").exclude(pk=traded.market_id)[:4]:
        make_position(alice, market, origin=f"manual:{market.pk}")
    with CaptureQueriesContext(connection) as many:
        assert client.get(reverse("dashboard")).content.decode().count("data-position=") == 5
    assert len(many) == len(few)
