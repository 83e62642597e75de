import pytest
from django.db import transaction

from exchanges import candles, streams
from signals import events, processing
from signals.models import Rejection, Signal, SignalStatus
from tests.signals import scenes
from tests.signals.scenes import BAR_MS, BTC, ETH
from traderai.lib import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def market():
    return scenes.make_market(ETH, bars=20)


@pytest.fixture
def told():
    """What the two events said, in order."""
    heard = []

    def issued(signal_id, **_):
        heard.append(("issued", signal_id))

    def ended(signal_id, **_):
        heard.append(("ended", signal_id))

    events.signal_issued.connect(issued)
    events.signal_ended.connect(ended)
    yield heard
    events.signal_issued.disconnect(issued)
    events.signal_ended.disconnect(ended)


def tick(market, price, ts_ms):
    streams.publish_tick(streams.Tick(market_id=market.pk, symbol=market.symbol, price=price, ts_ms=ts_ms, source="replay"))


def test_it_admits_a_signal_and_announces_it_after_commit(market, told, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        with transaction.atomic():
            signal = processing.admit(scenes.make_signal(market, save=False))
        assert told == []
    assert told == [("issued", signal.pk)]


def test_it_lets_no_second_signal_of_the_same_side_in_while_one_is_open(market):
    first = processing.admit(scenes.make_signal(market, save=False))
    scenes.next_bars(market, [(100.0, 100.5, 99.5, 100.0)])
    second = processing.admit(scenes.make_signal(market, save=False))
    assert isinstance(second, Rejection)
    assert second.code == "open_signal"
    assert second.numbers["open_signal"] == first.pk
    assert Signal.objects.count() == 1


def test_it_supersedes_an_open_signal_of_the_other_side(market, told, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        first = processing.admit(scenes.make_signal(market, save=False))
        scenes.next_bars(market, [(100.0, 100.5, 99.5, 100.0)])
        second = processing.admit(scenes.make_signal(market, side="short", save=False))
    first.refresh_from_db()
    assert (first.status, second.status) == (SignalStatus.SUPERSEDED, SignalStatus.OPEN)
    assert "short" in first.ended_reason
    assert told == [("issued", first.pk), ("ended", first.pk), ("issued", second.pk)]


def test_it_decides_a_bar_once(market):
    first = processing.admit(scenes.make_signal(market, save=False))
    assert processing.admit(scenes.make_signal(market, side="short", save=False)) == first
    assert list(Signal.objects.values_list("side", flat=True)) == ["long"]


def test_other_strategies_and_markets_do_not_stand_in_the_way(market):
    other = scenes.make_market(BTC, bars=20)
    for signal in (
        scenes.make_signal(market, save=False),
        scenes.make_signal(market, save=False, strategy="other"),
        scenes.make_signal(other, save=False),
    ):
        processing.admit(signal)
    assert Signal.objects.open().count() == 3


def test_it_stores_the_same_rejection_of_a_bar_once(market):
    row = {"market": market, "strategy": "ml-ensemble", "bar_ms": 1, "code": "stale_data", "reason": "late"}
    assert processing.reject(Rejection(**row)) == processing.reject(Rejection(**row))
    assert Rejection.objects.count() == 1


def test_it_puts_the_best_expectancy_first(market):
    made = [scenes.make_signal(market, save=False, expectancy_pct=value) for value in (0.2, 1.5, 0.9)]
    assert [signal.expectancy_pct for signal in processing.prioritise(made)] == [1.5, 0.9, 0.2]


def test_it_keeps_a_signal_while_its_time_and_price_hold(market):
    signal = scenes.make_signal(market)
    scenes.next_bars(market, [(100.0, 101.9, 98.1, 100.0)] * (processing.EXPIRE_AFTER_BARS - 1))
    assert processing.expire() == 0
    signal.refresh_from_db()
    assert signal.is_open


def test_it_ends_a_signal_by_the_markets_time(market, told, django_capture_on_commit_callbacks):
    signal = scenes.make_signal(market)
    scenes.next_bars(market, [(100.0, 100.5, 99.5, 100.0)] * processing.EXPIRE_AFTER_BARS)
    with django_capture_on_commit_callbacks(execute=True):
        assert processing.expire() == 1
        assert processing.expire() == 0
    signal.refresh_from_db()
    assert (signal.status, signal.ended_reason) == (SignalStatus.EXPIRED, "Not taken within 4 bars.")
    assert told == [("ended", signal.pk)]


def test_the_wall_clock_alone_ends_nothing_in_a_replay(market):
    """The candles are of 2023."""
    signal = scenes.make_signal(market)
    assert signal.expires_at < clock.now()
    assert processing.expire() == 0


def test_the_wall_clock_ends_a_signal_of_a_silent_venue():
    market = scenes.make_market(ETH, bars=20, provenance="venue")
    scenes.make_signal(market)
    assert processing.expire() == 1


@pytest.mark.parametrize(
    ("side", "bar", "reason"),
    [
        ("long", (100.0, 102.0, 99.0, 101.0), "The price passed the first take-profit."),
        ("long", (100.0, 101.0, 98.0, 100.0), "The price passed the stop."),
        ("long", (100.0, 103.0, 97.0, 100.0), "The price passed the stop."),
        ("short", (100.0, 101.0, 98.0, 99.0), "The price passed the first take-profit."),
        ("short", (100.0, 102.0, 99.0, 100.0), "The price passed the stop."),
    ],
)
def test_it_ends_a_signal_whose_price_is_gone(market, side, bar, reason):
    signal = scenes.make_signal(market, side=side)
    scenes.next_bars(market, [bar])
    assert processing.why_over(signal) == reason


def test_a_price_between_bars_counts_too(market):
    signal = scenes.make_signal(market)
    tick(market, 102.5, signal.bar_ms + BAR_MS + 1)
    assert processing.why_over(signal) == "The price passed the first take-profit."


def test_a_price_of_the_deciding_bar_itself_does_not_count(market):
    signal = scenes.make_signal(market)
    tick(market, 102.5, signal.bar_ms + BAR_MS - 1)
    assert processing.why_over(signal) == ""


def test_a_price_later_than_the_bound_ends_it(market):
    signal = scenes.make_signal(market)
    tick(market, 100.0, candles.last_open_ms(market, "15m") + 5 * BAR_MS)
    assert processing.why_over(signal) == "Not taken within 4 bars."
