"""Candle frames for tests of this app."""

import numpy as np

from exchanges.ports import CandleFrame
from exchanges.timeframes import parse

START_MS = 1_704_067_200_000  # 2024-01-01T00:00Z


def make_frame(
    n: int = 100, *, symbol: str = "BTC/USDT:USDT", timeframe: str = "15m", start_ms: int = START_MS, seed: int = 7
) -> CandleFrame:
    """n valid bars of a random walk around 40,000."""
    rng = np.random.default_rng(seed)
    close = 40_000 * np.exp(np.cumsum(rng.normal(0, 0.002, n)))
    opened = np.concatenate(([40_000.0], close[:-1]))[:n]
    high = np.maximum(opened, close) * (1 + rng.uniform(0, 0.001, n))
    low = np.minimum(opened, close) * (1 - rng.uniform(0, 0.001, n))
    timestamp = start_ms + np.arange(n, dtype=np.int64) * parse(timeframe)
    return CandleFrame(symbol, timeframe, timestamp, opened, high, low, close, rng.uniform(1, 500, n))


def rows(frame: CandleFrame) -> list[tuple[float, ...]]:
    """The frame as plain tuples, for comparison."""
    return list(zip(*(column.tolist() for column in frame[2:]), strict=True))


def replaced(frame: CandleFrame, **columns: object) -> CandleFrame:
    """The frame with some columns exchanged (its length hides _replace of the tuple it is)."""
    return CandleFrame(**{name: columns.get(name, getattr(frame, name)) for name in CandleFrame._fields})
