"""What a venue lists, and in which timeframes."""

from dataclasses import replace

import pytest

from exchanges import timeframes
from exchanges.ports import MarketSpec, VenueRefused, VenueUnavailable
from tests.exchanges.conformance.listed import BTC, FIRST_MS, OLD
from tests.venue import Instrument


def test_it_lists_instruments_with_steps_and_minimums_in_coins(case, adapter):
    listed = {spec.symbol: spec for spec in adapter.markets(case.kind)}
    facts = {"kind": case.kind, "tick_size": 0.1, "step_size": 0.001, "min_notional": 100.0, "min_qty": 0.001, "max_leverage": 20}
    expected = MarketSpec(case.symbol(BTC), "BTC", case.quote, **(facts | case.spec))
    told = listed[case.symbol(BTC)]
    assert (told.step_size, told.min_qty) == pytest.approx((expected.step_size, expected.min_qty))
    assert replace(told, step_size=expected.step_size, min_qty=expected.min_qty) == expected
    assert (case.symbol(OLD) in listed) == case.lists_delisted
    assert not case.lists_delisted or not listed[case.symbol(OLD)].is_trading


def test_it_says_that_a_symbol_is_unknown(case, adapter):
    unknown = case.symbol(Instrument("NOPE"))
    for ask in (
        lambda: adapter.candles(unknown, "15m", FIRST_MS, 10),
        lambda: list(adapter.funding(unknown, FIRST_MS)),
        lambda: adapter.book(unknown, 5),
        lambda: adapter.timeframes(unknown),
        lambda: adapter.first_candle_ms(unknown, "15m"),
    ):
        with pytest.raises(VenueRefused, match=rf"{case.slug} does not list {unknown}.*: check the spelling"):
            ask()


def test_it_says_that_a_symbol_is_delisted(case, adapter):
    words = (
        f"has delisted or halted {case.symbol(OLD)}"
        if case.lists_delisted or case.slug == "alpaca"
        else rf"does not list {case.symbol(OLD)}.* \(any more\)"
    )
    with pytest.raises(VenueRefused, match=words):
        adapter.candles(case.symbol(OLD), "15m", FIRST_MS, 10)
    assert case.symbol(OLD) not in adapter.tickers([case.symbol(OLD)]) or case.lists_delisted


def test_it_names_the_timeframes_it_has(case, adapter):
    offered = adapter.timeframes(case.symbol(BTC))
    assert set(case.frames) <= set(offered) <= set(timeframes.TIMEFRAME_MS)
    with pytest.raises(VenueRefused, match=r"does not offer 13m candles of .*; use one of 1m, .*15m"):
        adapter.candles(case.symbol(BTC), "13m", FIRST_MS, 10)
    for lacking in set(timeframes.TIMEFRAME_MS) - set(offered):
        with pytest.raises(VenueRefused, match=f"does not offer {lacking}"):
            adapter.candles(case.symbol(BTC), lacking, FIRST_MS, 10)


def test_it_does_not_believe_that_the_venue_lists_nothing(case, adapter, venue):
    if case.slug == "alpaca":
        pytest.skip("it is asked for one instrument, not for a list")
    venue.script(case.instruments, "empty", times=12)
    with pytest.raises(VenueUnavailable, match="its instruments"):
        adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 10)
