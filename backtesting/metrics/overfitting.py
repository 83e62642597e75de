"""How far the best of many tries may be believed."""

from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from backtesting.metrics.base import F, Ints
from signals import deflated

BLOCKS = 16
SPLITS_AT_A_TIME = 128
_NORMAL = NormalDist()


class Overfit(NamedTuple):
    """Of `splits` ways to choose the best of the combinations on one half of the blocks and look at it on the other.

    probability: share of splits in which the chosen one was below the middle outside (PBO). logits [splits]: of its relative rank outside,
    negative below the middle. slope: of its ratio outside by its ratio inside, per one of the latter (None when those do not differ);
    below 0 means that choosing harder did worse. loss: share of splits in which it lost money outside. inside, outside: mean ratios of the
    chosen one, not annualised.
    """

    probability: float
    logits: F
    slope: float | None
    loss: float
    inside: float
    outside: float
    splits: int


class Deflated(NamedTuple):
    """The best of `trials`: its ratio, what the best of as many tries without skill shows (both of one period, not annualised), and the chance
    that the true ratio is above 0 (deflated Sharpe ratio). least_returns: the returns needed to be 95 % sure that the ratio is above 0, had it
    been the only try; None when no number would do."""

    sharpe: float
    by_chance: float
    probability: float
    least_returns: float | None
    trials: int


class Neighbourhood(NamedTuple):
    """The best cell of a grid and the up to 8 around it. profitable: share of neighbours above 0; ratio: their mean over the best (None when the
    best is not above 0); middle: the cell whose mean with its neighbours is highest, and that mean: a plateau rather than a peak."""

    best: tuple[int, int]
    value: float
    neighbours: int
    profitable: float | None
    ratio: float | None
    middle: tuple[int, int]
    middle_mean: float


