"""A finished run as its page shows it: figures as people read them, curves, reasons."""

from typing import Any

from django.http import HttpRequest

from backtesting import wording
from backtesting.models import BacktestRun
from backtesting.views import tables, trades
from signals import processing
from traderai.lib import clock

TABLE_POINTS = 60
MOST_REPETITIONS = 10

LABELS = {
    "hit_rate_tp1": ("Reached TP1", "share"),
    "win_rate": ("Won after costs", "share"),
    "profit_factor": ("Profit factor", "number"),
    "expectancy_pct": ("Expectancy a trade", "percent"),
    "total_return_pct": ("Total return", "percent"),
    "buy_and_hold_pct": ("Buy and hold, same span", "percent"),
    "max_drawdown_pct": ("Deepest drawdown", "fall"),
    "max_drawdown_days": ("Longest drawdown", "days"),
    "sharpe": ("Sharpe, daily, a year", "number"),
    "sortino": ("Sortino, daily, a year", "number"),
    "final_equity": ("Final equity", "money"),
    "trades": ("Trades", "count"),
    "open_at_end": ("Still open at the end", "count"),
    "fees": ("Fees paid", "money"),
    "funding": ("Funding", "money"),
    "exposure_pct": ("Time with a position", "fall"),
    "cagr_pct": ("Growth, compounded, a year", "percent"),
    "volatility_pct": ("Volatility, daily, a year", "fall"),
    "calmar": ("Calmar: growth a year over deepest drawdown", "number"),
    "recovery_factor": ("Net result over deepest fall", "number"),
    "ulcer_index": ("Ulcer index of drawdowns", "fall"),
    "best_day_pct": ("Best day", "percent"),
    "worst_day_pct": ("Worst day", "percent"),
    "var_95_pct": ("Loss of a day that 1 in 20 exceeds", "fall"),
    "es_95_pct": ("Mean loss of the worst day in 20", "fall"),
    "var_99_pct": ("Loss of a day that 1 in 100 exceeds", "fall"),
    "es_99_pct": ("Mean loss of the worst day in 100", "fall"),
    "payoff_ratio": ("Mean win over mean loss", "number"),
    "system_quality": ("System quality number", "number"),
    "losing_streak": ("Most losses in a row", "count"),
    "without_best_5": ("Net result without the five best trades", "money"),
    "holding_hours": ("Mean holding time", "hours"),
    "holding_hours_median": ("Median holding time", "hours"),
    "turnover_a_year": ("Turnover a year, times the equity", "number"),
    "cost_a_trade_pct": ("Costs of a mean trade, of notional", "fall"),
    "slippage": ("Slippage paid", "money"),
}

HEADLINE = (
    "total_return_pct",
    "buy_and_hold_pct",
    "max_drawdown_pct",
    "sharpe",
    "profit_factor",
    "expectancy_pct",
    "hit_rate_tp1",
    "win_rate",
    "trades",
    "final_equity",
    "fees",
    "funding",
)
"""What is shown first; the rest of LABELS is a table below."""

REFUSED = {
    "equity": "no equity was left",
    "daily_loss": "the day's loss limit was reached",
    "drawdown": "the drawdown limit was reached",
    "open_positions": "as many positions as allowed were open",
    "position": "the market had an open position",
    "deviation": "the open was far from the decision's price",
    "size": "the position would have been under the venue's minimum",
    "margin": "too little margin was free",
    "correlation": "too much was open in markets that move with it",
    "price_moved": "the open was beyond the stop or the first target",
    "unfilled": "the price never traded through the limit",
}
"""Why a signal was not entered, for the kernel's words."""


def context(request: HttpRequest, run: BacktestRun) -> dict[str, Any]:
    """What the template of a finished run needs."""
    found, curves = run.metrics, run.equity
    stamps, exposure = curves["timestamps"], _exposure(curves)
    every = max(1, len(stamps) // TABLE_POINTS)
    return (
        trades.listing(request.GET, run)
        | tables.of_report(found, run.currency)
        | {
            "found": found,
            "unusual": wording.unusual(run.engine),
            "plan": wording.plan(run.params),
            "charged": wording.charged(found["costs"]),
            "headline": [figure(name, found["metrics"][name], run.currency) for name in HEADLINE if name in found["metrics"]],
            "others": [
                figure(name, found["metrics"][name], run.currency) for name in LABELS if name in found["metrics"] and name not in HEADLINE
            ],
            "start": clock.from_ms(found["span"]["start_ms"]),
            "end": clock.from_ms(found["span"]["end_ms"]),
            "equity_rows": {
                "equity": [list(row) for row in zip(stamps, curves["equity"], strict=True)],
                "benchmark": [list(row) for row in zip(stamps, curves["buy_and_hold"], strict=True)],
            },
            "judged": [
                (processing.REJECTION_CODES.get(code, code), count)
                for code, count in sorted(found["sample"]["judged"].items(), key=lambda item: -item[1])
            ],
            "refused": [
                (REFUSED.get(word, word), count) for word, count in sorted(found["sample"]["refused"].items(), key=lambda item: -item[1])
            ],
            "drawdown_rows": [[at, -fall] for at, fall in zip(stamps, curves["drawdown_pct"], strict=True)],
            "shown_trade": request.GET.get("trade", ""),
            "exposure_rows": exposure,
            "table": [
                {
                    "at": clock.from_ms(stamps[i]),
                    "equity": curves["equity"][i],
                    "drawdown": curves["drawdown_pct"][i],
                    "hold": curves["buy_and_hold"][i],
                    "exposure": exposure[i][1] if exposure else None,
                }
                for i in range(0, len(stamps), every)
            ],
            "repetitions": list(run.repetitions.order_by("-pk")[:MOST_REPETITIONS]),
        }
    )


def _exposure(curves: dict[str, Any]) -> list[list[float]]:
    """Open positions in % of the equity by time in ms; empty for runs that did not keep them."""
    held = curves.get("open_notional")
    if not held:
        return []
    rows = zip(curves["timestamps"], held, curves["equity"], strict=True)
    return [[at, round(open_ / equity * 100.0, 3) if equity > 0 else 0.0] for at, open_, equity in rows]


def figure(name: str, found: dict[str, Any], currency: str) -> dict[str, Any]:
    """One figure as a person reads it: shares in %, intervals beside them, and why there is none."""
    label, kind = LABELS[name]
    factor, unit = (
        (100.0, "%")
        if kind == "share"
        else (1.0, {"percent": "%", "fall": "%", "days": "days", "hours": "h", "money": currency}.get(kind, ""))
    )
    value = None if found["value"] is None else found["value"] * factor
    interval = f"{found['low'] * factor:.1f} to {found['high'] * factor:.1f}{' %' if unit == '%' else ''}" if "low" in found else ""
    return {
        "label": label,
        "value": value,
        "unit": unit,
        "is_signed": kind == "percent",
        "places": 0 if kind == "count" else 2,
        "interval": interval,
        "n": found["n"],
        "reason": found.get("reason", ""),
    }
