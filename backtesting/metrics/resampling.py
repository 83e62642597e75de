"""How much of a result may be luck: intervals by resampling trades and days, and drawdowns that the same trades could have had. Every function
takes a seed and answers the same to the same. At most MOST_CELLS resampled values are held at a time:
memory is bounded, and they stay in the processor's cache."""

from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting.metrics.base import DAYS_A_YEAR, LEAST_DAYS_A_YEAR, F, Interval, Ints

RESAMPLES = 2_000
LEAST_CLUSTERS = 10
LEAST_BLOCK_DAYS = 3.0
"""A position lives up to two days, so the results of neighbouring days are not independent."""
MOST_CELLS = 200_000
LEAST_PATHS, MOST_PATHS, MOST_STEPS = 200, 2_000, 2_500_000
BAND = (0.05, 0.5, 0.95)
RUIN = 0.5
_NORMAL = NormalDist()


class TradeIntervals(NamedTuple):
    """95 % intervals; None where too few of the resamples, or of the trades, define the figure. expectancy_pct of notional, won 0 to 1."""

    total: Interval | None
    expectancy_pct: Interval | None
    profit_factor: Interval | None
    won: Interval | None
    clusters: int


class DayIntervals(NamedTuple):
    """95 % intervals of the annualised Sharpe ratio, of growth a year and of the deepest drawdown, both in %, and how long a mean block was."""

    sharpe: Interval | None
    cagr_pct: Interval | None
    max_drawdown_pct: Interval | None
    block_days: float


class Bands(NamedTuple):
    """5, 50 and 95 % of something over all paths."""

    low: float
    middle: float
    high: float


class Paths(NamedTuple):
    """What became of many accounts. trade: number of trades behind each of the k points; equity [k, 3]: BAND of the capital's multiple there.

    deeper: share of paths that fell deeper than the trades did in their own order; ruin: share that ever lost RUIN of the capital.
    """

    max_drawdown_pct: Bands
    trade: Ints
    equity: F
    deeper: float
    ruin: float
    paths: int


class Luck(NamedTuple):
    """The same results drawn with replacement, which asks what others of their kind would do, and in another order, which ends where they ended."""

    seen_drawdown_pct: float
    drawn: Paths
    shuffled: Paths


def trade_intervals(pnl: F, notional: F, cluster: Ints, *, resamples: int = RESAMPLES, seed: int = 7) -> TradeIntervals:
    """Bootstrap of trades, arrays [m], drawn in clusters: those of one `cluster` (a day) are drawn together, for they won and lost together.

    The intervals are bias-corrected and accelerated, with the jackknife over clusters (B. Efron, 1987, "Better bootstrap confidence
    intervals"). All None for fewer than LEAST_CLUSTERS clusters.
    """
    _, place = np.unique(cluster, return_inverse=True)
    clusters = int(place.max()) + 1 if place.shape[0] else 0
    if clusters < LEAST_CLUSTERS:
        return TradeIntervals(None, None, None, None, clusters)
    columns = (np.ones(pnl.shape[0]), pnl, pnl / notional * 100.0, np.maximum(pnl, 0.0), np.maximum(-pnl, 0.0), pnl > 0.0)
    sums: F = np.stack([np.bincount(place, weights=column, minlength=clusters).astype(np.float64) for column in columns], axis=1)
    drawn = np.concatenate([_of_sums(_cluster_sums(rng, rows, sums)) for rng, rows in _chunks(seed, resamples, clusters)])
    whole = sums.sum(axis=0, keepdims=True)
    seen, left_out = _of_sums(whole)[0], _of_sums(whole - sums)
    found = [bca(float(seen[i]), drawn[:, i], left_out[:, i]) for i in range(4)]
    return TradeIntervals(found[0], found[1], found[2], found[3], clusters)


