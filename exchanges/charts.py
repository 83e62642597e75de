"""What a chart draws: a window of closed bars and, aligned with them, indicators that saw enough bars before it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges import candles, timeframes
from exchanges.candles import recent
from exchanges.models import Market
from exchanges.ports import CandleFrame

WARMUP_BARS = 300
"""What an exponential average of 26 bars still owes to bars farther back is below 1e-9 of it."""


class Window(NamedTuple):
    """`values` by name, each as long as `frame`, NaN where the history is too short. `has_older`: bars before the first are stored."""

    frame: CandleFrame
    values: dict[str, NDArray[np.float64]]
    has_older: bool


def window(
    market: Market, timeframe: str, *, limit: int, start_ms: int | None = None, end_ms: int | None = None, indicators: Sequence[str] = ()
) -> Window:
    """Closed bars with start_ms <= open < end_ms, of these the newest `limit`. Raises candles.UnknownTimeframe."""
    length_ms = candles.length_ms(timeframe)
    sources = _sources(market, timeframe, end_ms)
    if not sources:
        return Window(candles.read(market, timeframe, last=0), {name: np.empty(0) for name in _names(indicators)}, False)
    # Counted from the newest bar that exists: a hole longer than the window would otherwise look like the end of the history.
    newest_ms = max(extent.last_ms + candles.length_ms(name) for name, extent in sources.items())
    until_ms = -(-newest_ms // length_ms) * length_ms
    until_ms = until_ms if end_ms is None else min(end_ms, until_ms)
    found = candles.read(market, timeframe, end_ms=until_ms, last=limit + (WARMUP_BARS if indicators else 0))
    values = _compute(found, indicators)
    first = max(len(found) - limit, 0 if start_ms is None else int(np.searchsorted(found.timestamp, start_ms)))
    frame = found.slice(first, len(found))
    oldest_ms = min(extent.first_ms for extent in sources.values())
    has_older = len(found) > 0 and oldest_ms < int(found.timestamp[min(first, len(found) - 1)])
    return Window(frame, {name: column[first:] for name, column in values.items()}, has_older)


def offered(market: Market, wanted: Sequence[str]) -> list[str]:
    """Those of the timeframes that are stored or can be derived from what is."""
    stored = recent.extents(market)
    return [timeframe for timeframe in wanted if any(_serves(source, timeframe) for source in stored)]


def _sources(market: Market, timeframe: str, end_ms: int | None) -> dict[str, recent.Extent]:
    return {name: extent for name, extent in recent.extents(market, before_ms=end_ms).items() if _serves(name, timeframe)}


def _serves(source: str, timeframe: str) -> bool:
    return source == timeframe or timeframes.derives(source, timeframe)


def _names(indicators: Sequence[str]) -> list[str]:
    return [name for indicator in indicators for name in INDICATORS[indicator][0]]


def _compute(frame: CandleFrame, indicators: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    values: dict[str, NDArray[np.float64]] = {}
    for indicator in indicators:
        names, compute = INDICATORS[indicator]
        values |= dict(zip(names, compute(frame.close), strict=True))
    return values


def _rsi(close: NDArray[np.float64]) -> Sequence[NDArray[np.float64]]:
    import talib  # costs the web process a moment, and only charts need it

    return (talib.RSI(close, timeperiod=14),)


def _macd(close: NDArray[np.float64]) -> Sequence[NDArray[np.float64]]:
    import talib  # costs the web process a moment, and only charts need it

    return tuple(talib.MACD(close, fastperiod=12, slowperiod=26, signalperiod=9))


INDICATORS: dict[str, tuple[tuple[str, ...], Callable[[NDArray[np.float64]], Sequence[NDArray[np.float64]]]]] = {
    "rsi": (("rsi",), _rsi),
    "macd": (("macd", "macd_signal", "macd_histogram"), _macd),
}
"""RSI of 14 bars (Wilder); MACD of 12 and 26 bars with a signal of 9. Names of the columns, and how they are computed from closes."""
