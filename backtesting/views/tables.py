"""The tables and small plots of a report, from the figures that the run stored. Runs of earlier days stored fewer: what is missing is None."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from signals.views.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Plot, Scale, Tick, steps
from traderai.lib import clock

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HEAT_LEVELS = 4
GROUPS = (
    ("symbol", "Market", "By market"),
    ("side", "Side", "By side"),
    ("reason", "Left by", "By the reason for leaving"),
    ("regime", "Regime", "By the market's regime at the decision"),
    ("weekday", "Weekday", "By weekday of entry, UTC"),
    ("hour", "Hour", "By hour of entry, UTC"),
    ("month", "Month", "By month of exit, UTC"),
)
BEST = {"best_month": "month", "best_symbol": "market", "best_side": "side", "best_regime": "regime"}
INTERVALS = (
    ("trades", "expectancy_pct", "Expectancy a trade", "%", 1.0),
    ("trades", "total", "Net profit", "money", 1.0),
    ("trades", "profit_factor", "Profit factor", "", 1.0),
    ("trades", "won", "Won after costs", "%", 100.0),
    ("days", "sharpe", "Sharpe, daily, a year", "", 1.0),
    ("days", "cagr_pct", "Return a year", "%", 1.0),
    ("days", "max_drawdown_pct", "Deepest drawdown", "%", 1.0),
)


def of_report(found: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Everything of this module that the template asks for."""
    tables = found.get("tables") or {}
    return {
        "months": MONTHS,
        "years": years(tables.get("years") or []),
        "drawdowns": [_dated(fall) for fall in tables.get("drawdowns") or []],
        "groups": [
            {"name": name, "heading": heading, "title": title, "rows": [_named(row) for row in tables[name]]}
            for name, heading, title in GROUPS
            if tables.get(name)
        ],
        "costs_paid": costs(found.get("costs_paid")),
        "concentration": concentration(found.get("concentration")),
        "luck": luck(found.get("luck"), currency),
        "verdicts": verdicts(found["checks"]),
    }


def years(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Monthly returns with the heat of each: 1 to HEAT_LEVELS by its size against the largest, up or down."""
    most = max((abs(value) for row in rows for value in row["months"] if value is not None), default=0.0)
    return [
        {"year": row["year"], "total": row["total"], "months": [{"value": value, "heat": heat(value, most)} for value in row["months"]]}
        for row in rows
    ]


def heat(value: float | None, most: float) -> str:
    """The class of a cell; empty for nothing and for zero."""
    if not value or not most:
        return ""
    return f"heat--{'up' if value > 0 else 'down'}{max(1, ceil(HEAT_LEVELS * abs(value) / most - 1e-9))}"


def _dated(fall: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: None if fall[f"{name}_ms"] is None else clock.from_ms(fall[f"{name}_ms"]) for name in ("start", "valley", "recovered")}
    return {**times, "depth_pct": fall["depth_pct"], "days": fall["days"]}


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    key = str(row["key"])
    return {
        **row,
        "key": key if "/" in key else key.replace("_", " "),
        "won_pct": None if row["won"] is None else row["won"] * 100.0,
        "share_pct": None if row["share"] is None else row["share"] * 100.0,
    }


def costs(paid: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """From what the prices brought to what is left: lines of name, amount (what was paid is negative) and share of the gross profit, %."""
    if not paid:
        return None
    shares = paid["shares"]
    lines = [
        {"name": name, "value": -paid[key], "share": None if shares.get(key) is None else shares[key] * 100.0}
        for name, key in (("Fees", "fees"), ("Slippage", "slippage"), ("Funding", "funding"))
    ]
    return {**paid, "lines": lines}


def concentration(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Of how few trades, months and markets the profit is."""
    if not found:
        return None
    best = [
        {"what": word, "key": found[name]["key"], "share": found[name]["share"] * 100.0} for name, word in BEST.items() if found.get(name)
    ]
    return {"without_best": found["without_best"], "best": best, "index": found["index"]}


def luck(found: Mapping[str, Any] | None, currency: str) -> dict[str, Any] | None:
    """Intervals of the main figures, and what other orders of the same trades would have brought."""
    if not found:
        return None
    intervals = []
    for part, name, label, unit, factor in INTERVALS:
        pair = (found.get(part) or {}).get(name)
        if pair:
            unit_shown = currency if unit == "money" else unit
            intervals.append({"label": label, "low": pair[0] * factor, "high": pair[1] * factor, "unit": unit_shown})
    paths = found.get("drawdowns") or {}
    both = [_paths(paths.get("shuffled"), "in another order"), _paths(paths.get("drawn"), "drawn anew, some twice and some never")]
    return {
        "intervals": intervals,
        "clusters": (found.get("trades") or {}).get("clusters"),
        "record": _record(found.get("record")),
        "seen_pct": paths.get("seen_pct"),
        "both": [each for each in both if each],
        "random": _random(found.get("random")),
        "seed": found["seed"],
    }


def _random(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What entries at random moments earned, with the same plan and costs."""
    return {**found, "beaten_pct": found["beaten"] * 100.0} if found else None


def _record(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not found or found["above_zero"] is None:
        return None
    needed = found["days_needed"]
    return {
        "days": found["days"],
        "above_zero_pct": found["above_zero"] * 100.0,
        "years_needed": None if needed is None else needed / 365.0,
        "is_enough": needed is not None and found["days"] >= needed,
    }


def _paths(found: Mapping[str, Any] | None, how: str) -> dict[str, Any] | None:
    if not found:
        return None
    rows = [
        {"trade": trade, "low": low, "middle": middle, "high": high}
        for trade, (low, middle, high) in zip(found["trade"], found["equity"], strict=True)
    ]
    return {
        "how": how,
        "paths": found["paths"],
        "falls": found["max_drawdown_pct"],
        "deeper_pct": found["deeper"] * 100.0,
        "ruin_pct": found["ruin"] * 100.0,
        "rows": rows,
        "plot": bands(rows, f"Equity by trade number in {found['paths']} runs of the trades {how}: median and 90 % band"),
    }


def bands(rows: Sequence[Mapping[str, float]], label: str) -> Plot | None:
    """A median line within its band: `trade` on x, multiples of the capital on y. None for fewer than two points."""
    if len(rows) < 2:
        return None
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    room = (high - low) * 0.06 or 0.01
    x = Scale(rows[0]["trade"], rows[-1]["trade"], LEFT, WIDTH - RIGHT)
    y = Scale(low - room, high + room, HEIGHT - BOTTOM, TOP)
    upper = [(x.at(row["trade"]), y.at(row["high"])) for row in rows]
    lower = [(x.at(row["trade"]), y.at(row["low"])) for row in reversed(rows)]
    middle = [(x.at(row["trade"]), y.at(row["middle"])) for row in rows]
    return Plot(
        label,
        HEIGHT,
        [Tick(x.at(value), f"{value:g}") for value in steps(rows[0]["trade"], rows[-1]["trade"], 4)],
        [Tick(y.at(value), f"{value:g}") for value in steps(low - room, high + room)],
        "trade number",
        "times the capital",
        [],
        _joined(middle),
        _joined([*upper, *lower]),
        [],
    )


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def verdicts(checks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The checks in groups, the worst first; within a group in their own order."""
    titles = {"fail": "Failed", "warn": "To be careful about", "pass": "Passed", "skip": "Not applicable"}
    groups = [
        {"verdict": word, "title": title, "checks": [each for each in checks if each["verdict"] == word]} for word, title in titles.items()
    ]
    return [group for group in groups if group["checks"]]
