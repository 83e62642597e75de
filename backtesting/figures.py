"""What a run's trades and equity say, as JSON: single figures with their samples, tables, costs, concentration, and how much may be luck.

Rates and means are over trades that their plan closed; money, tables and luck are over all, those closed only because the data ended included.
A table's groups are those of the entry, months of trades those of the exit, all in UTC.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import metrics
from backtesting.metrics import Interval
from backtesting.metrics.resampling import Paths
from signals import deflated

F = NDArray[np.float64]
Ints = NDArray[np.int64]

DEEPEST = 10
BEST = (1, 5, 10)
UNKNOWN = "unknown"
_NO_TRADES, _NO_BARS = "no trades", "no bars"
_SHORT = f"needs {metrics.LEAST_DAYS_A_YEAR} days"


class Ledger(NamedTuple):
    """Trades of one run, columns of one length m. Times are opens of bars, ms UTC; money in quote currency; exit is the mean over partial ones.

    regime: a name of signals.features.regime.NAMES, or UNKNOWN. pnl is net of all costs; slippage is inside the prices already.
    """

    symbol: Sequence[str]
    side: Sequence[str]
    reason: Sequence[str]
    regime: Sequence[str]
    entered_ms: Ints
    left_ms: Ints
    entry: F
    exit: F
    qty: F
    stop: F
    fees: F
    slippage: F
    funding: F
    pnl: F
    is_closed: NDArray[np.bool_]

    @property
    def notional(self) -> F:
        """At entry."""
        return self.qty * self.entry


class Account(NamedTuple):
    """Equity marked to each bar's close [t], at the opens of these bars (ms UTC), from `capital` on; span_ms includes the last bar."""

    times: Ints
    equity: F
    capital: float
    span_ms: int


def by_exit(ledger: Ledger) -> Ledger:
    """In order of exit, of entry where that is the same."""
    order = np.lexsort((ledger.entered_ms, ledger.left_ms))
    columns: list[Any] = [column[order] if isinstance(column, np.ndarray) else [column[i] for i in order.tolist()] for column in ledger]
    return Ledger(*columns)


def figure(value: float | None, sample: int, reason: str = "", interval: Interval | None = None) -> dict[str, Any]:
    """One figure: its value or why it has none, its sample, its interval."""
    found: dict[str, Any] = {"value": value, "n": sample}
    if value is None:
        found["reason"] = reason
    if interval is not None:
        found |= {"low": interval.low, "high": interval.high}
    return found


def of_account(account: Account) -> dict[str, dict[str, Any]]:
    """Figures of the equity: by day, and of its falls."""
    times, equity, capital, _ = account
    days = metrics.daily_returns(times, equity, capital)
    n, moments = int(days.shape[0]), int(times.shape[0])
    cagr, best, worst = metrics.cagr_pct(days), metrics.best_day(times, days), metrics.worst_day(times, days)
    calmar = metrics.calmar(cagr, metrics.max_drawdown_pct(equity, capital))
    found = {
        "cagr_pct": figure(cagr, n, _SHORT),
        "volatility_pct": figure(metrics.volatility_pct(days), n, "needs two days"),
        "calmar": figure(calmar, n, _SHORT if cagr is None else "no drawdown"),
        "ulcer_index": figure(metrics.ulcer_index(equity, capital), moments, _NO_BARS),
        "recovery_factor": figure(metrics.recovery_factor(equity, capital), moments, "no drawdown" if moments else _NO_BARS),
        "best_day_pct": figure(best and best.pct, n, _NO_BARS),
        "worst_day_pct": figure(worst and worst.pct, n, _NO_BARS),
    }
    for tail, least in ((0.05, 20), (0.01, 100)):
        name, short = f"{100 - round(tail * 100)}_pct", f"needs {least} days"
        found[f"var_{name}"] = figure(metrics.value_at_risk_pct(days, tail), n, short)
        found[f"es_{name}"] = figure(metrics.expected_shortfall_pct(days, tail), n, short)
    return found


def of_trades(ledger: Ledger, account: Account) -> dict[str, dict[str, Any]]:
    """Figures of the trades, in order of exit."""
    pnl, closed, n = ledger.pnl, ledger.is_closed, int(ledger.pnl.shape[0])
    judged = int(closed.sum())
    hours = metrics.holding_hours(ledger.entered_ms[closed], ledger.left_ms[closed])
    multiples = metrics.r_multiples(pnl[closed], ledger.qty[closed], ledger.entry[closed], ledger.stop[closed])
    mean_equity = float(account.equity.mean()) if account.equity.shape[0] else 0.0
    turnover = metrics.turnover_a_year(ledger.notional, ledger.qty * ledger.exit, mean_equity, account.span_ms)
    edge = metrics.edge_and_cost_pct(pnl[closed], ledger.notional[closed], (ledger.fees + ledger.slippage + ledger.funding)[closed])
    return {
        "payoff_ratio": figure(metrics.payoff_ratio(pnl[closed]), judged, "needs trades that won and trades that lost"),
        "system_quality": figure(metrics.system_quality(multiples), int(multiples.shape[0]), "needs two trades whose results differ"),
        "losing_streak": figure(metrics.longest_losing_streak(pnl[closed]), judged, _NO_TRADES),
        "holding_hours": figure(hours and hours[0], judged, _NO_TRADES),
        "holding_hours_median": figure(hours and hours[1], judged, _NO_TRADES),
        "turnover_a_year": figure(turnover, n, "no equity was left" if account.span_ms else _NO_BARS),
        "cost_a_trade_pct": figure(edge and edge[1], judged, _NO_TRADES),
        "slippage": figure(float(ledger.slippage.sum()), n),
        "without_best_5": figure(metrics.without_best(pnl, 5), n, _NO_TRADES),
    }


