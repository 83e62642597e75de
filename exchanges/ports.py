"""Types that cross the border of this app, and the protocol a venue driver fulfils."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

DEFAULT_SHARES = (0.30, 0.40, 0.30)
"""What each take-profit closes of the opened quantity, and the longest a position is held: requirement S4."""
MAX_HOLD_MS = 48 * 3_600_000


class CandleFrame(NamedTuple):
    """One series as arrays of equal length n, oldest first, closed bars only.

    timestamp: int64, OPEN of the bar in ms UTC, strictly increasing on the timeframe's grid. The others float64; volume in base coins.
    """

    symbol: str
    timeframe: str
    timestamp: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.timestamp.shape[0])

    def slice(self, start: int, stop: int) -> "CandleFrame":
        """Rows start..stop as views."""
        rows = slice(start, stop)
        return CandleFrame(
            self.symbol,
            self.timeframe,
            self.timestamp[rows],
            self.open[rows],
            self.high[rows],
            self.low[rows],
            self.close[rows],
            self.volume[rows],
        )


class FundingFrame(NamedTuple):
    """Funding boundaries: timestamp int64 ms UTC, rate float64 (fraction per interval, positive: longs pay)."""

    timestamp: NDArray[np.int64]
    rate: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """A market as its venue describes it."""

    symbol: str
    base: str
    quote: str
    kind: str
    tick_size: float
    step_size: float
    min_notional: float
    contract_size: float = 1.0
    max_leverage: int = 20


@dataclass(frozen=True, slots=True)
class EntryPlan:
    """What whoever wants a position asks for: prices in quote currency, times in ms UTC. `decided_ms` is the close of the deciding
    bar: no fill may be earlier. `shares` of the opened quantity leave at TP1, TP2, TP3."""

    reference_price: float
    stop: float
    tp1: float
    tp2: float
    tp3: float
    trail_distance: float
    max_hold_ms: int
    decided_ms: int
    shares: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class VenueFill:
    """One execution as its venue tells it. `trade_id` is the venue's own, unique per account."""

    trade_id: str
    qty: Decimal
    price: Decimal
    fee: Decimal
    maker: bool
    ts_ms: int


class VenueError(Exception):
    """A venue could not do what was asked; the message says why, without URLs or keys."""


class VenueUnavailable(VenueError):
    """Network trouble, rate limit or 5xx: trying again later may help, not before `retry_after_s` when the venue said so."""

    retry_after_s: float | None = None


class VenueRefused(VenueError):
    """The venue understood and said no: trying again will not help."""


class MarketDataVenue(Protocol):
    """Public market data of one venue."""

    def markets(self, kind: str) -> list[MarketSpec]:
        """What the venue lists of a kind: perpetual or spot."""
        ...

    def now_ms(self) -> int:
        """The venue's clock or ours, whichever is behind: bars that close after it are not closed."""
        ...

    def page(self, symbol: str) -> int:
        """The most candles one request brings."""
        ...

    def candles(self, symbol: str, timeframe: str, since_ms: int, limit: int) -> CandleFrame:
        """At most `limit` closed candles whose open is >= since_ms, oldest first; empty when there are none."""
        ...

    def prices(self, symbols: Sequence[str]) -> dict[str, float]:
        """The last traded price of each symbol the venue knows one for."""
        ...

    def funding(self, symbol: str, since_ms: int) -> Iterator[FundingFrame]: ...


class TradingVenue(Protocol):
    """A venue's order desk. Every method may talk to the network, so none is called inside a transaction."""

    def is_ready(self, order: Any) -> bool:
        """Whether the order may be sent now; False leaves it waiting."""
        ...

    def place(self, order: Any) -> list[VenueFill]:
        """Send the order and return its fills. Raises VenueRefused (it never became an order) or VenueUnavailable (nobody knows)."""
        ...

    def find(self, order: Any) -> list[VenueFill] | None:
        """What became of the order's client id: its fills, or None as proof that it never arrived. Raises VenueUnavailable."""
        ...
