"""From what was offered out of fold to trades one after another, and what those earned after costs, with intervals.

An offer for every sample counts the same move many times: samples overlap. So of each symbol one position is held at a time, long or
short, whichever promises more, and the next is taken when the former is flat. Capital is split equally between the symbols, unlevered; a trade's
result is booked on the UTC day of its decision. Intervals of mean, profit factor and Sharpe ratio come from one circular block bootstrap over
days (Politis and Romano, 1992), blocks of at least BLOCK_DAYS, because labels reach over days and volatility clusters; the hit rate has
Wilson's interval by the number of independent trades (signals.training.figures).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from signals import deflated
from signals.training import figures
from signals.training.panel import Panel

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
DAY_MS = 86_400_000
DAYS_A_YEAR = 365
BLOCK_DAYS = 5
DRAWS = 1_000
SEED = 7
METHOD = (
    f"Circular block bootstrap over days, {DRAWS} draws, blocks of at least {BLOCK_DAYS} days; hit rates by Wilson's interval with the "
    "number of independent trades. One position a symbol at a time, capital split equally, unlevered, after costs."
)


class Trades(NamedTuple):
    """t trades in order of symbol and time: row of the panel, and side."""

    row: Rows
    side: Rows


def taken(panel: Panel, offers: Array) -> Trades:
    """Trades that the offers [m, 2] lead to: what is expected of either side (signals.training.offers), NaN where it is not offered."""
    side = np.argmax(np.where(np.isfinite(offers), offers, -np.inf), axis=1)
    offered = np.isfinite(offers).any(axis=1)
    rows: list[int] = []
    for symbol in range(len(panel.symbols)):
        own = np.flatnonzero((panel.symbol == symbol) & offered)
        own = own[np.argsort(panel.start_ms[own], kind="stable")]
        starts = panel.start_ms[own]
        at = 0
        while at < own.size:
            row = int(own[at])
            rows.append(row)
            at = max(at + 1, int(np.searchsorted(starts, panel.end_ms[row, side[row]], side="left")))
    chosen = np.array(rows, dtype=np.int64)
    return Trades(chosen, side[chosen].astype(np.int64))


class Days(NamedTuple):
    """d days in order: number of the UTC day, return of the capital as a fraction, and sums over the trades decided on it, in % of notional."""

    day: Rows
    returns: Array
    gains: Array
    losses: Array
    trades: Array


def by_day(panel: Panel, made: Trades, sample: Rows) -> Days:
    """The days on which the rows of `sample` decide; days without a trade earn nothing. Trades outside `sample` are left out."""
    day = np.unique(panel.start_ms[sample] // DAY_MS)
    inside = np.isin(made.row, sample)
    row, side = made.row[inside], made.side[inside]
    place = np.searchsorted(day, panel.start_ms[row] // DAY_MS)
    net = panel.net_pct[row, side]
    symbols = max(1, np.unique(panel.symbol[sample]).size)

    def total(values: Array) -> Array:
        return np.asarray(np.bincount(place, weights=values, minlength=day.size), dtype=np.float64)

    return Days(
        day,
        total(net) / 100.0 / symbols,
        total(np.maximum(net, 0.0)),
        total(np.maximum(-net, 0.0)),
        total(np.ones(row.size)),
    )


def resamples(days: int, *, draws: int = DRAWS, seed: int = SEED) -> Array | None:
    """How often each day is drawn: float64 [draws, days]; None when there are fewer than four blocks of days.

    Blocks are max(BLOCK_DAYS, days ** (1/3)) days long and wrap around at the end.
    """
    block = max(BLOCK_DAYS, round(days ** (1.0 / 3.0)))
    if days < 4 * block:
        return None
    starts = np.random.default_rng(seed).integers(0, days, (draws, -(-days // block)))
    begun = np.zeros((draws, days))
    np.add.at(begun, (np.arange(draws)[:, None], starts), 1.0)
    summed = np.cumsum(np.concatenate((begun[:, days - block :], begun), axis=1), axis=1)
    return np.asarray(summed[:, block:] - summed[:, :-block], dtype=np.float64)


def _interval(values: Array) -> tuple[float | None, float | None]:
    """The middle 95 %; None where a bound is not finite, as when a draw holds no losing trade."""
    if np.isnan(values).mean() > 0.05:
        return None, None
    low, high = np.quantile(values[~np.isnan(values)], (0.025, 0.975), method="nearest")
    return (float(low) if np.isfinite(low) else None), (float(high) if np.isfinite(high) else None)


def sharpe(mean: Array, mean_of_squares: Array) -> Array:
    """Annualised ratio from the mean of daily returns and of their squares; NaN without variance."""
    variance = mean_of_squares - mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 1e-18, mean / np.sqrt(np.maximum(variance, 1e-18)) * np.sqrt(DAYS_A_YEAR), np.nan)


def _bootstrapped(days: Days) -> dict[str, Any]:
    """Mean net result, profit factor and Sharpe ratio, each with its interval."""
    columns = np.column_stack((days.trades, days.gains, days.losses, days.returns, days.returns**2))

    def figures_of(sums: Array, n: Array) -> tuple[Array, Array, Array]:
        trades, gains, losses, returns, squares = sums.T
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(trades > 0, (gains - losses) / trades, np.nan)
            factor = np.where(losses > 0, gains / losses, np.where(gains > 0, np.inf, np.nan))
        return mean, factor, sharpe(returns / n, squares / n)

    point = [float(value[0]) for value in figures_of(columns.sum(axis=0, keepdims=True), np.array([max(days.day.size, 1)]))]
    draws = resamples(days.day.size)
    ranges: list[tuple[float | None, float | None]] = [(None, None)] * 3
    if draws is not None and days.trades.sum() > 1:
        ranges = [_interval(values) for values in figures_of(draws @ columns, draws.sum(axis=1))]
    out: dict[str, Any] = {}
    for name, value, (low, high) in zip(("mean_net_pct", "profit_factor", "sharpe"), point, ranges, strict=True):
        out[name] = value if np.isfinite(value) else None
        out[f"{name}_low"], out[f"{name}_high"] = low, high
    return out


def describe(panel: Panel, made: Trades, offers: Array, sample: Rows) -> dict[str, Any]:
    """Figures of the trades decided in the rows of `sample`; `coverage` is the share of those rows that offered a side."""
    if sample.size == 0:
        return {"trades": 0, "samples": 0}
    inside = np.isin(made.row, sample)
    row, side = made.row[inside], made.side[inside]
    label, net = panel.y[row, side], panel.net_pct[row, side]
    hits = figures.hit_rate(label, np.ones(row.size), panel.start_ms[row])
    days = by_day(panel, made, sample)
    return {
        "trades": int(row.size),
        "samples": int(sample.size),
        "coverage": float(np.isfinite(offers[sample]).any(axis=1).mean()),
        "n_effective": hits["n_effective"],
        "hit_rate": hits["hit_rate"],
        "hit_rate_low": hits["low"],
        "hit_rate_high": hits["high"],
        "break_even": figures.break_even(label, net),
        "days": int(days.day.size),
        **_bootstrapped(days),
    }


def believed(panel: Panel, made: Trades, sample: Rows, *, trials: int, variance: float | None = None) -> dict[str, Any]:
    """How far the Sharpe ratio may be believed: probabilistic and deflated ratio (signals.deflated) of the daily returns.

    trials, variance -- how many parameter sets this one was chosen from, and the variance of their daily ratios, None when it is not known
    """
    told: dict[str, Any] = {"trials": trials, "trial_variance": variance}
    seen = deflated.moments(by_day(panel, made, sample).returns)
    if seen is None:
        return {**told, "sharpe_daily": None, "probabilistic_sharpe": None, "deflated_sharpe": None}
    spread = deflated.prudent_variance(seen.n, variance)
    best = deflated.expected_maximum(trials, spread)
    needed = deflated.least_returns(seen, benchmark=best)
    return {
        **told,
        "chance_variance": deflated.chance_variance(seen.n),
        "sharpe_daily": seen.sharpe,
        "skewness": seen.skewness,
        "kurtosis": seen.kurtosis,
        "days": seen.n,
        "expected_maximum_daily": best,
        "probabilistic_sharpe": deflated.probabilistic_sharpe(seen),
        "deflated_sharpe": deflated.deflated_sharpe(seen, trials=trials, variance=spread),
        "least_days": None if needed is None else round(needed, 1),
    }
