"""Types that cross the border of this app, and the protocol a venue driver fulfils."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol

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


class Ticker(NamedTuple):
    """A market's price now: the last trade, its change over 24 h in percent (of shares since the last session's close), the best bid and
    ask; None where the venue does not tell. `ts_ms` is when that trade was, where the market closes and it may be days old."""

    last: float
    change_pct: float | None
    bid: float | None
    ask: float | None
    ts_ms: int | None = None


Levels = tuple[tuple[float, float], ...]
"""One side of an order book: (price, base coins), best first."""


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """A market as its venue describes it. Quantities are in base coins; a minimum of 0 means that the venue names none.
    `is_trading` is False for one that is delisted, halted or not yet open."""

    symbol: str
    base: str
    quote: str
    kind: str
    tick_size: float
    step_size: float
    min_notional: float
    contract_size: float = 1.0
    max_leverage: int = 20
    min_qty: float = 0.0
    is_trading: bool = True


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


class NotConfigured(VenueRefused):
    """Nobody can ask this venue here yet: the message says what to install or to set."""


class MarketDataVenue(Protocol):
    """Public market data of one venue. Safe to call from several threads at once; every request is paid for from the shared budget.

    Every method may raise VenueUnavailable; those about a symbol raise VenueRefused when the venue does not list or trade it.
    """

    def markets(self, kind: str) -> list[MarketSpec]:
        """What the venue lists of a kind: perpetual, spot or equity."""
        ...

    def timeframes(self, symbol: str) -> tuple[str, ...]:
        """Those of this product's timeframes that the venue offers."""
        ...

    def now_ms(self) -> int:
        """The venue's clock or ours, whichever is behind: bars that close after it are not closed. Raises VenueRefused when ours is wrong."""
        ...

    def page(self, symbol: str) -> int:
        """The most candles one request brings."""
        ...

    def candles(self, symbol: str, timeframe: str, since_ms: int, limit: int) -> CandleFrame:
        """At most `limit` closed candles whose open is >= since_ms, oldest first, none left out. Empty when the venue has none
        in the `limit` bars from since_ms on; further on it may have some, so a search begins at first_candle_ms."""
        ...

    def first_candle_ms(self, symbol: str, timeframe: str) -> int | None:
        """Open of the oldest candle that the venue gives; None when it has none."""
        ...

    def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        """The price of each symbol the venue lists and knows one for."""
        ...

    def book(self, symbol: str, depth: int) -> tuple[Levels, Levels]:
        """The best bids and asks, at most `depth` of each, as many as the venue offers when that is fewer."""
        ...

    def closed(self, symbol: str, first_ms: int, until_ms: int) -> tuple[tuple[int, int], ...]:
        """The spans [from, until) of first_ms <= t < until_ms in which the market was shut, in order: nothing can be missing there."""
        ...

    def funding(self, symbol: str, since_ms: int) -> Iterator[FundingFrame]:
        """Pages of funding boundaries from since_ms on, oldest first, until the venue has no more; a market without funding has none.

        Go through one iterator rather than begin a new one for each page: where a venue tells its newest rates first, the first page
        is known only when all have been read.
        """
        ...


class Quote(NamedTuple):
    """A market's newest price as a socket tells it; `ts_ms` is the venue's time of it. None where the venue does not tell."""

    symbol: str
    price: float
    ts_ms: int
    change_pct: float | None = None
    bid: float | None = None
    ask: float | None = None


class BarUpdate(NamedTuple):
    """A bar as it forms, every figure from its open on. `final`: the venue itself says that it will not change any more."""

    symbol: str
    timeframe: str
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    final: bool


class BookUpdate(NamedTuple):
    """The best levels of a market's order book as it is now."""

    symbol: str
    ts_ms: int
    bids: Levels
    asks: Levels


LiveUpdate = Quote | BarUpdate | BookUpdate
Channel = Literal["quotes", "bars", "book"]


class LiveVenue(Protocol):
    """A venue's sockets. `channels` are those it has (without "bars", closed bars come by REST), `most_symbols` what one watch may ask for."""

    channels: tuple[Channel, ...]
    most_symbols: int

    async def watch(self, channel: Channel, symbols: Sequence[str], deliver: Callable[[LiveUpdate], None]) -> None:
        """Subscribe to all symbols over as few sockets as the venue allows, and hand on every update until the connection ends.

        Never returns: raises VenueUnavailable when the connection cannot be had or ends, VenueRefused when the venue does not want it.
        Cancelled, it closes its sockets. Symbols the venue does not list (any more) stay silent.
        """
        ...


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
