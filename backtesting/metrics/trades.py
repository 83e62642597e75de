"""Figures of trades. Arrays of one length m, a row per position: pnl in account currency net of all costs, notional = quantity x entry price."""

from typing import NamedTuple

import numpy as np

from backtesting.metrics.base import DAY_MS, DAYS_A_YEAR, HOUR_MS, Z95, F, Interval, Ints

FEW_TRADES, ENOUGH_TRADES = 30, 100
SQN_TRADES = 100


class Costs(NamedTuple):
    """Where the gross result went, in money: gross - fees - slippage - funding = net. Funding that was received is negative."""

    gross: float
    fees: float
    slippage: float
    funding: float
    net: float


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


def payoff_ratio(pnl: F) -> float | None:
    """Mean winning trade over mean losing trade, both after costs; None without one of either."""
    won, lost = pnl[pnl > 0], pnl[pnl < 0]
    return float(won.mean() / -lost.mean()) if won.shape[0] and lost.shape[0] else None


def r_multiples(pnl: F, qty: F, entry: F, stop: F) -> F:
    """Results in units of what the first stop put at risk (V. Tharp, 1998): qty x distance from entry to stop. Trades without a distance are left out."""
    risk = qty * np.abs(entry - stop)
    return np.asarray(pnl[risk > 0.0] / risk[risk > 0.0])


def system_quality(multiples: F) -> float | None:
    """System quality number (V. Tharp, 2008): mean over deviation of R multiples times the root of their number, of which no more than
    SQN_TRADES count. None for fewer than two trades, or equal ones."""
    n = multiples.shape[0]
    if n < 2 or multiples.std(ddof=1) < 1e-12:
        return None
    return float(multiples.mean() / multiples.std(ddof=1) * np.sqrt(min(n, SQN_TRADES)))


def longest_losing_streak(pnl: F) -> int | None:
    """Most losing trades behind each other, in the order given (that of their exits). One that earned exactly nothing neither ends a streak nor counts. None without trades."""
    if not pnl.shape[0]:
        return None
    told = pnl[pnl != 0.0] < 0.0
    edges = np.diff(np.concatenate(([0], told.astype(np.int8), [0])))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int(lengths.max()) if lengths.shape[0] else 0


def holding_hours(entered_ms: Ints, left_ms: Ints) -> tuple[float, float] | None:
    """(mean, median) hours from entry to exit; None without trades."""
    if not entered_ms.shape[0]:
        return None
    hours = (left_ms - entered_ms) / HOUR_MS
    return float(hours.mean()), float(np.median(hours))


def turnover_a_year(entry_notional: F, exit_notional: F, mean_equity: float, span_ms: int) -> float | None:
    """How often a year the mean equity was bought or sold: both sides of every trade count. None without time or equity."""
    if span_ms <= 0 or mean_equity <= 0.0:
        return None
    return float((entry_notional.sum() + exit_notional.sum()) / mean_equity * DAYS_A_YEAR * DAY_MS / span_ms)


def cost_breakdown(pnl: F, fees: F, slippage: F, funding: F) -> Costs:
    """From the net result back to the gross one, which is that of the same trades at the prices they were decided for."""
    paid = float(fees.sum()), float(slippage.sum()), float(funding.sum())
    net = float(pnl.sum())
    return Costs(net + sum(paid), *paid, net)


def cost_share(costs: Costs, paid: float) -> float | None:
    """What part of the gross result `paid` took, 0 to 1 and more. None when there was no gross profit to take from."""
    return paid / costs.gross if costs.gross > 0.0 else None


def bearable_costs(costs: Costs) -> float | None:
    """How many times its costs the gross result would have paid for; under 1 they took more than there was. None where nothing was paid, or
    nothing was won before costs."""
    paid = costs.gross - costs.net
    return costs.gross / paid if paid > 0.0 and costs.gross > 0.0 else None


def edge_and_cost_pct(pnl: F, notional: F, paid: F) -> tuple[float, float] | None:
    """(net edge, cost) of a mean trade in % of its notional; `paid` is the sum of its fees, slippage and funding. None without trades."""
    return (float(np.mean(pnl / notional) * 100.0), float(np.mean(paid / notional) * 100.0)) if pnl.shape[0] else None


def without_best(pnl: F, k: int) -> float | None:
    """Net result without the k best trades; None without trades."""
    return float(np.sort(pnl)[: max(pnl.shape[0] - k, 0)].sum()) if pnl.shape[0] else None


def sample_note(trades: int) -> str:
    """What a sample of this size is worth."""
    if trades == 0:
        return "No trades: nothing can be said about this strategy on this span."
    if trades < FEW_TRADES:
        return f"{trades} trade{'s are' if trades > 1 else ' is'} too few to judge by; every figure may be luck."
    if trades < ENOUGH_TRADES:
        return f"{trades} trades are a small sample; look at the intervals, not at the figures."
    return f"{trades} trades."
