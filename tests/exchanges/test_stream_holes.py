"""Bars that REST did not tell right after their time: accepted, remembered, and asked for again within the hour."""

import asyncio

import numpy as np
import pytest

from exchanges import backfill, candles, events
from exchanges.models import CandleGap, GapState
from exchanges.streams.closing import Closer
from exchanges.tasks import sweep_gaps
from exchanges.venues import registry
from tests.exchanges.backfilling import BTC, make_state, running
from tests.exchanges.frames import START_MS, make_frame, replaced, rows

pytestmark = pytest.mark.django_db(transaction=True)

STORED, TOLD = 30, 120


@pytest.fixture
def venue(settings, monkeypatch):
    """A venue with as many minutes as quarters. Whoever acts on bars is not these tests' business."""
    monkeypatch.setattr(events.candle_closed, "receivers", [])
    state = make_state(TOLD)
    state.candles["BTCUSDT", "1m"] = make_frame(TOLD, timeframe="1m")
    with running(settings, state) as found:
        yield found


def lose(venue, timeframe: str, first: int, stop: int) -> None:
    frame = venue.state.candles["BTCUSDT", timeframe]
    mask = np.ones(len(frame), bool)
    mask[first:stop] = False
    venue.state.candles["BTCUSDT", timeframe] = replaced(frame, **{name: getattr(frame, name)[mask] for name in frame._fields[2:]})


async def catch_up(market, timeframe: str, now_ms: int) -> None:
    """What a stream does that has heard nothing: it asks until it is where the venue is."""
    closer = Closer(registry.market_data("binance"), (timeframe,), lambda *_: None)
    await closer.add([market], now_ms)
    for _ in range(3):
        closer.beat(now_ms)
        await closer.settled()
        await asyncio.sleep(0)


def noted(timeframe: str) -> list[tuple[int, int, str]]:
    gaps = CandleGap.objects.filter(timeframe=timeframe).order_by("first_ms")
    length_ms = candles.length_ms(timeframe)
    return [((gap.first_ms - START_MS) // length_ms, (gap.last_ms - START_MS) // length_ms, gap.state) for gap in gaps]


@pytest.mark.parametrize(("first", "stop"), [(60, 63), (STORED, STORED + 4), (TOLD - 5, TOLD)])
@pytest.mark.parametrize("timeframe", ["1m", "15m"])
def test_bars_that_were_not_told_are_asked_for_again(venue, timeframe, first, stop):
    market, length_ms = candles.find_market(BTC), candles.length_ms(timeframe)
    whole = venue.state.candles["BTCUSDT", timeframe].slice(0, TOLD)
    candles.ingest(market, whole.slice(0, STORED), provenance="venue")
    lose(venue, timeframe, first, stop)
    venue.state.now_ms = START_MS + TOLD * length_ms + 90_000
    asyncio.run(catch_up(market, timeframe, venue.state.now_ms))
    assert noted(timeframe) == [(first, stop - 1, GapState.OPEN)]
    venue.state.candles["BTCUSDT", timeframe] = whole
    assert backfill.gappy() == [(market.pk, timeframe)]
    sweep_gaps()
    assert rows(candles.read(market, timeframe)) == rows(whole)
    assert noted(timeframe) == []
    assert backfill.gappy() == []
