"""How a run was simulated, in words: for the report, the list and the command."""

from collections.abc import Mapping, Sequence
from typing import Any

from backtesting.engine import RANGES, Engine
from backtesting.forms_engine import LABELS, WORDS

HOUR_MS = 3_600_000
BRIEF = {
    "path": "{} path",
    "detail": "{} bars inside",
    "entry": "{} orders",
    "limit_offset": "limit {} ATR better",
    "limit_bars": "limit good for {} bars",
    "opposite": "opposite decisions {}",
    "sizing": "sized by {}",
    "notional_pct": "notional {} %",
    "slippage_range_pct": "slippage {} % of the range",
    "impact": "impact {}",
    "participation_pct": "at most {} % of the volume",
    "max_joint_pct": "at most {} % in joint markets",
    "liquidation_fee_pct": "liquidation fee {} %",
}
LEVELS = (("Stop", "stop_atr"), ("TP1", "tp1_atr"), ("TP2", "tp2_atr"), ("TP3", "tp3_atr"), ("Trail", "trail_atr"))
UNITS = {"atr": "ATR", "volatility": "volatility"}


def unusual(engine: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, value in words) of the stored settings that differ from the usual ones."""
    return [(LABELS[name][0], _word(name, value)) for name, value in Engine.parse(engine).unusual.items()]


def briefly(engine: Mapping[str, Any]) -> str:
    """The same in a few words, such as "adaptive path, notional 50 %"; empty for the usual settings."""
    found = Engine.parse(engine).unusual
    if "notional_pct" in found:
        found.pop("sizing", None)  # said by its share
    briefs = BRIEF | ({"limit_bars": "limit good for {} bar"} if found.get("limit_bars") == 1 else {})
    return ", ".join(briefs[name].format(f"{value:g}" if name in RANGES else value) for name, value in found.items())


def plan(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, value) of the plan among a run's stored settings: levels in its unit from the entry; empty for runs that kept none."""
    kept = params.get("plan")
    if not kept:
        return []
    unit = UNITS.get(kept["unit"], kept["unit"])
    return [
        *((label, f"{kept[name]:g} {unit}") for label, name in LEVELS),
        ("Longest hold", f"{kept['max_hold_ms'] / HOUR_MS:g} h"),
        ("Unit", f"{unit} of {kept['atr_period']} bars of {kept['atr_timeframe']}"),
    ]


def charged(costs: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[str]:
    """What trading was taken to cost, a sentence for each group of markets that cost the same. Runs of old kept one for all of them."""
    groups = [{"symbols": [], **costs}] if isinstance(costs, Mapping) else costs
    return [_rates(group, named=len(groups) > 1) for group in groups]


def _rates(group: Mapping[str, Any], *, named: bool) -> str:
    hourly = group["funding_bps_per_hour"]
    rates = f"maker {group['maker_bps']:g} bps, taker {group['taker_bps']:g} bps, slippage {group['slippage_bps']:g} bps"
    funding = f"default funding {hourly:g} bps an hour" if hourly else "no funding"
    told = f"{rates}, {funding}."
    return f"{', '.join(group['symbols'])}: {told}" if named else told.capitalize()


def _word(name: str, value: Any) -> str:
    return f"{value:g}" if name in RANGES else WORDS[value]