def pbo(returns: F, *, blocks: int = BLOCKS) -> Overfit | None:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation (D. Bailey, J. Borwein, M. Lopez de Prado, Q. Zhu,
    "The probability of backtest overfitting", Journal of Computational Finance 20(4), 2017).

    returns -- of every combination tried by day, [days, combinations]. The oldest days that do not fill `blocks` equal blocks are left out.
    Performance is the Sharpe ratio, 0 where nothing varies; ranks of equals are their mean. None for fewer than two combinations, or two
    days a block. Raises ValueError for a number of blocks that is not even, or over 20 (184,756 splits).
    """
    if blocks < 2 or blocks % 2 or blocks > 20:
        raise ValueError(f"blocks: {blocks} has to be even, at least 2 and at most 20")
    size, tried = returns.shape[0] // blocks, returns.shape[1]
    if size < 2 or tried < 2:
        return None
    parts = returns[-size * blocks :].reshape(blocks, size, tried)
    sums, squares = _subsets(parts.sum(axis=1)), _subsets((parts**2).sum(axis=1))
    chosen = np.array([sum(1 << block for block in each) for each in combinations(range(blocks), blocks // 2)])
    n = size * blocks // 2
    found = [_split(chosen[i : i + SPLITS_AT_A_TIME], sums, squares, n) for i in range(0, chosen.shape[0], SPLITS_AT_A_TIME)]
    inside, outside, rank = (np.concatenate(column) for column in zip(*found, strict=True))
    relative = rank / (tried + 1.0)
    logits = np.log(relative / (1.0 - relative))
    away = inside - inside.mean()
    slope = float(np.sum(away * outside) / np.sum(away**2)) if np.sum(away**2) > 1e-18 else None
    return Overfit(
        float(np.mean(logits <= 0.0)),
        logits,
        slope,
        float(np.mean(outside < 0.0)),
        float(inside.mean()),
        float(outside.mean()),
        chosen.shape[0],
    )


class Halves(NamedTuple):
    """Sums of every set of the lower and of every set of the upper half of the blocks, [2 ** (blocks / 2), n] each, by the set's bits. Any set
    of blocks is the sum of one of each, which is far less than adding up its blocks, and needs no matrix product whose threads would wait
    for each other."""

    lower: F
    upper: F

    def of(self, chosen: Ints) -> F:
        bits = self.lower.shape[0].bit_length() - 1
        return np.asarray(self.lower[chosen & (self.lower.shape[0] - 1)] + self.upper[chosen >> bits])


def _subsets(parts: F) -> Halves:
    """Of block sums [blocks, n]."""
    half = parts.shape[0] // 2
    tables = np.zeros((2, 1 << half, parts.shape[1]))
    for table, own in zip(tables, (parts[:half], parts[half:]), strict=True):
        for k in range(half):
            table[1 << k : 2 << k] = table[: 1 << k] + own[k]
    return Halves(tables[0], tables[1])


def _split(chosen: Ints, sums: Halves, squares: Halves, n: int) -> tuple[F, F, F]:
    """Of the best inside each of the splits (sets of blocks by their bits, [k]): its ratio inside, outside, and its rank outside, 1 (worst) to
    the combinations."""
    others = (sums.lower.shape[0] ** 2 - 1) ^ chosen
    inside = _ratios(sums.of(chosen), squares.of(chosen), n)
    outside = _ratios(sums.of(others), squares.of(others), n)
    best = inside.argmax(axis=1)[:, None]
    reached = np.take_along_axis(outside, best, axis=1)
    rank = np.count_nonzero(outside < reached, axis=1) + (np.count_nonzero(outside == reached, axis=1) + 1.0) / 2.0
    return np.take_along_axis(inside, best, axis=1)[:, 0], reached[:, 0], rank


def _ratios(sums: F, squares: F, n: int) -> F:
    """Mean over deviation from sums and sums of squares of n returns; 0 where they do not vary."""
    mean = sums / n
    variance = (squares - sums * mean) / (n - 1)
    varies = variance > 1e-12 * squares / n
    return np.asarray(np.where(varies, mean / np.sqrt(np.where(varies, variance, 1.0)), 0.0))


def logit_bins(logits: F, *, bins: int = 20) -> list[tuple[float, int]]:
    """(lower edge, splits) of equal bins over the logits: what a chart of them needs."""
    count, edges = np.histogram(logits, bins=bins)
    return [(float(edge), int(number)) for edge, number in zip(edges[:-1], count, strict=True)]


def deflate(best: F, ratios: F, *, trials: int | None = None) -> Deflated | None:
    """The best of a search: its daily returns, the daily Sharpe ratios of all trials (not annualised), and how many trials there were in all, earlier
    searches included, when these are more than the ratios. None where signals.deflated.moments has none."""
    seen = deflated.moments(best)
    if seen is None:
        return None
    n = max(trials or 0, ratios.shape[0], 1)
    measured = float(ratios.var(ddof=1)) if ratios.shape[0] >= 2 else None
    variance = deflated.prudent_variance(seen.n, measured)
    return Deflated(
        seen.sharpe,
        deflated.expected_maximum(n, variance),
        deflated.deflated_sharpe(seen, trials=n, variance=variance),
        deflated.least_returns(seen),
        n,
    )


def daily_ratios(returns: F) -> F:
    """Sharpe ratios of one day, not annualised, of daily returns [days, combinations]; 0 where nothing varies. At least two days."""
    return _ratios(returns.sum(axis=0), (returns**2).sum(axis=0), returns.shape[0])


def neighbourhood(grid: F) -> Neighbourhood | None:
    """Whether the best of a search stands alone. grid: results over the values of two parameters, [a, b], in their order, NaN where none was
    tried; 0 divides profit from loss. None without any result."""
    tried = np.isfinite(grid)
    if not tried.any():
        return None
    best = np.unravel_index(int(np.argmax(np.where(tried, grid, -np.inf))), grid.shape)
    row, column = int(best[0]), int(best[1])
    value = float(grid[row, column])
    window = np.array(grid[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2])
    window[min(row, 1), min(column, 1)] = np.nan
    around = window[np.isfinite(window)]
    smooth = np.where(tried, _means(grid, tried), -np.inf)
    middle = np.unravel_index(int(smooth.argmax()), grid.shape)
    return Neighbourhood(
        (row, column),
        value,
        int(around.shape[0]),
        float(np.mean(around > 0.0)) if around.shape[0] else None,
        float(around.mean()) / value if around.shape[0] and value > 0.0 else None,
        (int(middle[0]), int(middle[1])),
        float(smooth[middle]),
    )


def _means(grid: F, tried: F) -> F:
    """Of every cell with the up to 8 around it, as far as they were tried, [a, b]."""
    a, b = grid.shape
    padded, counted = np.pad(np.where(tried, grid, 0.0), 1), np.pad(tried.astype(np.float64), 1)
    shifts = [(i, j) for i in range(3) for j in range(3)]
    total = sum(padded[i : i + a, j : j + b] for i, j in shifts)
    return np.asarray(total / np.maximum(sum(counted[i : i + a, j : j + b] for i, j in shifts), 1.0))


def walk_forward_efficiency(inside: float | None, outside: float | None) -> float | None:
    """What the chosen parameters earned a year outside over what they had earned a year inside (R. Pardo, 2008, ch. 11); 0.5 and more is called
    robust there. None when they had earned nothing inside."""
    return None if inside is None or outside is None or inside <= 0.0 else outside / inside
