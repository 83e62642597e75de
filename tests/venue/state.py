"""What the venue knows, in no dialect: its clock, instruments, candles, funding rates and order books."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock, local
from time import monotonic

import numpy as np

from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import parse
from tests.venue.book import Book, Level
from tests.venue.tape import Bar, Bars, Day, Tape, lengthened, traded

FUNDING_MS = 8 * 3_600_000


@dataclass(frozen=True)
class Instrument:
    """A linear perpetual. `contract` is what one contract holds where a venue counts in contracts, in base coins."""

    base: str
    quote: str = "USDT"
    tick_size: str = "0.10"
    step_size: str = "0.001"
    min_notional: str = "100"
    status: str = "TRADING"
    contract: str = "0.01"

    @property
    def wire_id(self) -> str:
        """The key of this instrument in the state, and Binance's name for it."""
        return f"{self.base}{self.quote}"

    @property
    def symbol(self) -> str:
        return f"{self.base}/{self.quote}:{self.quote}"


class VenueState:
    """`now_ms` is the venue's own clock: the bar it lies in is open, and is told like any other, as real venues do.

    The clock stands where it is put, or runs `speed` times as fast as ours. `skew_ms` is how far off the time is that the venue tells.
    A market that `walks` tells of the open bar only what has been traded by now, and has shorter bars than those it was given; one that
    does not tells the open bar as it was given.
    """

    def __init__(self, now_ms: int, *, speed: float = 0.0, walks: bool = False) -> None:
        self.instruments: dict[str, Instrument] = {}
        self.candles: dict[tuple[str, str], CandleFrame] = {}
        self.funding: dict[str, FundingFrame] = {}
        self.walks = walks
        self.skew_ms = 0
        self._clock = (now_ms, monotonic(), speed)
        self._tapes: dict[str, tuple[list[CandleFrame], Tape]] = {}
        self._books: dict[str, Book] = {}
        self._by_hand: set[str] = set()
        self._lock = RLock()
        self._pinned = local()

    @property
    def now_ms(self) -> int:
        pinned: int | None = getattr(self._pinned, "ms", None)
        if pinned is not None:
            return pinned
        set_ms, at_s, speed = self._clock
        return set_ms + int((monotonic() - at_s) * 1000.0 * speed) if speed else set_ms

    @now_ms.setter
    def now_ms(self, now_ms: int) -> None:
        self._clock = (now_ms, monotonic(), self.speed)
        if getattr(self._pinned, "ms", None) is not None:
            self._pinned.ms = now_ms

    @contextmanager
    def at(self, now_ms: int) -> Iterator[None]:
        """For this thread it is one instant: what is told together, such as a bar and whether it is closed, is of one moment."""
        self._pinned.ms = now_ms
        try:
            yield
        finally:
            self._pinned.ms = None

    @property
    def speed(self) -> float:
        return self._clock[2]

    @speed.setter
    def speed(self, speed: float) -> None:
        self._clock = (self.now_ms, monotonic(), speed)

    @property
    def told_ms(self) -> int:
        """What the venue says when asked for the time."""
        return self.now_ms + self.skew_ms

    def enlist(self, instrument: Instrument, *frames: CandleFrame, funding: FundingFrame | None = None) -> None:
        """List an instrument with its history."""
        self.instruments[instrument.wire_id] = instrument
        for frame in frames:
            self.candles[instrument.wire_id, frame.timeframe] = frame
        if funding is not None:
            self.funding[instrument.wire_id] = funding

    def trade(self, wire_id: str, price: float) -> None:
        """A trade at this price, now. What was to come is dropped: from here on the price goes only where it is traded to.
        Raises ValueError."""
        with self._lock:
            now_ms, tape = self.now_ms, self._tape(wire_id)
            if tape is None:
                raise ValueError(f"symbol: {wire_id!r} has no candles to trade after")
            for timeframe, frame in tape.frames.items():
                self.candles[wire_id, timeframe] = traded(frame, price, now_ms, tape.forming(timeframe, now_ms))
            self._by_hand.add(wire_id)

    def bars(self, wire_id: str, timeframe: str, start_ms: int, end_ms: int | None, limit: int, *, newest: bool = False) -> Bars:
        """(timestamp, open, high, low, close, volume) whose open is in start_ms..end_ms, oldest first, the open bar included.

        Of more than `limit` the oldest ones, or the `newest`. A timeframe that is not kept is put together from the finest that is.
        """
        tape, now_ms = self._tape(wire_id), self.now_ms
        if tape is None:
            return []
        return tape.bars(timeframe, start_ms, now_ms if end_ms is None else min(end_ms, now_ms), limit, now_ms, newest=newest)

    def forming(self, wire_id: str, timeframe: str) -> Bar | None:
        """The open bar as it stands; None where nothing has been traded in it."""
        tape = self._tape(wire_id)
        return tape.forming(timeframe, self.now_ms) if tape else None

    def finest(self, wire_id: str) -> str | None:
        """The shortest timeframe that was given."""
        tape = self._tape(wire_id)
        return tape.base.timeframe if tape else None

    def price(self, wire_id: str) -> float | None:
        """The last traded price; None where nobody has traded yet."""
        tape = self._tape(wire_id)
        return tape.price(self.now_ms) if tape else None

    def last_day(self, wire_id: str) -> Day | None:
        """The last 24 hours, the open bar of the finest timeframe included; None where nothing was traded."""
        tape = self._tape(wire_id)
        return tape.day(self.now_ms) if tape else None

    def book(self, wire_id: str, *, stir: bool = False) -> Book | None:
        """The order book around the price of this moment; `stir`: quantities change though the price does not. None without a price."""
        price = self.price(wire_id)
        if not price:
            return None
        with self._lock:
            if wire_id not in self._books:
                instrument = self.instruments[wire_id]
                self._books[wire_id] = Book(wire_id, instrument.tick_size, instrument.step_size)
            self._books[wire_id].follow(price, self.told_ms, stir=stir)
            return self._books[wire_id]

    def levels(self, wire_id: str, count: int) -> tuple[list[Level], list[Level]]:
        """The best bids and asks as (price, base coins), best first; none without a price."""
        book = self.book(wire_id)
        return book.levels(count) if book else ([], [])

    def funding_rates(self, wire_id: str, start_ms: int, end_ms: int | None = None) -> list[tuple[int, float]]:
        """(boundary, rate) settled in start_ms..end_ms, oldest first."""
        rates = self.funding.get(wire_id)
        if rates is None:
            return []
        last_ms = self.now_ms if end_ms is None else min(end_ms, self.now_ms)
        wanted = (rates.timestamp >= start_ms) & (rates.timestamp <= last_ms)
        return list(zip(rates.timestamp[wanted].tolist(), rates.rate[wanted].tolist(), strict=True))

    def next_funding(self, wire_id: str) -> tuple[int, float]:
        """(boundary, rate) that is coming: the scripted one, or the last rate at the next 8 h boundary."""
        rates, now_ms = self.funding.get(wire_id), self.now_ms
        coming = int(np.searchsorted(rates.timestamp, now_ms, side="right")) if rates is not None else 0
        if rates is not None and coming < len(rates.timestamp):
            return int(rates.timestamp[coming]), float(rates.rate[coming])
        return (now_ms // FUNDING_MS + 1) * FUNDING_MS, float(rates.rate[-1]) if rates is not None and len(rates.rate) else 0.0001

    def closed(self, wire_id: str, timeframe: str) -> CandleFrame:
        """What a client that keeps only closed bars should end with."""
        frame = self.candles[wire_id, timeframe]
        return frame.slice(0, int((frame.timestamp + parse(timeframe) <= self.now_ms).sum()))

    def _tape(self, wire_id: str) -> Tape | None:
        """What is traded. Whoever exchanges a frame of the state gets another tape."""
        with self._lock:
            frames = [frame for (owner, _), frame in list(self.candles.items()) if owner == wire_id and len(frame)]
            if not frames:
                return None
            by_hand = wire_id in self._by_hand
            if by_hand:
                frames = [lengthened(frame, self.now_ms) for frame in frames]
                self.candles |= {(wire_id, frame.timeframe): frame for frame in frames}
            known = self._tapes.get(wire_id)
            if known is None or len(known[0]) != len(frames) or any(a is not b for a, b in zip(known[0], frames, strict=True)):
                tick = float(self.instruments[wire_id].tick_size)
                known = self._tapes[wire_id] = (frames, Tape(frames, tick, walks=self.walks and not by_hand))
            return known[1]
