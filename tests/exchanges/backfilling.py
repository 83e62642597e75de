"""Binance on the test venue, and jobs that fetch from it, for tests of backfill."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np

from exchanges import backfill, candles
from exchanges.backfill.worker import STALE_AFTER
from exchanges.models import BackfillJob
from exchanges.ports import FundingFrame
from exchanges.venues import registry
from tests.exchanges.frames import START_MS, make_frame, replaced, rows
from tests.venue import Instrument, TestVenue, VenueState
from traderai.lib import clock

QUARTER_MS = 900_000
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
KLINES, FUNDING, INFO, TIME = "/fapi/v1/klines", "/fapi/v1/fundingRate", "/fapi/v1/exchangeInfo", "/fapi/v1/time"
PAGE = 1000
BARS = 2_500
UNTIL_MS = START_MS + BARS * QUARTER_MS
PAUSES: list[float] = []


def make_state(bars: int = BARS, bases: tuple[str, ...] = ("BTC", "ETH")) -> VenueState:
    """Closed bars of perpetuals, and one bar of each that is still open."""
    state = VenueState(now_ms=START_MS + bars * QUARTER_MS + 60_000)
    times = START_MS + np.arange(bars * QUARTER_MS // 28_800_000 + 1) * 28_800_000
    for seed, base in enumerate(bases, start=1):
        frame = make_frame(bars + 1, symbol=f"{base}/USDT:USDT", seed=seed)
        state.enlist(Instrument(base), frame, funding=FundingFrame(times + 3, np.linspace(-1e-4, 3e-4, len(times)).round(8)))
    return state


@contextmanager
def running(settings: Any, state: VenueState) -> Iterator[TestVenue]:
    """The venue, in place of Binance."""
    with TestVenue(state) as venue:
        settings.VENUE_BASE_URLS = {"binance": venue.url}
        registry.market_data.cache_clear()
        PAUSES.clear()
        yield venue
        registry.market_data.cache_clear()


def start(symbols: tuple[str, ...] | list[str] = (BTC,), **options: Any) -> BackfillJob:
    return backfill.start(**({"symbols": list(symbols), "since_ms": START_MS, "until_ms": UNTIL_MS} | options))


def run(job: BackfillJob, **options: Any) -> BackfillJob:
    return backfill.run(job.pk, **{"pause": PAUSES.append, **options})


def let_time_pass(job: BackfillJob) -> None:
    """The job's worker has given no sign of life for long."""
    BackfillJob.objects.filter(pk=job.pk).update(heartbeat_at=clock.now() - STALE_AFTER - timedelta(seconds=1))


def keep(venue: TestVenue, wire_id: str, mask: np.ndarray) -> None:
    """Let the venue lose all other bars."""
    frame = venue.state.candles[wire_id, "15m"]
    venue.state.candles[wire_id, "15m"] = replaced(frame, **{name: getattr(frame, name)[mask] for name in frame._fields[2:]})


def without(venue: TestVenue, wire_id: str, first: int, stop: int) -> None:
    """Let the venue lose the bars first..stop."""
    mask = np.ones(len(venue.state.candles[wire_id, "15m"]), bool)
    mask[first:stop] = False
    keep(venue, wire_id, mask)


def assert_complete(venue: TestVenue, *symbols: str, until_ms: int = UNTIL_MS) -> None:
    """What is stored is what the venue has closed: none lost, none twice, none other."""
    for symbol in symbols:
        wire_id = symbol.split("/")[0] + "USDT"
        market = candles.find_market(symbol)
        assert rows(candles.read(market, "15m")) == rows(venue.state.closed(wire_id, "15m"))
        told = venue.state.funding[wire_id]
        stored = candles.funding(market)
        assert stored.timestamp.tolist() == (told.timestamp[told.timestamp < until_ms] - 3).tolist()
        assert stored.rate.tolist() == told.rate[: len(stored.rate)].tolist()
