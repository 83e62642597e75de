"""A generated market for demonstrations, in regimes that persist long enough for a learner to find something honestly.

Log prices follow a shared factor (Bitcoin's path) and a path of each symbol's own. Every path changes between a bull, a bear,
a sideways and a volatile regime; returns have fat tails (Student's t), their volatility clusters (AR(1) in its logarithm,
Taylor 1986) and follows the hour of the day; a bar's extremes are drawn from the Brownian bridge between its open and its close
(Asmussen, Glynn and Pitman 1995). Volume rises with volatility. Deterministic by (seed, symbol). Nothing here is a real price:
whoever stores it marks the market as simulated.
"""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import parse

Array = NDArray[np.float64]

BASE_TIMEFRAME = "15m"
FUNDING_MS = 8 * 3_600_000
NEUTRAL_FUNDING = 0.0001  # per 8 h, what venues charge when perpetual and index agree

# Rough levels of 2024, so that tick sizes, minimum notionals and charts look right.
PRICE_LEVELS = {
    "BTC": 62_000.0,
    "ETH": 3_100.0,
    "BNB": 580.0,
    "SOL": 150.0,
    "XRP": 0.58,
    "ADA": 0.45,
    "DOGE": 0.14,
    "LTC": 82.0,
    "LINK": 14.0,
    "AVAX": 30.0,
    "DOT": 6.5,
    "TRX": 0.13,
    "BCH": 420.0,
    "ETC": 25.0,
    "UNI": 8.5,
    "ATOM": 7.5,
    "NEAR": 5.5,
    "FIL": 5.0,
    "APT": 8.0,
    "ARB": 0.9,
    "OP": 1.9,
    "SUI": 1.3,
    "AAVE": 110.0,
    "INJ": 23.0,
}
DAILY_TURNOVER = {"BTC": 9e9, "ETH": 6e9, "SOL": 2e9}  # quote currency; the others share OTHER_TURNOVER
OTHER_TURNOVER = 4e8


class Regime(NamedTuple):
    """Per base bar: drift in standard deviations, share of the last return that carries on, pull to the moving anchor, volatility factor, mean length in bars."""

    drift: float
    momentum: float
    pull: float
    volatility: float
    mean_bars: float


BULL = Regime(0.11, 0.08, 0.0, 0.95, 900)
BEAR = Regime(-0.1155, 0.08, 0.0, 1.1, 765)
SIDEWAYS = Regime(0.0, -0.06, 0.025, 0.75, 630)
VOLATILE = Regime(0.0, 0.0, 0.004, 1.6, 110)
REGIMES = (BULL, BEAR, SIDEWAYS, VOLATILE)
REGIME_SHARES = (0.31, 0.29, 0.27, 0.13)

FACTOR_SIGMA = 0.0021  # of a base bar's log return
OWN_SIGMA = 0.0021
ANCHOR_SPEED = 0.01
HOME_PULL = 2e-4  # to the price level, so that a year's path stays in its range
VOLATILITY_MEMORY = 0.985
VOLATILITY_SPREAD = 0.28
TAIL_DEGREES = 5.0


class _Noise(NamedTuple):
    """Everything random about one path, each float64[n]."""

    shock: Array
    sigma: Array
    drift: Array
    momentum: Array
    pull: Array


def generate(symbols: Sequence[str], start_ms: int, bars: int, seed: int, *, timeframe: str = BASE_TIMEFRAME) -> list[CandleFrame]:
    """One frame per symbol, `bars` base bars from start_ms (moved down to the grid) on."""
    if bars <= 0 or not symbols:
        raise ValueError("bars and symbols: ask for at least one of each")
    step_ms = parse(timeframe)
    timestamp = start_ms // step_ms * step_ms + np.arange(bars, dtype=np.int64) * step_ms
    noises = [_noise(_rng(seed, "factor"), timestamp, FACTOR_SIGMA)]
    noises += [_noise(_rng(seed, symbol), timestamp, OWN_SIGMA) for symbol in symbols]
    paths = _walk(noises)
    return [
        _frame(symbol, timeframe, timestamp, paths[:, 0], paths[:, i], noises[0], noises[i], seed) for i, symbol in enumerate(symbols, 1)
    ]


