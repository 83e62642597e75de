"""How pages of markets write what they show: prices, large amounts, funding, streams and small drawings."""

from datetime import datetime
from math import floor, isfinite, log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges.models import Market
from exchanges.ports import CandleFrame
from exchanges.quotes import Funding, Quote
from traderai.lib import clock

SIGNIFICANT = 7
MOST_PLACES = 8
UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
SPARK_WIDTH, SPARK_HEIGHT = 96.0, 28.0
BAR_HEIGHT = 60.0

SOURCES = {
    "simulated": ("sim", "SIMULATED MARKET", "generated prices, from no venue"),
    "replay": ("warn", "REPLAY", "imported history played as if it were now"),
    "file": ("paper", "HISTORY", "imported history"),
    "none": ("", "", "no candles yet"),
    "venue": ("", "", "from the venue's public API"),
}
FEEDS = {"live": ("ok", "live"), "stale": ("warn", "stale since"), "down": ("bad", "down since")}


class Label(NamedTuple):
    """A badge: its tone (a modifier of .badge), its words, and the moment they speak of."""

    tone: str
    text: str
    at: datetime | None = None


class Column(NamedTuple):
    """One funding boundary in the drawing of them, in its units."""

    x: float
    y: float
    height: float
    rate_pct: float
    at: datetime


def places(market: Market, price: float | None) -> int:
    """Decimals of a price: the tick's, yet no more than seven significant digits, for ticks that nobody told."""
    exponent = market.tick_size.normalize().as_tuple().exponent
    by_tick = max(0, -exponent) if isinstance(exponent, int) else 0
    if not price or not isfinite(price) or price < 0:
        return min(by_tick, MOST_PLACES)
    return max(0, min(by_tick, MOST_PLACES, SIGNIFICANT - 1 - floor(log10(price))))


def qty_places(market: Market) -> int:
    """Decimals of a quantity in the book."""
    exponent = market.step_size.normalize().as_tuple().exponent
    return min(max(0, -exponent), 4) if isinstance(exponent, int) else 0


def compact(amount: float | None) -> str:
    """1234567.8 as 1.23 M; an empty text for what is not known."""
    if amount is None or not isfinite(amount):
        return ""
    for size, unit in UNITS:
        if abs(amount) >= size:
            return f"{amount / size:.2f} {unit}"
    return f"{amount:.2f}"


def stream(quote: Quote) -> Label:
    """How good the market's stream is."""
    if quote.feed is None:
        return Label("", "no stream")
    tone, text = FEEDS[quote.feed.state]
    heard = clock.from_ms(quote.feed.ts_ms) if quote.feed.ts_ms else None
    if quote.feed.state == "live":
        return Label(tone, text)
    return Label(tone, text, heard) if heard else Label(tone, text.removesuffix(" since"))


def origin(source: str) -> Label:
    """What kind of market it is, where that is not a venue's own."""
    tone, text, _ = SOURCES[source]
    return Label(tone, text)


def funding_title(funding: Funding) -> str:
    """The rate for a year, and whose it is."""
    payer = "longs pay shorts" if funding.rate > 0 else "shorts pay longs" if funding.rate < 0 else "nobody pays"
    at = f"{clock.from_ms(funding.at_ms):%-d %b %H:%M} UTC"
    if funding.annual_pct is None:
        return f"{payer}; at {at}"
    return f"{funding.annual_pct:+.1f} % a year, {payer}; every {funding.interval_h:g} h, last at {at}"


def spark(bars: CandleFrame | None) -> str:
    """The closes as points of a polyline in a box of 96 by 28; an empty text when there are not two."""
    if bars is None or len(bars) < 2:
        return ""
    at = bars.timestamp - bars.timestamp[0]
    low, high = float(bars.close.min()), float(bars.close.max())
    x = at / at[-1] * SPARK_WIDTH
    y = 1.0 + (high - bars.close) / ((high - low) or 1.0) * (SPARK_HEIGHT - 2.0)
    return " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x.tolist(), y.tolist(), strict=True))


def funding_columns(at_ms: NDArray[np.int64], rates: NDArray[np.float64]) -> list[Column]:
    """Rates as columns above and below the middle of a box 60 high; ten units apart."""
    largest = float(np.abs(rates).max()) if len(rates) else 0.0
    columns = []
    for i, (at, rate) in enumerate(zip(at_ms.tolist(), rates.tolist(), strict=True)):
        height = max(0.5, abs(rate) / (largest or 1.0) * BAR_HEIGHT / 2)
        top = BAR_HEIGHT / 2 - (height if rate >= 0 else 0.0)
        columns.append(Column(i * 10.0, round(top, 2), round(height, 2), rate * 100.0, clock.from_ms(at)))
    return columns
