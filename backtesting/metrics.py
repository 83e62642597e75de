"""What a run is judged by. One function per figure: arrays in, a float out, None where the figure is not defined (never 0 or infinity instead).

Trades: pnl in account currency net of all costs, float64[m]. Equity: marked to each bar's close, float64[t], with times int64[t] (ms UTC).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY_MS = 86_400_000
DAYS_A_YEAR = 365
"""Crypto trades every day: annualising takes sqrt(365), not sqrt(252)."""
FEW_TRADES, ENOUGH_TRADES = 30, 100
Z95 = 1.959963984540054


class History(NamedTuple):
    """One symbol's bars, arrays of one length: opens in ms UTC, prices."""

    timestamp: Ints
    open: F
    close: F


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


def hit_rate(hits: int, n: int) -> float | None:
    """Share of trades, 0 to 1."""
    return hits / n if n else None


def wilson(hits: float, n: float) -> Interval | None:
    """95 % interval of a share (E. B. Wilson, 1927): honest for few trades, where the normal interval is not. Neither has to be whole:
    n may be a number of independent trades."""
    if n == 0:
        return None
    share, z2 = hits / n, Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(float(max(0.0, centre - half)), float(min(1.0, centre + half)))


def profit_factor(pnl: F) -> float | None:
    """Gross profit over gross loss, both after costs (R. Pardo, 2008, ch. 12); None without a losing trade."""
    loss = -pnl[pnl < 0].sum()
    return float(pnl[pnl > 0].sum() / loss) if loss > 0 else None


def expectancy_pct(pnl: F, notional: F) -> float | None:
    """Mean net result of a trade in % of its notional (expectancy per unit; V. Tharp, 1998, here by notional instead of risk)."""
    return float(np.mean(pnl / notional) * 100) if pnl.shape[0] else None


def expectancy_interval(pnl: F, notional: F, independent: float) -> Interval | None:
    """95 % interval of the mean (normal approximation) of trades worth `independent` ones; None for fewer than two trades."""
    if pnl.shape[0] < 2:
        return None
    share = pnl / notional * 100
    half = Z95 * share.std(ddof=1) / np.sqrt(independent)
    return Interval(float(share.mean() - half), float(share.mean() + half))


def daily_returns(times: Ints, equity: F, capital: float) -> F:
    """Simple returns from one UTC day's last equity to the next day's, the first from `capital`.

    A day without a bar is a day without a change, not a day that is left out: fewer days would flatter what is annualised. An equity that
    is used up returns -100 % once and nothing afterwards.
    """
    if not times.shape[0]:
        return np.zeros(0)
    day = times // DAY_MS
    newest = np.searchsorted(day, np.arange(day[0], day[-1] + 1), side="right") - 1
    closes = np.maximum(np.concatenate(([capital], equity[newest])), 0.0)
    used_up = closes[:-1] <= 0.0
    return np.where(used_up, 0.0, closes[1:] / np.where(used_up, 1.0, closes[:-1]) - 1.0)


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


def drawdown_pct(equity: F, capital: float) -> F:
    """Distance from the highest equity so far (the capital included), in % of that peak, as positive numbers, [t]."""
    peak = np.maximum.accumulate(np.maximum(equity, capital)) if equity.shape[0] else equity
    return np.asarray((1.0 - equity / peak) * 100.0)


def max_drawdown_pct(equity: F, capital: float) -> float | None:
    """The deepest fall from a peak, in % of the peak; None without bars."""
    return float(drawdown_pct(equity, capital).max()) if equity.shape[0] else None


def max_drawdown_days(times: Ints, equity: F, capital: float) -> float | None:
    """The longest time below a former peak, in days; what is still under water at the end counts."""
    if not times.shape[0]:
        return None
    under = drawdown_pct(equity, capital) > 0.0
    longest, since = 0, None
    for at, is_under in zip(times.tolist(), under.tolist(), strict=True):
        since = (since if since is not None else at) if is_under else None
        longest = max(longest, at - since) if since is not None else longest
    return longest / DAY_MS


def buy_and_hold(times: Ints, histories: Sequence[History], capital: float) -> F:
    """Equity of equal parts of `capital` in every symbol from its first open on, without costs or leverage, at each of `times`, [t]."""
    total = np.zeros(times.shape[0])
    for history in histories:
        row = np.searchsorted(history.timestamp, times, side="right") - 1
        price = np.where(row >= 0, history.close[np.maximum(row, 0)], history.open[0])
        total += capital / len(histories) * price / history.open[0]
    return total


def total_return_pct(final: float, capital: float) -> float:
    """What became of the capital, in %."""
    return (final / capital - 1.0) * 100.0


def sample_note(trades: int) -> str:
    """What a sample of this size is worth."""
    if trades == 0:
        return "No trades: nothing can be said about this strategy on this span."
    if trades < FEW_TRADES:
        return f"{trades} trades are too few to judge by; every figure may be luck."
    if trades < ENOUGH_TRADES:
        return f"{trades} trades are a small sample; look at the intervals, not at the figures."
    return f"{trades} trades."
