"""Figures of what the account earned by day. Returns are simple daily ones, float64 [days]."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from backtesting.metrics.base import DAY_MS, DAYS_A_YEAR, LEAST_DAYS_A_YEAR, Z95, F, Interval, Ints


class History(NamedTuple):
    """One symbol's bars, arrays of one length: opens in ms UTC, prices."""

    timestamp: Ints
    open: F
    close: F


class Day(NamedTuple):
    """One UTC day, by its midnight, and what it returned in %."""

    at_ms: int
    pct: float


def daily_returns(times: Ints, equity: F, capital: float) -> F:
    """Simple returns from one UTC day's last equity to the next day's, the first from `capital`.

    A day without a bar is a day without a change, not a day that is left out: fewer days would flatter what is annualised. An equity that
    is used up returns -100 % once and nothing afterwards.
    """
    if not times.shape[0]:
        return np.zeros(0)
    day = times // DAY_MS
    newest = np.searchsorted(day, np.arange(day[0], day[-1] + 1), side="right") - 1
    return steps(np.concatenate(([capital], equity[newest])))


def steps(closes: F) -> F:
    """Simple returns between neighbours along the last axis, [..., n] -> [..., n - 1]; what is used up returns -100 % once, then nothing."""
    kept = np.maximum(closes, 0.0)
    used_up = kept[..., :-1] <= 0.0
    return np.asarray(np.where(used_up, 0.0, kept[..., 1:] / np.where(used_up, 1.0, kept[..., :-1]) - 1.0))


def by_combination(daily: F, capital: float) -> F:
    """Daily returns [days, combinations], as metrics.pbo takes them, from equities at the ends of days [combinations, days]."""
    return np.ascontiguousarray(steps(np.concatenate((np.full((daily.shape[0], 1), capital), daily), axis=1)).T)


def sharpe(returns: F) -> float | None:
    """Mean over deviation of daily returns, risk-free rate 0, times sqrt(365) (W. F. Sharpe, 1994). None for fewer than two days or no variance."""
    if returns.shape[0] < 2 or returns.std(ddof=1) < 1e-12:
        return None
    return float(returns.mean() / returns.std(ddof=1) * np.sqrt(DAYS_A_YEAR))


def sharpe_interval(returns: F) -> Interval | None:
    """95 % interval of the annualised ratio for independent daily returns (A. W. Lo, 2002); None where the ratio is."""
    ratio = sharpe(returns)
    if ratio is None:
        return None
    half = Z95 * np.sqrt((DAYS_A_YEAR + ratio**2 / 2.0) / returns.shape[0])
    return Interval(float(ratio - half), float(ratio + half))


def sortino(returns: F) -> float | None:
    """Mean over downside deviation from 0 over ALL days, times sqrt(365) (F. Sortino and L. Price, 1994). None without a losing day."""
    if returns.shape[0] < 2:
        return None
    downside = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))
    return float(returns.mean() / downside * np.sqrt(DAYS_A_YEAR)) if downside > 1e-12 else None


def volatility_pct(returns: F) -> float | None:
    """Deviation of daily returns times sqrt(365), in %. None for fewer than two days."""
    return float(returns.std(ddof=1) * np.sqrt(DAYS_A_YEAR) * 100.0) if returns.shape[0] >= 2 else None


def total_return_pct(final: float, capital: float) -> float:
    """What became of the capital, in %."""
    return (final / capital - 1.0) * 100.0


def cagr_pct(returns: F) -> float | None:
    """Compound annual growth rate in %, 365 days a year. None for fewer than LEAST_DAYS_A_YEAR days, and beyond what a float holds."""
    if returns.shape[0] < LEAST_DAYS_A_YEAR:
        return None
    with np.errstate(over="ignore"):
        growth = np.prod(1.0 + returns) ** (DAYS_A_YEAR / returns.shape[0])
    return float((growth - 1.0) * 100.0) if np.isfinite(growth) else None


def calmar(cagr: float | None, drawdown: float | None) -> float | None:
    """Compound annual growth over the deepest drawdown (T. W. Young, 1991), both in %. None where one is not defined, or nothing ever fell."""
    return None if cagr is None or not drawdown else cagr / drawdown


def value_at_risk_pct(returns: F, tail: float) -> float | None:
    """The loss in % that no more than a share `tail` (0.05, 0.01) of the days exceeded: historical, of one day, without interpolation. A
    negative one is a gain. None for fewer than 1 / tail days, of which not one is that rare."""
    worst = _tail_days(returns, tail)
    return None if worst is None else float(0.0 - np.sort(returns)[int(np.ceil(worst)) - 1] * 100.0)


def expected_shortfall_pct(returns: F, tail: float) -> float | None:
    """The mean loss in % of the worst share `tail` of days, the day at the edge counted in part (C. Acerbi and D. Tasche, 2002, proposition
    4.1), so never less than the value at risk. None where that is."""
    worst = _tail_days(returns, tail)
    if worst is None:
        return None
    ordered, whole = np.sort(returns), int(worst)
    part = (worst - whole) * ordered[whole] if whole < ordered.shape[0] else 0.0
    return float(0.0 - (ordered[:whole].sum() + part) / worst * 100.0)


def _tail_days(returns: F, tail: float) -> float | None:
    days = round(returns.shape[0] * tail, 9)  # 0.07 * 100 is 7.000000000000001
    return days if days >= 1.0 else None


def best_day(times: Ints, returns: F) -> Day | None:
    """The first of the days that earned most; `times` as daily_returns took them."""
    return _day(times, int(returns.argmax()), returns) if returns.shape[0] else None


def worst_day(times: Ints, returns: F) -> Day | None:
    """The first of the days that lost most; `times` as daily_returns took them."""
    return _day(times, int(returns.argmin()), returns) if returns.shape[0] else None


def _day(times: Ints, place: int, returns: F) -> Day:
    return Day((int(times[0]) // DAY_MS + place) * DAY_MS, float(returns[place]) * 100.0)


def exposure_pct(held: Ints | F) -> float | None:
    """Share of moments with a position open, in %, of how many or how much was open at each, [t]. None without any."""
    return float(np.count_nonzero(held) / held.shape[0] * 100.0) if held.shape[0] else None


def buy_and_hold(times: Ints, histories: Sequence[History], capital: float) -> F:
    """Equity of equal parts of `capital` in every symbol from its first open on, without costs or leverage, at each of `times`, [t]."""
    total = np.zeros(times.shape[0])
    for history in histories:
        row = np.searchsorted(history.timestamp, times, side="right") - 1
        price = np.where(row >= 0, history.close[np.maximum(row, 0)], history.open[0])
        total += capital / len(histories) * price / history.open[0]
    return total