def _cluster_sums(rng: np.random.Generator, rows: int, sums: F) -> F:
    """Sums of as many clusters as there are, drawn with replacement, [rows, columns]."""
    drawn = rng.integers(0, sums.shape[0], (rows, sums.shape[0]))
    return np.stack([np.ascontiguousarray(column)[drawn].sum(axis=1) for column in sums.T], axis=1)


def _of_sums(sums: F) -> F:
    """[rows, 4]: total, expectancy in %, profit factor (infinite without a loss), share won; of columns count, pnl, pct, gain, loss, won."""
    count, pnl, pct, gain, loss, won = sums.T
    lost = loss > 1e-12 * np.maximum(gain, 1.0)
    factor = np.where(lost, gain / np.where(lost, loss, 1.0), np.inf)
    return np.stack((pnl, pct / count, factor, won / count), axis=1)


def bca(seen: float, drawn: F, left_out: F, *, level: float = 0.95) -> Interval | None:
    """The bias-corrected and accelerated interval of a figure: `seen`, of resamples [b], and with each cluster left out [n] (B. Efron, 1987,
    equations 2.3 and 6.6). None where an end is not finite. The plain percentiles where all resamples lie on one side of `seen`."""
    if not np.isfinite(seen):
        return None
    below = (np.count_nonzero(drawn < seen) + np.count_nonzero(drawn == seen) / 2.0) / drawn.shape[0]
    tails = ((1.0 - level) / 2.0, (1.0 + level) / 2.0)
    if 0.0 < below < 1.0:
        bias, skew = _NORMAL.inv_cdf(below), _acceleration(left_out)
        tails = (_corrected(tails[0], bias, skew), _corrected(tails[1], bias, skew))
    low, high = np.quantile(drawn, tails, method="inverted_cdf")
    return Interval(float(low), float(high)) if np.isfinite(low) and np.isfinite(high) else None


def _corrected(tail: float, bias: float, skew: float) -> float:
    moved = bias + _NORMAL.inv_cdf(tail)
    return _NORMAL.cdf(bias + moved / max(1.0 - skew * moved, 1e-9))


def _acceleration(left_out: F) -> float:
    if not np.isfinite(left_out).all():
        return 0.0
    away = left_out.mean() - left_out
    spread = float(np.sum(away**2))
    return float(np.sum(away**3)) / (6.0 * spread**1.5) if spread > 1e-24 else 0.0


def stationary_rows(rng: np.random.Generator, paths: int, days: int, block: float) -> NDArray[np.int64]:
    """Row numbers [paths, days] of the stationary bootstrap (D. Politis and J. Romano, 1994): each follows the one before it, around the end,
    or begins a block anywhere, so that blocks have random lengths of mean `block`."""
    start = rng.integers(0, days, (paths, days))
    begins = rng.uniform(size=(paths, days)) < 1.0 / block
    begins[:, 0] = True
    place = np.arange(days)
    last = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    return np.asarray((np.take_along_axis(start, last, axis=1) + place - last) % days)


def block_days(days: int) -> float:
    """Mean length of a block: the cube root of the days, and long enough for what a position does to its neighbours."""
    return max(LEAST_BLOCK_DAYS, round(days ** (1.0 / 3.0), 1))


def day_intervals(returns: F, *, resamples: int = RESAMPLES, seed: int = 7) -> DayIntervals:
    """Stationary bootstrap of daily returns [days]; percentile intervals. None for fewer than LEAST_DAYS_A_YEAR days."""
    days, block = returns.shape[0], block_days(returns.shape[0])
    if days < LEAST_DAYS_A_YEAR or returns.std() < 1e-12:
        return DayIntervals(None, None, None, block)
    parts = [_of_days(returns[stationary_rows(rng, rows, days, block)]) for rng, rows in _chunks(seed, resamples, days)]
    low, high = np.quantile(np.concatenate(parts), (0.025, 0.975), axis=0, method="inverted_cdf")
    found = [Interval(float(low[i]), float(high[i])) if np.isfinite(low[i]) and np.isfinite(high[i]) else None for i in range(3)]
    return DayIntervals(found[0], found[1], found[2], block)


