"""Seeded candles for the tests of features, labels and training."""

import numpy as np

from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import TIMEFRAME_MS

START_MS = 1_672_531_200_000  # 2023-01-01T00:00Z
HOUR_MS = 3_600_000


def make_series(
    n: int,
    *,
    symbol: str = "ETH/USDT:USDT",
    timeframe: str = "15m",
    seed: int = 7,
    start_ms: int = START_MS,
    price: float = 2_000.0,
    pull: float = 0.0,
) -> CandleFrame:
    """n bars of a random walk with changing volatility. `pull` > 0 makes moves of the last 8 hours go on: something to learn."""
    rng = np.random.default_rng(seed)
    sigma = 0.003 * np.exp(0.5 * np.sin(np.arange(n) / 400.0) + rng.normal(0.0, 0.1, n))
    noise = rng.normal(0.0, 1.0, n) * sigma
    returns = np.zeros(n)
    drift = 0.0
    for i in range(n):
        returns[i] = noise[i] + pull * drift
        drift += (returns[i] - drift) / 32.0
    close = price * np.exp(np.cumsum(returns))
    opened = np.concatenate(([price], close[:-1])) * (1.0 + rng.normal(0.0, 1e-4, n))
    high = np.maximum(opened, close) * (1.0 + rng.exponential(0.0008, n))
    low = np.minimum(opened, close) * (1.0 - rng.exponential(0.0008, n))
    volume = rng.lognormal(3.0, 1.0, n) * (1.0 + 200.0 * np.abs(returns))
    timestamp = start_ms + np.arange(n, dtype=np.int64) * TIMEFRAME_MS[timeframe]
    return CandleFrame(symbol, timeframe, timestamp, opened, high, low, close, volume)


def make_funding(frame: CandleFrame, *, seed: int = 3) -> FundingFrame:
    """A rate every 8 hours over the frame's span."""
    first = -(-int(frame.timestamp[0]) // (8 * HOUR_MS)) * 8 * HOUR_MS
    ms = np.arange(first, int(frame.timestamp[-1]), 8 * HOUR_MS, dtype=np.int64)
    return FundingFrame(ms, np.random.default_rng(seed).normal(1e-4, 5e-5, ms.size))


def picked(frame: CandleFrame, rows: object) -> CandleFrame:
    """Some rows of a frame."""
    return CandleFrame(frame.symbol, frame.timeframe, *(column[rows] for column in frame[2:]))


def changed(frame: CandleFrame, **columns: object) -> CandleFrame:
    """The frame with other columns."""
    return CandleFrame(**{name: columns.get(name, getattr(frame, name)) for name in CandleFrame._fields})


def candle_table(text: str, *, start_ms: int = START_MS, step_ms: int = 900_000) -> CandleFrame:
    """Bars from lines of `open high low close`."""
    rows = np.array([[float(cell) for cell in line.split()] for line in text.strip().splitlines()])
    timestamp = start_ms + np.arange(rows.shape[0], dtype=np.int64) * step_ms
    return CandleFrame("ETH/USDT:USDT", "15m", timestamp, *(np.ascontiguousarray(rows[:, k]) for k in range(4)), np.ones(rows.shape[0]))
