"""Storing what has closed: bars of one moment together as they were heard, the others from REST, each exactly once and in order."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from exchanges import candles, streams
from exchanges.models import Market
from exchanges.ports import BarUpdate, MarketDataVenue, VenueError
from exchanges.streams import repair
from exchanges.streams.assembly import Ask, Assembly
from traderai.lib import threads
from traderai.lib.errors import UserError

log = structlog.get_logger(__name__)

GATHER_MS = 1_500
"""Finals of one moment arrive within about a second: so long the first waits for the last."""
REST_AT_ONCE = 4
DATABASE_PAUSE_MS = 2_000
Key = tuple[str, str]


class Closer:
    """The bars of some markets. `on_closed(market, bar)` hears the newest of each step that was stored."""

    def __init__(self, venue: MarketDataVenue, timeframes: Sequence[str], on_closed: Callable[[Market, BarUpdate], None]) -> None:
        self.venue, self.timeframes, self._on_closed = venue, timeframes, on_closed
        self.markets: dict[str, Market] = {}
        self._assemblies: dict[Key, Assembly] = {}
        self._busy: dict[Key | str, asyncio.Task[None]] = {}
        self._rest = asyncio.Semaphore(REST_AT_ONCE)
        self._now_ms = self._store_again_ms = 0

    async def add(self, markets: Sequence[Market], now_ms: int) -> None:
        """Begin after each market's newest stored bar; a frame that was never stored begins with the present."""
        newest = await threads.run(_newest, markets, self.timeframes)
        for market in markets:
            for timeframe in self.timeframes:
                length_ms = candles.length_ms(timeframe)
                at_ms = newest.get((market.symbol, timeframe))
                assembly = Assembly(length_ms, now_ms // length_ms * length_ms - length_ms if at_ms is None else at_ms)
                self._assemblies[market.symbol, timeframe] = assembly
            self.markets[market.symbol] = market

    def remove(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self.markets.pop(symbol, None)
            for timeframe in self.timeframes:
                self._assemblies.pop((symbol, timeframe), None)

    def hear(self, bar: BarUpdate) -> bool:
        """False when the update tells nothing new."""
        assembly = self._assemblies.get((bar.symbol, bar.timeframe))
        return assembly is not None and assembly.hear(bar)

    def broken(self, symbols: Iterable[str]) -> None:
        """Their stream has a gap here."""
        for symbol in symbols:
            for timeframe in self.timeframes:
                if assembly := self._assemblies.get((symbol, timeframe)):
                    assembly.broken()

    def beat(self, now_ms: int) -> None:
        """Set off what is due. The work is done in threads; a step still under way is not set off again."""
        self._now_ms = now_ms
        for timeframe in sorted(self.timeframes, key=lambda name: name != settings.BASE_TIMEFRAME):
            if timeframe not in self._busy and now_ms >= self._store_again_ms:
                ready = self._ready(timeframe, now_ms)
                if ready:
                    self._start(timeframe, self._store(timeframe, ready))
            for key, assembly in self._assemblies.items():
                if key[1] == timeframe and key not in self._busy and timeframe not in self._busy and assembly.ask(now_ms):
                    self._start(key, self._ask(key, assembly))

    async def settled(self) -> None:
        """Wait for the steps under way."""
        await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def close(self) -> None:
        for task in self._busy.values():
            task.cancel()
        await self.settled()

    def _ready(self, timeframe: str, now_ms: int) -> dict[str, list[BarUpdate]]:
        """What can be stored as heard, once nobody else of that moment is waited for."""
        assemblies = {symbol: assembly for (symbol, frame), assembly in self._assemblies.items() if frame == timeframe}
        found = {symbol: assembly.ready(now_ms) for symbol, assembly in assemblies.items() if (symbol, timeframe) not in self._busy}
        ready = {symbol: bars for symbol, bars in found.items() if bars}
        if not ready:
            return {}
        closed_ms = max(bars[-1].timestamp for bars in ready.values()) + candles.length_ms(timeframe)
        return {} if len(ready) < len(assemblies) and now_ms < closed_ms + GATHER_MS else ready

    async def _store(self, timeframe: str, ready: dict[str, list[BarUpdate]]) -> None:
        try:
            refused = await threads.run(_close, [(self.markets[symbol], bars) for symbol, bars in ready.items()], timeframe)
        except DatabaseError as error:
            log.warning("bars not stored; trying again", timeframe=timeframe, error=str(error))
            self._store_again_ms = self._now_ms + DATABASE_PAUSE_MS
            return
        for symbol, bars in ready.items():
            assembly = self._assemblies.get((symbol, timeframe))
            if assembly is None:
                continue
            if symbol in refused:
                assembly.distrust()
            else:
                assembly.stored(bars[-1].timestamp)
                self._on_closed(self.markets[symbol], bars[-1])

    async def _ask(self, key: Key, assembly: Assembly) -> None:
        symbol, timeframe = key
        async with self._rest:
            wanted = assembly.ask(self._now_ms)
            market = self.markets.get(symbol)
            if wanted is None or market is None:
                return
            try:
                await self._repair(market, timeframe, assembly, wanted)
            except (VenueError, UserError, DatabaseError) as error:
                log.warning("no bars of this market", symbol=symbol, timeframe=timeframe, reason=str(error))
                assembly.failed(self._now_ms)

    async def _repair(self, market: Market, timeframe: str, assembly: Assembly, wanted: Ask) -> None:
        found = await threads.run(repair.bars, market, self.venue, timeframe, wanted.since_ms, wanted.until_ms)
        if found.newest is not None:
            assembly.stored(found.newest.timestamp)
            self._on_closed(market, found.newest)
            if found.complete_to_ms <= found.newest.timestamp:
                return
        hole = assembly.hole(found.complete_to_ms, self._now_ms)
        if hole is None:
            assembly.failed(self._now_ms)
            return
        await threads.run(repair.note_hole, market, timeframe, hole.since_ms, hole.until_ms)
        assembly.stored(hole.until_ms)

    def _start(self, key: Key | str, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._busy[key] = task
        task.add_done_callback(lambda done: self._done(key, done))

    def _done(self, key: Key | str, task: "asyncio.Task[None]") -> None:
        self._busy.pop(key, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("closing failed; trying again", key=key, exc_info=task.exception())
            self._store_again_ms = self._now_ms + DATABASE_PAUSE_MS
            if isinstance(key, tuple) and key in self._assemblies:
                self._assemblies[key].failed(self._now_ms)


def _newest(markets: Sequence[Market], timeframes: Sequence[str]) -> dict[Key, int]:
    found = {(market.symbol, timeframe): candles.last_open_ms(market, timeframe) for market in markets for timeframe in timeframes}
    return {key: at_ms for key, at_ms in found.items() if at_ms is not None}


def _close(heard: Sequence[tuple[Market, list[BarUpdate]]], timeframe: str) -> set[str]:
    """Store bars, all in one transaction if possible. Returns the symbols whose bars cannot be stored."""
    store = streams.close_bars if timeframe == settings.BASE_TIMEFRAME else streams.store_bars
    frames = [(market, repair.frame_of(bars)) for market, bars in heard]
    try:
        store(frames)
    except UserError:
        return {market.symbol for market, frame in frames if not _store_one(store, market, frame)}
    return set()


def _store_one(store: Callable[[Any], None], market: Market, frame: Any) -> bool:
    try:
        store([(market, frame)])
    except UserError as error:
        log.warning("bars heard cannot be stored; asking REST", symbol=market.symbol, timeframe=frame.timeframe, reason=str(error))
        return False
    return True
