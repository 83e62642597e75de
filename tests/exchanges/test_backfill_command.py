import json

import pytest
from django.core.management import CommandError, call_command

from exchanges import candles
from exchanges.backfill import crew
from exchanges.models import BackfillJob, Candle, JobStatus, Market
from exchanges.venues import registry
from tests.exchanges.backfilling import BARS, BTC, ETH, KLINES, UNTIL_MS, assert_complete, make_state, running, without
from tests.exchanges.frames import make_frame
from tests.venue import Instrument
from traderai.lib import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def venue(settings):
    with running(settings, make_state()) as found:
        yield found


def test_it_runs_from_the_command_line(venue, capsys):
    call_command("backfill", symbols=f"{BTC},{ETH}", since="2024-01-01", until=clock.from_ms(UNTIL_MS).isoformat(), json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["rows"]) == ("done", 2 * BARS)
    assert_complete(venue, BTC, ETH)


def test_it_adds_a_market_the_venue_lists_with_the_venues_steps(venue):
    venue.state.enlist(Instrument("PEPE", tick_size="0.001", step_size="1", min_notional="5"), make_frame(10, symbol="PEPE/USDT:USDT"))
    call_command("backfill", symbols="PEPE/USDT:USDT", since="2024-01-01", until="2024-01-01T02:00", json=True)
    market = candles.find_market("PEPE/USDT:USDT")
    assert (float(market.tick_size), float(market.step_size), float(market.min_notional)) == (0.001, 1.0, 5.0)
    assert len(candles.read(market, "15m")) == 8


def test_it_adds_no_market_that_does_not_trade(venue):
    venue.state.enlist(Instrument("LUNA", status="SETTLING"), make_frame(10, symbol="LUNA/USDT:USDT"))
    with pytest.raises(CommandError, match="LUNA/USDT:USDT is delisted or halted on binance; choose another market"):
        call_command("backfill", symbols="LUNA/USDT:USDT", since="2024-01-01", until="2024-01-01T02:00")
    assert not Market.objects.filter(base="LUNA").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbols": "NOPE/USDT:USDT"}, "is not listed on binance"),
        ({"since": "yesterday"}, "--since: 'yesterday' is no date"),
        ({"since": "2999-01-01"}, "since: lies in the future"),
        ({"symbols": " , "}, "symbols: none given"),
        ({"timeframe": "9m"}, "timeframe: '9m' is not known"),
        ({"venue": "paper"}, "paper has no market data here"),
    ],
)
def test_it_says_on_the_command_line_what_cannot_work(venue, options, message):
    options = {"symbols": BTC, "since": "2024-01-01"} | options
    with pytest.raises(CommandError, match=message):
        call_command("backfill", **options)
    assert not Candle.objects.exists()


def test_it_ends_with_an_error_when_the_venue_is_away(settings, capsys, monkeypatch):
    settings.VENUE_BASE_URLS = {"binance": "http://127.0.0.1:9"}
    registry.market_data.cache_clear()
    monkeypatch.setattr(crew, "FIRST_PAUSE_S", 0.001)
    with pytest.raises(CommandError, match="binance cannot be reached when asked for its clock, 6 times; resume the job") as caught:
        call_command("backfill", symbols=BTC, since="2024-01-01", until="2024-01-02")
    assert "\n" not in str(caught.value)
    assert BackfillJob.objects.get().status == JobStatus.FAILED
    assert registry.reachable("binance", timeout_s=1.0) is False
    registry.market_data.cache_clear()


def test_it_tells_what_it_did_and_what_the_venue_has_not(venue, capsys):
    without(venue, "BTCUSDT", 100, 103)
    call_command("backfill", symbols=f"{BTC},{ETH}", since="2024-01-01", until=clock.from_ms(UNTIL_MS).isoformat())
    told = capsys.readouterr()
    assert f"{2 * BARS - 3:,} candles written" in told.out
    assert f"{BTC}: the venue has no bars for 3, and 0 will be asked for again" in told.out
    assert ETH in told.err, "a bar for each market"


def test_it_names_every_market_that_stopped(venue, capsys):
    with pytest.raises(CommandError, match=r"binance does not list SOL/USDT:USDT.*and 1 more.*resume the job") as caught:
        call_command("backfill", symbols=f"{BTC},SOL/USDT:USDT", since="2024-01-01", until="2024-01-02")
    assert "\n" not in str(caught.value)
    assert "SOL/USDT:USDT funding: binance does not list SOL/USDT:USDT" in capsys.readouterr().err
    assert BackfillJob.objects.get().progress_of(BTC) == 1.0


def test_it_says_which_timeframes_the_venue_offers(settings, venue):
    settings.VENUE_BASE_URLS = {"okx": venue.url}
    with pytest.raises(CommandError, match="okx does not offer 8h candles of BTC/USDT:USDT; use one of 1m, 3m"):
        call_command("backfill", symbols=BTC, since="2024-01-01", until="2024-01-04", timeframe="8h", venue="okx")
    assert not Candle.objects.exists()


def test_it_repairs_gaps_from_the_command_line(venue, capsys):
    whole = venue.state.candles["BTCUSDT", "15m"]
    without(venue, "BTCUSDT", 100, 110)
    call_command("backfill", symbols=BTC, since="2024-01-01", until=clock.from_ms(UNTIL_MS).isoformat(), json=True)
    capsys.readouterr()
    venue.state.candles["BTCUSDT", "15m"] = whole
    without(venue, "BTCUSDT", 105, 106)
    call_command("repair_gaps", json=True)
    assert json.loads(capsys.readouterr().out) == [{"symbol": BTC, "timeframe": "15m", "filled": 9, "empty": 1, "open": 0, "reason": ""}]
    call_command("repair_gaps", symbols=BTC)
    assert capsys.readouterr().out == f"{BTC} 15m: 0 bars filled; missing: 1 that the venue has not, 0 it did not tell\n"
    assert_complete(venue, BTC)


def test_it_says_why_gaps_are_still_open(venue, monkeypatch):
    monkeypatch.setattr(crew, "FIRST_PAUSE_S", 0.001)
    without(venue, "BTCUSDT", 100, 110)
    call_command("backfill", symbols=BTC, since="2024-01-01", until=clock.from_ms(UNTIL_MS).isoformat(), json=True)
    venue.script(KLINES, "status", status=503, times=100)
    with pytest.raises(CommandError, match=rf"{BTC}: binance is not available .* run this again later"):
        call_command("repair_gaps", symbols=BTC)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbols": "NOPE/USDT:USDT"}, "symbols: 'NOPE/USDT:USDT' is not listed on binance"),
        ({"venue": "mtgox"}, "venue: 'mtgox' is not known"),
        ({"symbols": BTC, "timeframe": "9m"}, "timeframe: '9m' is not known"),
    ],
)
def test_it_says_what_cannot_be_repaired(options, message):
    with pytest.raises(CommandError, match=message):
        call_command("repair_gaps", **options)
