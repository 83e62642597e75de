"""Live market data, whatever its source: ticks to the browsers and the cache, closed bars to the database and to whoever waits for them."""

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction

from exchanges import candles, events
from exchanges.live import Feed, Tick
from exchanges.models import Market, Provenance
from exchanges.ports import CandleFrame
from exchanges.streams import publishing
from exchanges.streams.feed import read_feed, write_feed
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit

__all__ = [
    "NoHistory",
    "Tick",
    "close_bar",
    "close_bars",
    "has_ticks",
    "is_replayed",
    "latest_tick",
    "publish_tick",
    "publish_ticks",
    "read_feed",
    "store_bars",
    "write_feed",
]

VENUE, REPLAY, SIMULATED = "venue", "replay", "simulated"
SOURCES = {Provenance.VENUE: VENUE, Provenance.FILE: REPLAY, Provenance.SIMULATED: SIMULATED}


class NoHistory(UserError):
    """A live bar for a market that has no history to continue."""


def source_of(market: Market) -> str:
    """How a tick of this market is labelled: venue, replay or simulated."""
    return SOURCES.get(Provenance(market.provenance), VENUE)


def publish_tick(tick: Tick) -> None:
    """Tell everyone who listens the newest price of one market."""
    publishing.publish([tick])


def publish_ticks(ticks: Sequence[Tick]) -> None:
    """Tell everyone who listens; a broker that is away costs this beat of prices, not the feed."""
    publishing.publish(ticks)


def latest_tick(market: Market) -> Tick | None:
    """The newest price published, or the close of the newest stored bar when that is newer; None when there is neither."""
    tick = publishing.latest(market.pk, "tick")
    assert tick is None or isinstance(tick, Tick)
    timeframe = settings.BASE_TIMEFRAME
    bar = candles.read(market, timeframe, last=1)
    if len(bar):
        closed_ms = int(bar.timestamp[-1]) + candles.length_ms(timeframe)
        if tick is None or tick.ts_ms < closed_ms:
            return Tick(market.pk, market.symbol, float(bar.close[-1]), closed_ms, source_of(market))
    return tick


def has_ticks(market_ids: Sequence[int]) -> bool:
    """Whether a live price of any of these markets has been published; False while nobody can tell."""
    return bool(publishing.newest(market_ids, ["tick"]))


def is_replayed(market_ids: Sequence[int]) -> bool:
    """Whether history of any of these markets is being played; False while nobody can tell."""
    return any(isinstance(feed, Feed) and feed.source == REPLAY for feed in publishing.newest(market_ids, ["feed"]))


def close_bar(market: Market, frame_row: CandleFrame) -> None:
    """Store a bar that has closed and say so. Raises NoHistory, candles.BadRows."""
    close_bars([(market, frame_row)])


def close_bars(bars: Sequence[tuple[Market, CandleFrame]]) -> None:
    """Store the bars that closed at one moment in one transaction, and only then tell about each of them. Raises NoHistory, candles.BadRows."""
    with transaction.atomic():
        store_bars(bars)
        for market, frame in bars:
            for timestamp in frame.timestamp.tolist():
                send_after_commit(
                    events.candle_closed, market_id=market.pk, symbol=market.symbol, timeframe=frame.timeframe, timestamp=timestamp
                )


def store_bars(bars: Sequence[tuple[Market, CandleFrame]]) -> None:
    """Store closed bars in one transaction without telling anybody: those that nothing but charts waits for. Raises NoHistory, candles.BadRows."""
    with transaction.atomic():
        # As the rows say: whoever streams for hours may hold a market whose history was removed meanwhile.
        rows = Market.objects.select_for_update().filter(pk__in={market.pk for market, _ in bars}).order_by("pk")
        held = dict(rows.values_list("pk", "provenance"))
        for market, frame in sorted(bars, key=lambda bar: bar[0].pk):  # whoever locks several markets locks them in this order
            market.provenance = held.get(market.pk, Provenance.NONE)
            if market.provenance == Provenance.NONE:
                raise NoHistory(f"symbol: {market.symbol} has no history yet; import or backfill it first", field="symbol")
            candles.ingest(market, frame, provenance=market.provenance)
