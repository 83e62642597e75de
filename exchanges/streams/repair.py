"""What only REST can tell: bars a socket missed, funding rates, whether a market moves. Blocking, for threads; never inside a transaction."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import structlog
from django.conf import settings
from django.db import transaction

from exchanges import candles, funding, streams
from exchanges.candles import missing
from exchanges.models import GapState, Market, MarketKind, Provenance
from exchanges.ports import BarUpdate, CandleFrame, MarketDataVenue, VenueError
from traderai.lib.errors import UserError

log = structlog.get_logger(__name__)

NOT_TOLD = "The venue told no bar here right after its time."


class Repaired(NamedTuple):
    """What a page brought: the newest bar stored from it, and the open up to which the venue has told everything it has."""

    newest: BarUpdate | None
    complete_to_ms: int


def bars(market: Market, venue: MarketDataVenue, timeframe: str, since_ms: int, until_ms: int) -> Repaired:
    """Store a page of the venue's bars with since_ms <= open <= until_ms; those of the base frame are told. Raises VenueError, UserError."""
    page, length_ms = venue.page(market.symbol), candles.length_ms(timeframe)
    until_ms = min(until_ms, venue.now_ms() // length_ms * length_ms - length_ms)  # what has closed by the adapter's own clock
    if until_ms < since_ms:
        return Repaired(None, until_ms)
    shut = (since_ms, until_ms + length_ms)
    if market.has_sessions and venue.closed(market.symbol, *shut) == (shut,):
        return Repaired(None, until_ms)  # the market was shut all the time: there is nothing to ask for
    frame = _answer(market, venue, timeframe, since_ms, until_ms)
    if len(frame) < min(page, (until_ms - since_ms) // length_ms + 1):
        again = _answer(market, venue, timeframe, since_ms, until_ms)  # a hole is believed when a second answer has it, too
        frame = again if len(again) > len(frame) else frame
    if not len(frame):
        return Repaired(None, min(until_ms, since_ms + (page - 1) * length_ms))
    newest_ms = int(frame.timestamp[-1])
    if timeframe == settings.BASE_TIMEFRAME:
        rates(market, venue, int(frame.timestamp[0]), newest_ms)
    with transaction.atomic():
        (streams.close_bars if timeframe == settings.BASE_TIMEFRAME else streams.store_bars)([(market, frame)])
        for hole in missing.of_answer(frame, since_ms, newest_ms):
            note_hole(market, timeframe, hole.first_ms, hole.last_ms)
    complete_to_ms = newest_ms if len(frame) >= page else min(until_ms, max(newest_ms, since_ms + (page - 1) * length_ms))
    last = [float(column[-1]) for column in frame[3:]]
    return Repaired(BarUpdate(market.symbol, timeframe, newest_ms, last[0], last[1], last[2], last[3], last[4], final=True), complete_to_ms)


def note_hole(market: Market, timeframe: str, first_ms: int, last_ms: int) -> None:
    """Remember that the venue did not tell these bars, so that it is asked again within the hour."""
    if not market.has_sessions:
        with transaction.atomic():
            missing.note(market, timeframe, missing.between(first_ms, last_ms, candles.length_ms(timeframe)), GapState.OPEN, NOT_TOLD)


def _answer(market: Market, venue: MarketDataVenue, timeframe: str, since_ms: int, until_ms: int) -> CandleFrame:
    """A page of bars. A bar is stored once: one that closed a moment ago may still be changed by the venue, so it waits for its turn."""
    frame = venue.candles(market.symbol, timeframe, since_ms, venue.page(market.symbol))
    return frame.slice(0, int(np.searchsorted(frame.timestamp, until_ms, side="right")))


def rates(market: Market, venue: MarketDataVenue, first_ms: int, last_ms: int) -> None:
    """Before bars that open from first_ms to last_ms are told: the funding rates since the newest stored one, if a boundary (a full hour)
    lies there.

    No bar waits for a rate: stops depend on bars, and the default stands in for a rate that does not come.
    """
    boundary_ms = last_ms // funding.HOUR_MS * funding.HOUR_MS
    if market.kind != MarketKind.PERPETUAL or boundary_ms < first_ms:
        return
    newest = candles.last_funding_ms(market)
    if newest is not None and newest >= boundary_ms:
        return
    since_ms = first_ms - funding.LONGEST_INTERVAL_MS if newest is None else newest + 1
    try:
        found = next(venue.funding(market.symbol, since_ms), None)
        if found is not None:
            candles.ingest_funding(market, found, provenance=Provenance.VENUE)
    except (VenueError, UserError) as error:
        log.warning("no funding rates of this market", symbol=market.symbol, reason=str(error))


def prices_moved(venue: MarketDataVenue, known: Mapping[str, float]) -> bool:
    """Whether REST knows another price of any of these markets: then a socket that says nothing does not listen to a quiet market."""
    return any(ticker.last != known[symbol] for symbol, ticker in venue.tickers(list(known)).items())


def frame_of(updates: Sequence[BarUpdate]) -> CandleFrame:
    """Bars of one market and timeframe as arrays."""
    timestamps = np.array([update.timestamp for update in updates], np.int64)
    columns = np.array([update[3:8] for update in updates], np.float64).T
    return CandleFrame(updates[0].symbol, updates[0].timeframe, timestamps, *(np.ascontiguousarray(column) for column in columns))