def funding(frame: CandleFrame, seed: int) -> FundingFrame:
    """Rates at 00, 08 and 16 h UTC: the neutral rate plus a premium that follows the last 8 h of the price. Known only from the past of each boundary."""
    step_ms = parse(frame.timeframe)
    at = frame.timestamp[frame.timestamp % FUNDING_MS == 0]
    index = np.searchsorted(frame.timestamp, at)
    behind = np.maximum(index - FUNDING_MS // step_ms, 0)
    move = np.log(frame.open[index] / frame.open[behind])
    noise = _rng(seed, f"{frame.symbol} funding").normal(0.0, 2e-5, at.shape[0])
    return FundingFrame(at, np.round(np.clip(NEUTRAL_FUNDING + 0.008 * move + noise, -0.003, 0.003), 8))


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _noise(rng: np.random.Generator, timestamp: NDArray[np.int64], sigma: float) -> _Noise:
    n = int(timestamp.shape[0])
    regime = _regimes(rng, n)
    shock = rng.standard_t(TAIL_DEGREES, n) / np.sqrt(TAIL_DEGREES / (TAIL_DEGREES - 2))
    hour = (timestamp % 86_400_000) / 3_600_000
    season = 1.0 + 0.25 * np.sin((hour - 8.0) * np.pi / 12.0)  # busiest about 14 h UTC
    clustered = np.exp(_ar1(rng.standard_normal(n)) * VOLATILITY_SPREAD - VOLATILITY_SPREAD**2 / 2)
    table = np.array(REGIMES)
    return _Noise(
        np.clip(shock, -8, 8), sigma * season * clustered * table[regime, 3], table[regime, 0], table[regime, 1], table[regime, 2]
    )


def _regimes(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    """int64[n]: index of the regime at each bar; lengths are geometric, and no regime follows itself."""
    path = np.empty(n, np.int64)
    at, current = 0, int(rng.choice(4, p=REGIME_SHARES))
    while at < n:
        length = 24 + int(rng.geometric(1.0 / REGIMES[current].mean_bars))
        path[at : at + length] = current
        at += length
        shares = np.array(REGIME_SHARES)
        shares[current] = 0.0
        current = int(rng.choice(4, p=shares / shares.sum()))
    return path


def _ar1(innovations: Array) -> Array:
    """Stationary AR(1) of unit variance, by blocks of a truncated kernel (0.985^600 is 1e-4)."""
    lags = VOLATILITY_MEMORY ** np.arange(600)
    scale = np.sqrt(1.0 - VOLATILITY_MEMORY**2)
    warm = np.concatenate((np.zeros(lags.shape[0] - 1), innovations))
    size = 1 << (warm.shape[0] + lags.shape[0] - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(warm, size) * np.fft.rfft(lags, size), size)
    return np.asarray(product[lags.shape[0] - 1 : lags.shape[0] - 1 + innovations.shape[0]] * scale)


def _walk(noises: Sequence[_Noise]) -> Array:
    """Log paths from 0, float64[n, len(noises)]: all symbols together, one step of plain arithmetic per bar."""
    shock, sigma, drift, momentum, pull = (np.column_stack(columns) for columns in zip(*noises, strict=True))
    planned = sigma * (drift + shock)
    n, width = planned.shape
    paths = np.empty((n, width))
    level, anchor, last = np.zeros(width), np.zeros(width), np.zeros(width)
    for i in range(n):
        last = planned[i] + momentum[i] * last - pull[i] * (level - anchor) - HOME_PULL * level
        level = level + last
        anchor = anchor + ANCHOR_SPEED * (level - anchor)
        paths[i] = level
    return paths


def _frame(
    symbol: str, timeframe: str, timestamp: NDArray[np.int64], factor: Array, own: Array, factor_noise: _Noise, own_noise: _Noise, seed: int
) -> CandleFrame:
    base = symbol.partition("/")[0]
    rng = _rng(seed, f"{symbol} bars")
    beta, share = (1.0, 0.25) if base == "BTC" else (0.85 + 0.4 * rng.random(), 0.8 + 0.3 * rng.random())
    log_close = beta * factor + share * own
    sigma = np.sqrt((beta * factor_noise.sigma) ** 2 + (share * own_noise.sigma) ** 2)
    log_open = np.concatenate(([0.0], log_close[:-1]))
    log_high, log_low = _extremes(rng, log_open, log_close, sigma)
    level = PRICE_LEVELS.get(base) or 0.5 * 10 ** (2 * rng.random())
    opened, high, low, close = (np.round(level * np.exp(path), _decimals(level)) for path in (log_open, log_high, log_low, log_close))
    turnover = DAILY_TURNOVER.get(base, OTHER_TURNOVER) * parse(timeframe) / 86_400_000
    activity = (
        (sigma / np.median(sigma)) ** 1.3
        * (1 + np.abs(log_close - log_open) / sigma)
        * np.exp(rng.normal(-0.06, 0.35, sigma.shape[0]))
        / 1.8
    )
    volume = np.round(turnover * activity / close, 3)
    return CandleFrame(symbol, timeframe, timestamp, opened, high, low, close, volume)


def _extremes(rng: np.random.Generator, start: Array, end: Array, sigma: Array) -> tuple[Array, Array]:
    """Highest and lowest log price of a Brownian bridge with the bar's volatility: (a + b +- sqrt((b - a)^2 - 2 s^2 ln U)) / 2."""
    n = start.shape[0]
    spread = 2.0 * sigma**2
    up = np.sqrt((end - start) ** 2 - spread * np.log(1.0 - rng.random(n)))
    down = np.sqrt((end - start) ** 2 - spread * np.log(1.0 - rng.random(n)))
    return (start + end + up) / 2, (start + end - down) / 2


def _decimals(level: float) -> int:
    """Five significant digits and one more, as venues quote."""
    return max(0, 5 - int(np.floor(np.log10(level))))
