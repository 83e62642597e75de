"""What a market costs now: prices, order books, and the funding that was settled."""

import pytest

from tests.exchanges.conformance.listed import BTC, ETH, MUTE, NEW, NOW_MS
from tests.venue import Instrument


def test_it_gives_the_price_of_each_symbol_that_has_one(case, adapter, state):
    found = adapter.tickers([case.symbol(each) for each in (BTC, ETH, MUTE)] + [case.symbol(Instrument("NOPE"))])
    assert set(found) == {case.symbol(BTC), case.symbol(ETH)}
    for instrument in (BTC, ETH):
        ticker, day = found[case.symbol(instrument)], state.last_day(instrument.wire_id)
        assert ticker.last == day.last
        if not case.is_broker:  # there it is the change since the last session
            assert ticker.change_pct == pytest.approx((day.last / day.open - 1.0) * 100.0, abs=1e-3)
        assert (ticker.bid is not None) == (ticker.ask is not None) == case.quotes
        assert not case.quotes or ticker.bid <= ticker.last * 1.0001
    assert adapter.tickers([]) == {}


def test_it_gives_the_order_book_in_coins(case, adapter, venue, state):
    bids, asks = adapter.book(case.symbol(BTC), 10)
    assert len(bids) == len(asks) == min(10, case.levels)
    assert [price for price, _ in bids] == sorted((price for price, _ in bids), reverse=True)
    assert [price for price, _ in asks] == sorted(price for price, _ in asks)
    assert bids[0][0] < asks[0][0]
    assert bids[0][0] == pytest.approx(state.price("BTCUSDT"), rel=1e-3)
    assert case.is_broker or [qty for _, qty in bids[:3]] == pytest.approx([float(qty) for _, qty in state.levels("BTCUSDT", 3)[0]])
    deepest = adapter.book(case.symbol(BTC), 100_000)[0]
    assert len(deepest) >= case.levels
    assert all(len(side) == min(3, case.levels) for side in adapter.book(case.symbol(BTC), 3))


def test_it_gives_every_funding_rate_oldest_first(case, adapter, state):
    told = state.funding["BTCUSDT"]
    settled = [pair for pair in zip(told.timestamp.tolist(), told.rate.tolist(), strict=True) if pair[0] <= NOW_MS]
    for since_ms in (0, settled[5][0], settled[-3][0], settled[-3][0] + 1, NOW_MS):
        found = [
            pair
            for page in adapter.funding(case.symbol(BTC), since_ms)
            for pair in zip(page.timestamp.tolist(), page.rate.tolist(), strict=True)
        ]
        assert found == ([pair for pair in settled if pair[0] >= since_ms] if case.funding else [])
    assert list(adapter.funding(case.symbol(NEW), 0)) == []