def costs_paid(ledger: Ledger) -> dict[str, Any]:
    """From the gross result to the net one, what share of the gross profit each cost took, and how much higher these trades' costs could have been."""
    paid = metrics.cost_breakdown(ledger.pnl, ledger.fees, ledger.slippage, ledger.funding)
    edge = metrics.edge_and_cost_pct(ledger.pnl, ledger.notional, ledger.fees + ledger.slippage + ledger.funding)
    return {
        **{name: _rounded(value) for name, value in paid._asdict().items()},
        "shares": {name: _rounded(metrics.cost_share(paid, getattr(paid, name))) for name in ("fees", "slippage", "funding")},
        "net_edge_pct": _rounded(edge and edge[0]),
        "cost_pct": _rounded(edge and edge[1]),
        "bearable": _rounded(metrics.bearable_costs(paid)),
    }


def tables(ledger: Ledger, account: Account) -> dict[str, list[dict[str, Any]]]:
    """Months of the equity, its deepest falls, and the trades by what they have in common."""
    times, equity, capital, _ = account
    entered = ledger.entered_ms
    weekdays = [metrics.WEEKDAYS[day] for day in metrics.weekday_of(entered).tolist()]
    hours = [f"{hour:02d}" for hour in metrics.hour_of(entered).tolist()]
    years = [
        {"year": row.year, "months": [_rounded(cell, 4) for cell in row.months], "total": _rounded(row.total, 4)}
        for row in metrics.monthly(times, equity, capital)
    ]
    falls = [
        {**fall._asdict(), "depth_pct": _rounded(fall.depth_pct, 4), "days": _rounded(fall.days, 2)}
        for fall in metrics.deepest(times, equity, capital, most=DEEPEST)
    ]
    return {
        "years": years,
        "drawdowns": falls,
        "symbol": sorted(_grouped(ledger, ledger.symbol), key=lambda row: -row["net"]),
        "side": sorted(_grouped(ledger, ledger.side), key=lambda row: row["key"]),
        "reason": sorted(_grouped(ledger, ledger.reason), key=lambda row: -row["n"]),
        "regime": sorted(_grouped(ledger, ledger.regime), key=lambda row: -row["n"]),
        "hour": sorted(_grouped(ledger, hours), key=lambda row: row["key"]),
        "weekday": sorted(_grouped(ledger, weekdays), key=lambda row: metrics.WEEKDAYS.index(row["key"])),
        "month": sorted(_grouped(ledger, metrics.month_of(ledger.left_ms)), key=lambda row: row["key"]),
    }


def _grouped(ledger: Ledger, keys: Sequence[str]) -> list[dict[str, Any]]:
    rows = metrics.breakdown(keys, ledger.pnl, ledger.notional)
    return [{name: value if isinstance(value, str | int) else _rounded(value) for name, value in row._asdict().items()} for row in rows]


def concentration(ledger: Ledger) -> dict[str, Any]:
    """How few trades, months and markets the result rests on."""

    def best(keys: Sequence[str]) -> dict[str, Any] | None:
        found = metrics.best_share(metrics.breakdown(keys, ledger.pnl, ledger.notional))
        return None if found is None else {"key": found[0], "share": _rounded(found[1])}

    return {
        "without_best": [{"k": k, "net": _rounded(metrics.without_best(ledger.pnl, k))} for k in BEST],
        "best_month": best(metrics.month_of(ledger.left_ms)),
        "best_symbol": best(ledger.symbol),
        "best_side": best(ledger.side),
        "best_regime": best(ledger.regime),
        "index": _rounded(metrics.concentration(ledger.pnl)),
    }


def luck(ledger: Ledger, account: Account, *, seed: int) -> dict[str, Any]:
    """Intervals of resampled trades (those entered on one day together) and of resampled days, drawdowns that the same trades could have had,
    and the chance that the Sharpe ratio is above 0 with the days that it takes to be 95 % sure. Trades in order of exit."""
    returns = metrics.daily_returns(account.times, account.equity, account.capital)
    of_trades = metrics.trade_intervals(ledger.pnl, ledger.notional, ledger.entered_ms // metrics.DAY_MS, seed=seed)._asdict()
    of_days = metrics.day_intervals(returns, seed=seed)._asdict()
    bands = metrics.drawdown_bands(metrics.fractions(ledger.pnl, account.capital), seed=seed)
    seen = deflated.moments(returns)
    return {
        "seed": seed,
        "trades": {name: _listed(found) for name, found in of_trades.items()},
        "days": {name: _listed(found) for name, found in of_days.items()},
        "record": {
            "days": int(returns.shape[0]),
            "above_zero": None if seen is None else _rounded(deflated.probabilistic_sharpe(seen)),
            "days_needed": None if seen is None else _rounded(deflated.least_returns(seen), 1),
        },
        "drawdowns": bands
        and {"seen_pct": _rounded(bands.seen_drawdown_pct, 4), "drawn": _paths(bands.drawn), "shuffled": _paths(bands.shuffled)},
    }


def _paths(paths: Paths) -> dict[str, Any]:
    return {
        "paths": paths.paths,
        "max_drawdown_pct": _listed(paths.max_drawdown_pct),
        "deeper": paths.deeper,
        "ruin": paths.ruin,
        "trade": paths.trade.tolist(),
        "equity": np.round(paths.equity, 5).tolist(),
    }


def _listed(found: Iterable[float] | float | None) -> list[float | None] | float | None:
    return [_rounded(end) for end in found] if isinstance(found, tuple) else found  # type: ignore[return-value]


def _rounded(value: float | None, places: int = 6) -> float | None:
    return None if value is None else round(float(value), places)
