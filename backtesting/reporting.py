"""The figures of a finished simulation, each with its span and sample size, and the answers of the honesty checklist."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import figures, kernel, metrics, preparation, reproduction
from backtesting.baselines import Baseline
from backtesting.engine import Engine
from backtesting.figures import Account, Ledger, figure
from backtesting.honesty import checklist, halting, inside
from backtesting.honesty import costs as costs_of
from backtesting.honesty.again import Simulation, again
from backtesting.honesty.checklist import Case
from backtesting.honesty.sayings import counted
from backtesting.metrics import History, Interval
from backtesting.models import BacktestRun
from backtesting.workload import Workload
from exchanges.costs import CostModel
from exchanges.exits import END_OF_DATA, REASONS
from exchanges.models import Market, Provenance
from exchanges.risk.profiles import RiskProfile
from exchanges.timeframes import TIMEFRAME_MS
from signals import processing, regimes, strategies
from signals.training import figures as training_figures
from traderai.lib import clock

MOST_POINTS = 2_000
SIMULATED_LABEL = "SIMULATED MARKET"


class Report(NamedTuple):
    """What the run keeps: figures, thinned curves, and the settings as they were used."""

    metrics: dict[str, Any]
    equity: dict[str, Any]
    params: dict[str, Any]


def report(
    run: BacktestRun,
    work: Workload,
    engine: Engine,
    done: Simulation,
    profile: RiskProfile,
    random: Baseline | None,
    configuration: Mapping[str, Any],
) -> Report:
    """Everything about one result.

    random -- what the same number of entries at random moments earned. configuration -- what makes the run repeatable (backtesting.reproduction)
    """
    model, markets, prepared, bars, result = run.model, work.markets, work.prepared, done.bars, done.result
    capital, trades, bar_ms = float(run.capital), result.trades, TIMEFRAME_MS[run.timeframe]
    start_ms, end_ms = int(result.times[0]), int(result.times[-1]) + bar_ms
    span = {
        "start": _iso(start_ms),
        "end": _iso(end_ms),
        "start_ms": start_ms,
        "end_ms": end_ms,
        "days": round((end_ms - start_ms) / metrics.DAY_MS, 2),
    }
    histories = [History(item.frame.timestamp, item.frame.open, item.frame.close) for item in prepared]
    hold = metrics.buy_and_hold(result.times, histories, capital)
    n, left_open = _counts(trades)
    ledger, account = ledger_of(markets, bars, trades), Account(result.times, result.equity, capital, end_ms - start_ms)
    finer = inside.finer(done, prepared, engine)
    others = again(done, finer)
    singles = _figures(bars, trades, result, capital, hold) | figures.of_account(account) | figures.of_trades(ledger, account)
    stopped_ms = halting.stopped_ms(done)
    found: dict[str, Any] = {
        "span": span,
        "sample": {
            "trades": n,
            "open_at_end": left_open,
            "bars": int(bars.at.shape[0]),
            "candidates": sum(int(np.count_nonzero(item.candidates.side)) for item in prepared),
            "judged": _summed([item.judged for item in prepared]),
            "signals": result.signals,
            "refused": result.refused,
            "symbols": run.symbols,
            "enough": n >= metrics.ENOUGH_TRADES,
            "note": metrics.sample_note(n),
            "stopped_ms": stopped_ms,
            "stopped": "" if stopped_ms is None else stopped_sentence(stopped_ms, done.rules.max_drawdown_pct),
            "paused": paused_sentence(result.refused.get("daily_loss", 0), result.signals, done.rules.max_daily_loss_pct),
        },
        "model": None if model is None else {"version": model.version, "scope": model.scope, "oos_start": _iso(model.oos_start_ms)},
        "strategy": {"slug": run.strategy, "label": run.strategy_label, "params": run.strategy_params},
        "provenance": run.provenance,
        "label": SIMULATED_LABEL if run.provenance == Provenance.SIMULATED else "",
        "costs": _charged(markets),
        "metrics": {name: {**each, "start": span["start"], "end": span["end"]} for name, each in singles.items()},
        "costs_paid": {**figures.costs_paid(ledger), "at": costs_of.at(others)},
        "tables": figures.tables(ledger, account),
        "concentration": figures.concentration(ledger),
        "luck": {**figures.luck(ledger, account, seed=reproduction.SEED), "random": random and random._asdict()},
        "notes": _notes(run, engine),
    }
    closed = trades.reason != END_OF_DATA
    independent = _independent((trades.pnl / (trades.qty * trades.entry))[closed], bars, trades.entered[closed])
    case = Case(run, work, done, others, finer, found, independent, configuration, reproduction.data_hash(configuration["data"]))
    found["checks"] = checklist.answers(case)
    params = {
        "template": run.strategy,
        "strategy_params": run.strategy_params,
        "engine": engine.to_json(),
        "timeframe": run.timeframe,
        "plan": asdict(work.plan),
        "rule": {} if model is None else asdict(processing.entry_rule(strategies.template(run.strategy))),
        "risk_profile": asdict(profile),
        **configuration,
    }
    return Report(found, _curves(result, capital, hold), params)


def ledger_of(markets: Sequence[Market], bars: kernel.Bars, trades: kernel.Trades) -> Ledger:
    """The trades in order of exit, with the regime that was known when they were decided."""
    opens = bars.timestamp
    decided = opens[trades.decided]
    regime = np.full(trades.symbol.shape[0], figures.UNKNOWN, dtype=object)
    for number, market in enumerate(markets):
        own = np.flatnonzero(trades.symbol == number)
        regime[own] = [name or figures.UNKNOWN for name in regimes.names_at(market, decided[own])]
    return figures.by_exit(
        Ledger(
            symbol=[markets[number].symbol for number in trades.symbol.tolist()],
            side=["long" if side > 0 else "short" for side in trades.side.tolist()],
            reason=[REASONS[code] for code in trades.reason.tolist()],
            regime=regime.tolist(),
            entered_ms=opens[trades.entered],
            left_ms=opens[trades.left],
            entry=trades.entry,
            exit=trades.exit,
            qty=trades.qty,
            stop=trades.stop,
            fees=trades.fees,
            slippage=trades.slippage,
            funding=-trades.funding,  # the kernel counts what was received
            pnl=trades.pnl,
            is_closed=trades.reason != END_OF_DATA,
        )
    )


def stopped_sentence(stopped_ms: int, limit_pct: float) -> str:
    """What a reader of the figures has to know of a run that ended early."""
    day = f"{clock.from_ms(stopped_ms):%-d %b %Y}"
    return (
        f"Entered nothing after {day}: the drawdown limit of {limit_pct:g} % was reached; the days after it count as days without a change."
    )


def paused_sentence(refused: int, signals: int, limit_pct: float) -> str:
    """What a reader of the figures has to know of a run some of whose days ended early; empty for one without such a day."""
    if not refused:
        return ""
    return f"Days that lost {limit_pct:g} % ended early: the daily loss limit refused {refused} of {counted(signals, 'signal')}."


def _charged(markets: Sequence[Market]) -> list[dict[str, Any]]:
    """What trading was taken to cost, the markets that cost the same together: {symbols, and the fields of exchanges.costs.CostModel}."""
    groups: dict[CostModel, list[str]] = {}
    for market in markets:
        groups.setdefault(market.costs, []).append(market.symbol)
    return [{"symbols": symbols, **asdict(costs)} for costs, symbols in groups.items()]


def _summed(parts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {code: total for code in preparation.STAGES if (total := sum(part.get(code, 0) for part in parts))}


def _counts(trades: kernel.Trades) -> tuple[int, int]:
    """(closed by the plan, closed only because the data ended)"""
    left_open = int((trades.reason == END_OF_DATA).sum())
    return int(trades.reason.shape[0]) - left_open, left_open


def _independent(values: NDArray[Any], bars: kernel.Bars, entered: NDArray[np.int64]) -> float:
    """How many independent trades these are worth: markets that move together win and lose together."""
    return training_figures.independent(values.astype(np.float64), np.ones(values.shape[0]), bars.timestamp[entered])


def _rate_interval(hit: NDArray[np.bool_], bars: kernel.Bars, entered: NDArray[np.int64]) -> Interval | None:
    independent = _independent(hit, bars, entered)
    return metrics.wilson(float(hit.mean()) * independent, independent) if hit.size else None


def _figures(
    bars: kernel.Bars, trades: kernel.Trades, result: kernel.Result, capital: float, hold: NDArray[np.float64]
) -> dict[str, dict[str, Any]]:
    """Rates and means are over positions that their plan closed; money is over all, those closed at the last close included."""
    n, left_open = _counts(trades)
    is_closed = trades.reason != END_OF_DATA
    pnl, notional, tps = trades.pnl[is_closed], (trades.qty * trades.entry)[is_closed], trades.tps[is_closed]
    entered, hit, won = trades.entered[is_closed], tps >= 1, pnl > 0
    expectancy = metrics.expectancy_interval(pnl, notional, _independent(pnl / notional, bars, entered))
    days = metrics.daily_returns(result.times, result.equity, capital)
    no_trades, few_days = "no trades", "needs two days whose returns differ"

    moments = int(result.times.shape[0])
    return {
        "hit_rate_tp1": figure(metrics.hit_rate(int(hit.sum()), n), n, no_trades, _rate_interval(hit, bars, entered)),
        "win_rate": figure(metrics.hit_rate(int(won.sum()), n), n, no_trades, _rate_interval(won, bars, entered)),
        "profit_factor": figure(metrics.profit_factor(pnl), n, "no losing trade" if n else no_trades),
        "expectancy_pct": figure(metrics.expectancy_pct(pnl, notional), n, no_trades, expectancy),
        "sharpe": figure(metrics.sharpe(days), int(days.shape[0]), few_days, metrics.sharpe_interval(days)),
        "sortino": figure(metrics.sortino(days), int(days.shape[0]), "no losing day"),
        "max_drawdown_pct": figure(metrics.max_drawdown_pct(result.equity, capital), moments, "no bars"),
        "max_drawdown_days": figure(metrics.max_drawdown_days(result.times, result.equity, capital), moments, "no bars"),
        "total_return_pct": figure(metrics.total_return_pct(result.balance, capital), n + left_open),
        "final_equity": figure(result.balance, n + left_open),
        "trades": figure(n, n),
        "open_at_end": figure(left_open, left_open),
        "fees": figure(float(trades.fees.sum()), n + left_open),
        "funding": figure(float(trades.funding.sum()), n + left_open),
        "exposure_pct": figure(result.exposure * 100.0, moments),
        "buy_and_hold_pct": figure(float(hold[-1] / capital - 1.0) * 100.0 if hold.shape[0] else None, moments, "no bars"),
    }


def _curves(result: kernel.Result, capital: float, hold: NDArray[np.float64]) -> dict[str, Any]:
    """At most MOST_POINTS points; every stretch keeps its last value and the deepest drawdown keeps its place."""
    n = result.times.shape[0]
    fall = metrics.drawdown_pct(result.equity, capital)
    kept = np.unique(np.append(np.linspace(0, n - 1, min(n, MOST_POINTS - 1)).astype(np.int64), fall.argmax()))
    return {
        "timestamps": result.times[kept].tolist(),
        "equity": np.round(result.equity[kept], 6).tolist(),
        "drawdown_pct": np.round(fall[kept], 4).tolist(),
        "open_notional": np.round(result.notional[kept], 4).tolist(),
        "buy_and_hold": np.round(hold[kept], 6).tolist(),
    }


INSIDE = {
    "pessimistic": "Pessimistic inside a bar: liquidation, then stop, then targets; targets need a trade-through; a gap fills at the open.",
    "adaptive": "Adaptive inside a bar: the extreme nearer to the open is taken to have come first, which is kinder than the pessimistic path.",
    "optimistic": "Optimistic inside a bar: targets before stops. No result to trade on; it shows how much the pessimistic path assumes.",
}
ENTRY = {
    "market": "Entries fill at the open of the bar after the decision, at the earliest.",
    "limit": "Entries are limit orders from the open after the decision on: they need a trade-through, and lapse when the price does not come.",
}


def _notes(run: BacktestRun, engine: Engine) -> list[str]:
    if run.model is None:
        seen = "Not out of sample: nobody has kept this time back. Parameters that were chosen by looking at it flatter the result; a walk-forward search does not."
    else:
        first = f"{clock.from_ms(run.model.oos_start_ms):%Y-%m-%d %H:%M}"
        seen = f"Out of sample: the model has seen nothing from {first} UTC on; labels that reach into that time were purged and an embargo kept."
    notes = [
        seen,
        "After costs: maker and taker fees, slippage on what takes liquidity, funding at the stored rates, and at the default for every hour that none stands for.",
        INSIDE[engine.path],
        ENTRY[engine.entry],
        "Positions still open at their market's last bar are closed at its close; they count in money, not in hit rate, win rate, profit factor or expectancy.",
        "Venue rules (steps, minimums, fees) are today's, applied to the whole span.",
        "The symbols were chosen today: coins that have disappeared since are missing, which flatters any strategy.",
    ]
    if run.provenance == Provenance.SIMULATED:
        notes.insert(0, "SIMULATED MARKET: prices were generated; these figures say nothing about any real market.")
    return notes


def _iso(ms: int) -> str:
    return clock.from_ms(ms).isoformat()
