"""Shares in the catalogue: what is paid in full and closes at night, beside coins that never do."""

import pytest

from exchanges import candles, paper_accounts
from exchanges.models import Market, MarketKind
from signals import scan
from signals.forms import scanned_symbols
from signals.models import Rejection
from signals.training.origin import UnusableHistory, check_origin
from tests.exchanges.entries import plan_at, store, submit
from tests.signals.series import make_series

pytestmark = pytest.mark.django_db


@pytest.fixture
def apple() -> Market:
    return candles.find_market("AAPL/USD", venue="alpaca")


def test_it_lists_ten_shares_of_each_broker_paid_in_full():
    shares = Market.objects.filter(kind=MarketKind.EQUITY).select_related("venue")
    assert {venue: shares.filter(venue__slug=venue).count() for venue in ("alpaca", "zerodha")} == {"alpaca": 10, "zerodha": 10}
    for market in shares:
        assert market.is_cash and market.has_sessions
        assert (market.max_leverage, market.default_funding, market.provenance) == (1, 0.0, "none")
    assert candles.find_market("RELIANCE/INR", venue="zerodha").quote == "INR"


def test_it_tells_no_share_from_a_coin_by_its_spelling_but_by_its_kind():
    spot = candles.find_market("BTC/USDT")
    perpetual = candles.find_market("BTC/USDT:USDT")
    assert (spot.is_cash, spot.has_sessions) == (True, False)
    assert (perpetual.is_cash, perpetual.has_sessions) == (False, False)


def test_it_adds_a_share_where_a_broker_lists_it():
    for venue, symbol in (("alpaca", "BRK.B/USD"), ("zerodha", "M&M/INR"), ("zerodha", "BAJAJ-AUTO/INR")):
        market = candles.add_market(symbol, venue=venue)
        assert (market.kind, market.symbol, market.max_leverage) == ("equity", symbol, 1)
    assert candles.add_market("PEPE/USDT", venue="binance").kind == "spot"


def test_it_leaves_shares_with_candles_out_of_scans_and_training(apple):
    frame = make_series(50, symbol=apple.symbol, seed=3)
    candles.ingest(apple, frame, provenance="file")
    apple.refresh_from_db()
    assert scanned_symbols() == []
    assert scan.run().markets == 0
    assert scan.run_bar(bar_ms=int(frame.timestamp[-1])) is None
    with pytest.raises(UnusableHistory, match=r"AAPL/USD closes at night.*leave it out"):
        check_origin([apple])


def test_it_says_why_a_share_that_was_named_gets_no_signal(apple, settings):
    settings.DEFAULT_VENUE = "alpaca"
    candles.ingest(apple, make_series(50, symbol=apple.symbol, seed=3), provenance="file")
    report = scan.run(symbols=["AAPL/USD"])
    assert (report.issued, report.errors) == ([], [])
    assert {rejection.code for rejection in Rejection.objects.all()} == {"sessions"}


def test_it_converts_no_money(alice, apple):
    decided = store(apple, [200.0] * 4)
    order = submit(paper_accounts.open_for(alice), apple, plan_at(200.0, decided))
    assert (order.state, order.reason) == (
        "denied",
        "The market trades in another currency than the account holds, and nothing is converted here.",
    )
