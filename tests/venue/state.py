"""What the venue knows, in no dialect: its clock, instruments, candles and funding rates."""

from dataclasses import dataclass, field

from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import parse

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Instrument:
    """A linear perpetual."""

    base: str
    quote: str = "USDT"
    tick_size: str = "0.10"
    step_size: str = "0.001"
    min_notional: str = "100"
    status: str = "TRADING"

    @property
    def wire_id(self) -> str:
        return f"{self.base}{self.quote}"

    @property
    def symbol(self) -> str:
        return f"{self.base}/{self.quote}:{self.quote}"


@dataclass
class VenueState:
    """`now_ms` is the venue's own clock: the bar it lies in is open, and is told like any other, as real venues do."""

    now_ms: int
    instruments: dict[str, Instrument] = field(default_factory=dict)
    candles: dict[tuple[str, str], CandleFrame] = field(default_factory=dict)
    funding: dict[str, FundingFrame] = field(default_factory=dict)

    def enlist(self, instrument: Instrument, *frames: CandleFrame, funding: FundingFrame | None = None) -> None:
        """List an instrument with its history."""
        self.instruments[instrument.wire_id] = instrument
        for frame in frames:
            self.candles[instrument.wire_id, frame.timeframe] = frame
        if funding is not None:
            self.funding[instrument.wire_id] = funding

    def bars(self, wire_id: str, timeframe: str, start_ms: int, end_ms: int | None, limit: int) -> list[tuple[float, ...]]:
        """(timestamp, open, high, low, close, volume) from start_ms on, oldest first, the open bar included."""
        frame = self.candles.get((wire_id, timeframe))
        if frame is None:
            return []
        wanted = (frame.timestamp >= start_ms) & (frame.timestamp <= self.now_ms)
        if end_ms is not None:
            wanted &= frame.timestamp <= end_ms
        return list(zip(*(column[wanted][:limit].tolist() for column in frame[2:]), strict=True))

    def last_day(self, wire_id: str) -> list[tuple[float, ...]]:
        """Bars of the finest timeframe known that opened in the last 24 hours, the open one included; its close is the last price."""
        known = sorted((timeframe for owner, timeframe in self.candles if owner == wire_id), key=parse)
        return self.bars(wire_id, known[0], self.now_ms - DAY_MS + 1, None, DAY_MS) if known else []

    def closed(self, wire_id: str, timeframe: str) -> CandleFrame:
        """What a client that keeps only closed bars should end with."""
        frame = self.candles[wire_id, timeframe]
        return frame.slice(0, int((frame.timestamp + parse(timeframe) <= self.now_ms).sum()))
