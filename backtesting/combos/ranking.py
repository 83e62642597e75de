"""Which of many combinations is the best by an objective, and what stands next to it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import metrics
from backtesting.metrics import DAYS_A_YEAR, LEAST_DAYS_A_YEAR

F = NDArray[np.float64]
OBJECTIVES = {
    "sharpe": "Sharpe ratio, daily, a year",
    "net_profit": "Net profit, % of capital",
    "profit_factor": "Profit factor",
    "calmar": "Calmar: return a year over the deepest fall",
    "expectancy": "Expectancy: mean net result of a trade, % of capital",
}


def neutral(objective: str) -> float:
    """The objective's value where nothing is won or lost."""
    return 1.0 if objective == "profit_factor" else 0.0


class Results(NamedTuple):
    """Of c combinations, arrays [c], NaN where a figure is not defined. ratio: the daily Sharpe ratio, not annualised; net_pct and
    expectancy in % of capital; fall_pct: the deepest fall from a peak."""

    trades: NDArray[np.int64]
    wins: NDArray[np.int64]
    net_pct: F
    profit_factor: F
    fall_pct: F
    ratio: F
    calmar: F
    expectancy: F

    def objective(self, name: str) -> F:
        """The figure that OBJECTIVES calls so, [c]."""
        found: dict[str, F] = {
            "sharpe": self.ratio * np.sqrt(DAYS_A_YEAR),
            "net_profit": self.net_pct,
            "profit_factor": self.profit_factor,
            "calmar": self.calmar,
            "expectancy": self.expectancy,
        }
        return found[name]


def results(
    *, balance: F, trades: NDArray[np.int64], wins: NDArray[np.int64], gain: F, loss: F, fall: F, daily: F, capital: float
) -> Results:
    """Figures from what a sweep leaves behind. gain and loss are gross and positive, fall a fraction of the peak, daily [c, days] the equity at the
    end of each day. The return a year needs LEAST_DAYS_A_YEAR days, as everything that is annualised by compounding."""
    returns, days = metrics.by_combination(daily, capital), daily.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = returns.std(axis=0, ddof=1) if days > 1 else np.zeros(daily.shape[0])
        ratio = np.where(spread > 1e-12, returns.mean(axis=0) / spread, np.nan) if days else np.full(daily.shape[0], np.nan)
        growth = np.maximum(balance / capital, 0.0)
        yearly = (growth ** (DAYS_A_YEAR / days) - 1.0) * 100.0 if days >= LEAST_DAYS_A_YEAR else np.full(balance.shape, np.nan)
        return Results(
            trades,
            wins,
            (balance / capital - 1.0) * 100.0,
            np.where(loss > 0.0, gain / loss, np.nan),
            fall * 100.0,
            ratio,
            np.where(fall > 0.0, yearly / (fall * 100.0), np.nan),
            np.where(trades > 0, (balance - capital) / np.maximum(trades, 1) / capital * 100.0, np.nan),
        )


def joined(parts: Sequence[Results]) -> Results:
    """Batches behind each other."""
    return Results(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def order(value: F, trades: NDArray[np.int64], least_trades: int) -> NDArray[np.int64]:
    """The combinations with enough trades and a defined value, best first, equals by number."""
    fit = np.flatnonzero((trades >= least_trades) & np.isfinite(value))
    return np.asarray(fit[np.argsort(-value[fit], kind="stable")], np.int64)


class Map(NamedTuple):
    """Values over two parameters: columns x [a], rows y [b], best float64[b, a] of all combinations with these two values, NaN where none
    was tried; `at` int64[b, a] is the number of that combination, -1 where there is none."""

    x: F
    y: F
    best: F
    at: NDArray[np.int64]


def heat_map(x: F, y: F, value: F) -> Map:
    """Of combinations with the parameter values x and y, [c] each, and their results: over all other parameters the best counts."""
    xs, column = np.unique(x, return_inverse=True)
    ys, line = np.unique(y, return_inverse=True)
    best, at = np.full((ys.size, xs.size), np.nan), np.full((ys.size, xs.size), -1, np.int64)
    for i in np.argsort(np.where(np.isfinite(value), value, -np.inf), kind="stable"):  # the best is written last
        if np.isfinite(value[i]):
            best[line[i], column[i]], at[line[i], column[i]] = value[i], i
    return Map(xs, ys, best, at)


def thinned(drawn: Map, most: int) -> Map:
    """At most about `most` columns and rows, evenly spread, and always those of the best cells."""
    known = np.isfinite(drawn.best)
    rows, columns = np.nonzero(known & (drawn.best == drawn.best[known].max())) if known.any() else (np.zeros(0, int), np.zeros(0, int))
    x, y = _spread(drawn.x.size, most, columns), _spread(drawn.y.size, most, rows)
    return Map(drawn.x[x], drawn.y[y], drawn.best[np.ix_(y, x)], drawn.at[np.ix_(y, x)])


def _spread(size: int, most: int, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every so many of `size` places that `most` are enough, and the first of those that are wanted anyway."""
    return np.union1d(np.arange(0, size, max(1, -(-size // most))), wanted[:1])


class Around(NamedTuple):
    """What differs from the best by at most one step of each parameter. share: of them with a value above the neutral one; mean: of their values."""

    neighbours: int
    share: float | None
    mean: float | None


def around(table: F, value: F, best: int, *, neutral: float = 0.0) -> Around:
    """table: parameters [c, p]; value [c]; neutral -- its value where nothing is won or lost. Steps are counted among the values that were tried."""
    near = np.ones(table.shape[0], np.bool_)
    for column in table.T:
        place = np.unique(column, return_inverse=True)[1]
        near &= np.abs(place - place[best]) <= 1
    near[best] = False
    found = value[near & np.isfinite(value)]
    if not found.size:
        return Around(0, None, None)
    return Around(int(found.size), float(np.mean(found > neutral)), float(found.mean()))