def _of_days(returns: F) -> F:
    """[rows, 3]: Sharpe ratio (0 where nothing varies), growth a year and deepest drawdown in %, of daily returns [rows, days]."""
    deviation = returns.std(axis=1, ddof=1)
    varies = deviation > 1e-12
    ratio = np.where(varies, returns.mean(axis=1) / np.where(varies, deviation, 1.0), 0.0) * np.sqrt(DAYS_A_YEAR)
    equity: F = np.cumprod(1.0 + returns, axis=1, dtype=np.float64)
    with np.errstate(over="ignore"):
        growth = equity[:, -1] ** (DAYS_A_YEAR / returns.shape[1])
    return np.stack((ratio, (growth - 1.0) * 100.0, _deepest_pct(equity)), axis=1)


def _deepest_pct(equity: F) -> F:
    """The deepest fall of each path [rows, n] of a capital of 1, in % of its peak."""
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    return np.asarray((1.0 - equity / peak).max(axis=1) * 100.0)


def fractions(pnl: F, capital: float) -> F:
    """Results in parts of the balance that stood before each, in the order given, [m]. What is used up loses all once, and nothing afterwards."""
    balance = np.maximum(capital + np.cumsum(pnl), 0.0)
    before = np.concatenate(([capital], balance[:-1]))
    return np.asarray(np.where(before > 0.0, balance / np.where(before > 0.0, before, 1.0) - 1.0, 0.0))


def drawdown_bands(results: F, *, points: int = 50, seed: int = 7) -> Luck | None:
    """Monte-Carlo drawdowns of trades whose results are parts of the balance, [m], each path as many trades as there were, compounded. Only the
    balance between trades is known, so falls are those of closed trades. MOST_PATHS paths, fewer for so many trades that they would take
    more than MOST_STEPS steps. None for fewer than two trades."""
    m = results.shape[0]
    if m < 2:
        return None
    paths = min(MOST_PATHS, max(LEAST_PATHS, MOST_STEPS // m))
    seen = float(_deepest_pct(np.cumprod(1.0 + results[None, :], axis=1, dtype=np.float64))[0])
    kept = np.unique(np.linspace(0, m - 1, min(m, points)).astype(np.int64))
    return Luck(seen, _paths(results, kept, paths, seed, seen, is_drawn=True), _paths(results, kept, paths, seed, seen, is_drawn=False))


def _paths(results: F, kept: Ints, paths: int, seed: int, seen: float, *, is_drawn: bool) -> Paths:
    m, falls, curves, lows = results.shape[0], [], [], []
    for rng, rows in _chunks(seed, paths, m):
        growth = 1.0 + (results[rng.integers(0, m, (rows, m))] if is_drawn else rng.permuted(np.broadcast_to(results, (rows, m)), axis=1))
        equity: F = np.cumprod(growth, axis=1, dtype=np.float64)
        falls.append(_deepest_pct(equity))
        lows.append(equity.min(axis=1))
        curves.append(equity[:, kept])
    fall, low = np.concatenate(falls), np.concatenate(lows)
    return Paths(
        Bands(*(float(end) for end in np.quantile(fall, BAND))),
        kept + 1,
        np.quantile(np.concatenate(curves), BAND, axis=0).T,
        float(np.mean(fall > seen + 1e-9)),
        float(np.mean(low <= 1.0 - RUIN + 1e-12)),
        paths,
    )


def _chunks(seed: int, rows: int, width: int) -> Iterator[tuple[np.random.Generator, int]]:
    """One generator of random numbers and how many rows of `width` to draw next, until there are `rows`."""
    rng, most = np.random.default_rng(seed), max(1, MOST_CELLS // max(width, 1))
    for done in range(0, rows, most):
        yield rng, min(most, rows - done)
