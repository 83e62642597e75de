"""Live prices of a venue without sockets: its REST API, polled. Bars come by REST anyway then."""

import asyncio
from collections.abc import Callable, Sequence

from exchanges.ports import Channel, LiveUpdate, MarketDataVenue, Quote
from traderai.lib import threads

POLL_S = 2.0


class PolledLive:
    """exchanges.ports.LiveVenue with prices only."""

    channels: tuple[Channel, ...] = ("quotes",)
    most_symbols = 200

    def __init__(self, venue: MarketDataVenue) -> None:
        self.venue = venue

    async def watch(self, channel: Channel, symbols: Sequence[str], deliver: Callable[[LiveUpdate], None]) -> None:
        while True:
            now_ms = await threads.run(self.venue.now_ms)
            for symbol, ticker in (await threads.run(self.venue.tickers, symbols)).items():
                # Where a market closes at night its last trade is told as old as it is: no order is filled at it as if it were new.
                ts_ms = now_ms if ticker.ts_ms is None else min(now_ms, ticker.ts_ms)
                deliver(Quote(symbol, ticker.last, ts_ms, ticker.change_pct, ticker.bid, ticker.ask))
            await asyncio.sleep(POLL_S)
