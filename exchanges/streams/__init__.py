"""Live market data, whatever its source: ticks to the browsers and the cache, closed bars to the database and to whoever waits for them."""

from collections.abc import Sequence
from typing import NamedTuple

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from redis.exceptions import RedisError

from exchanges import candles, events
from exchanges.models import Market, Provenance
from exchanges.ports import CandleFrame
from exchanges.streams.feed import read_feed, write_feed
from traderai.lib import groups
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit

__all__ = [
    "NoHistory",
    "Tick",
    "close_bar",
    "close_bars",
    "has_ticks",
    "latest_tick",
    "publish_tick",
    "publish_ticks",
    "read_feed",
    "write_feed",
]

log = structlog.get_logger(__name__)

VENUE, REPLAY, SIMULATED = "venue", "replay", "simulated"
SOURCES = {Provenance.VENUE: VENUE, Provenance.FILE: REPLAY, Provenance.SIMULATED: SIMULATED}


class Tick(NamedTuple):
    """A market's newest price. ts_ms is market time, which in a replay is not the wall clock's."""

    market_id: int
    symbol: str
    price: float
    ts_ms: int
    source: str


class NoHistory(UserError):
    """A live bar for a market that has no history to continue."""


def source_of(market: Market) -> str:
    """How a tick of this market is labelled: venue, replay or simulated."""
    return SOURCES.get(Provenance(market.provenance), VENUE)


def publish_tick(tick: Tick) -> None:
    """Tell everyone who listens the newest price of one market."""
    publish_ticks([tick])


def publish_ticks(ticks: Sequence[Tick]) -> None:
    """Tell everyone who listens; a broker that is away costs this beat of prices, not the feed."""
    try:
        cache.set_many({_key(tick.market_id): tick._asdict() for tick in ticks}, timeout=None)
        async_to_sync(_send)(ticks)
    except (OSError, RedisError) as error:
        log.warning("prices not published", count=len(ticks), error=str(error))


def latest_tick(market: Market) -> Tick | None:
    """The newest price published, or the close of the newest stored bar when that is newer; None when there is neither."""
    try:
        stored = cache.get(_key(market.pk))
    except (OSError, RedisError) as error:
        log.warning("prices not readable", error=str(error))
        stored = None
    tick = Tick(**stored) if stored else None
    timeframe = settings.BASE_TIMEFRAME
    bar = candles.read(market, timeframe, last=1)
    if len(bar):
        closed_ms = int(bar.timestamp[-1]) + candles.length_ms(timeframe)
        if tick is None or tick.ts_ms < closed_ms:
            return Tick(market.pk, market.symbol, float(bar.close[-1]), closed_ms, source_of(market))
    return tick


def has_ticks(market_ids: Sequence[int]) -> bool:
    """Whether a live price of any of these markets has been published; False while nobody can tell."""
    try:
        return bool(cache.get_many([_key(market_id) for market_id in market_ids]))
    except (OSError, RedisError) as error:
        log.warning("prices not readable", error=str(error))
        return False


def close_bar(market: Market, frame_row: CandleFrame) -> None:
    """Store a bar that has closed and say so. Raises NoHistory, candles.BadRows."""
    close_bars([(market, frame_row)])


def close_bars(bars: Sequence[tuple[Market, CandleFrame]]) -> None:
    """Store the bars that closed at one moment in one transaction, and only then tell about each of them. Raises NoHistory, candles.BadRows."""
    with transaction.atomic():
        for market, frame in bars:
            if market.provenance == Provenance.NONE:
                raise NoHistory(f"symbol: {market.symbol} has no history yet; import or backfill it first", field="symbol")
            candles.ingest(market, frame, provenance=market.provenance)
            for timestamp in frame.timestamp.tolist():
                send_after_commit(
                    events.candle_closed, market_id=market.pk, symbol=market.symbol, timeframe=frame.timeframe, timestamp=timestamp
                )


async def _send(ticks: Sequence[Tick]) -> None:
    layer = get_channel_layer()
    for tick in ticks:
        await layer.group_send(groups.TICKS, {"type": "tick", **tick._asdict()})


def _key(market_id: int) -> str:
    return f"tick:{market_id}"
