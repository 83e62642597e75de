"""What a live market tells, in one shape from the venue's socket to the browser's. Pure data: numbers, text, no rows.

`source` says where an update comes from and travels with it to the page: venue, replay or simulated. `ts_ms` is market time, which in
a replay is not the wall clock's. Of several updates with one `key` only the newest matters.
"""

from typing import Any, Literal, NamedTuple

Source = str
FeedHealth = Literal["live", "stale", "down"]


class Tick(NamedTuple):
    """A market's newest price. `change_pct` over 24 h in percent; bid and ask are the best ones; None where the source does not tell."""

    market_id: int
    symbol: str
    price: float
    ts_ms: int
    source: Source
    change_pct: float | None = None
    bid: float | None = None
    ask: float | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        return ("tick", self.market_id)


class Bar(NamedTuple):
    """A bar as it forms, and once more with `closed` when it is final. `timestamp` is its open in ms."""

    market_id: int
    symbol: str
    timeframe: str
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool
    source: Source

    @property
    def key(self) -> tuple[Any, ...]:
        return ("bar", self.market_id, self.timeframe)


class Book(NamedTuple):
    """The best levels of an order book: (price, base quantity) pairs, best first."""

    market_id: int
    symbol: str
    ts_ms: int
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]
    source: Source

    @property
    def key(self) -> tuple[Any, ...]:
        return ("book", self.market_id)


class Feed(NamedTuple):
    """How good the market's stream is: live; stale (open, yet silent for too long); down (no connection). `ts_ms` is when it was last heard."""

    market_id: int
    symbol: str
    state: FeedHealth
    ts_ms: int
    source: Source

    @property
    def key(self) -> tuple[Any, ...]:
        return ("feed", self.market_id)


Update = Tick | Bar | Book | Feed


def message(update: Update) -> dict[str, Any]:
    """The update as the JSON object that sockets carry: {"type": "tick", ...its fields}."""
    return {"type": update.key[0], **update._asdict()}
