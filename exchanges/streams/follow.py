"""The live market by polling a venue's public REST API: prices every few seconds, closed bars and funding rates when their time has come.

A bar that a poll missed is fetched with the next one, because each market asks for everything after its newest stored bar.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event

import numpy as np
import structlog
from django.conf import settings

from exchanges import candles, funding, streams
from exchanges.models import Market, MarketKind, Provenance
from exchanges.ports import CandleFrame, MarketDataVenue, VenueError, VenueRefused, VenueUnavailable
from exchanges.streams import Tick
from traderai.lib.errors import UserError

log = structlog.get_logger(__name__)

POLL_S = 2.0
LONGEST_PAUSE_S = 60.0
PUBLISHED_AFTER_MS = 2_000
"""Venues finish a candle a moment after its time."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What one poll brought."""

    ticks: int
    bars: int


def beat(markets: Sequence[Market], venue: MarketDataVenue, *, now_ms: int) -> Beat:
    """One poll: publish prices, store the bars that have closed. Raises VenueUnavailable, and VenueRefused when the venue tells no prices.

    A market whose bars the venue refuses or sends in a state that cannot be stored is left out, and the others go on.
    """
    prices = venue.prices([market.symbol for market in markets])
    quoted = [market for market in markets if market.symbol in prices]
    streams.publish_ticks([Tick(market.pk, market.symbol, prices[market.symbol], now_ms, streams.VENUE) for market in quoted])
    bars = 0
    for market in quoted:
        try:
            bars += _close_bars(market, venue, now_ms)
        except (VenueRefused, UserError) as error:
            log.warning("no bars of this market", symbol=market.symbol, reason=str(error))
    return Beat(len(quoted), bars)


def follow(markets: Sequence[Market], venue: MarketDataVenue, *, stop: Event) -> None:
    """Poll until `stop` is set. A venue that is away is asked again after a growing pause, or the one it asks for when that is
    longer; prices are shown as they were until it is back. Raises VenueRefused."""
    failures = 0
    while not stop.is_set():
        asked_s = 0.0
        try:
            beat(markets, venue, now_ms=venue.now_ms())
            failures = 0
        except VenueUnavailable as error:
            failures += 1
            asked_s = error.retry_after_s or 0.0
            log.warning("the venue is away; asking again later", reason=str(error), failures=failures, retry_after_s=asked_s)
        stop.wait(max(asked_s, min(LONGEST_PAUSE_S, POLL_S * 2 ** min(failures, 6))))


def _close_bars(market: Market, venue: MarketDataVenue, now_ms: int) -> int:
    """Store the bars that have closed since the newest stored one, a page at most. Returns how many."""
    length_ms = candles.length_ms(settings.BASE_TIMEFRAME)
    final_ms = now_ms - PUBLISHED_AFTER_MS - length_ms
    newest = candles.last_open_ms(market, settings.BASE_TIMEFRAME)
    if newest is None or newest + length_ms > final_ms:
        return 0
    frame = venue.candles(market.symbol, settings.BASE_TIMEFRAME, newest + length_ms, venue.page(market.symbol))
    # A bar is stored once, so one that closed a moment ago waits for the next poll, too, when earlier ones were missed.
    frame = frame.slice(0, int(np.searchsorted(frame.timestamp, final_ms, side="right")))
    if len(frame):
        _store_rates(market, venue, frame)
        streams.close_bars([(market, frame)])
    return len(frame)


def _store_rates(market: Market, venue: MarketDataVenue, fresh: CandleFrame) -> None:
    """Funding boundaries are full hours: before a bar that begins at one is told, the rates since the newest stored one.

    No bar waits for a rate: stops depend on bars, and the default stands in for a rate that does not come.
    """
    if market.kind != MarketKind.PERPETUAL or not (fresh.timestamp % funding.HOUR_MS == 0).any():
        return
    newest = candles.last_funding_ms(market)
    since_ms = int(fresh.timestamp[0]) - funding.LONGEST_INTERVAL_MS if newest is None else newest + 1
    try:
        rates = next(venue.funding(market.symbol, since_ms), None)
        if rates is not None:
            candles.ingest_funding(market, rates, provenance=Provenance.VENUE)
    except (VenueError, UserError) as error:
        log.warning("no funding rates of this market", symbol=market.symbol, reason=str(error))
