"""Why a position came out otherwise than its simulation: one cause for each part of the difference, by rule, with its share of the money.

Three tellings are compared, each with the next: the plan simulated on today's candles; the same from the recorded entry on, so that only the
entry tells the two apart; and what was booked, after today's funding and fee rates have been set against those that were paid. The parts add
up to the whole difference.
"""

from typing import NamedTuple

import numpy as np

from backtesting.parity.legs import bar_length, unlike
from backtesting.parity.record import CENT, LEVELS, Money, Recorded
from backtesting.parity.telling import Told
from exchanges import precision
from exchanges.ports import CandleFrame
from traderai.lib import clock

UNEXPLAINED, NOT_ENTERED, LATE, ENTRY_PRICE, TICKS, HAND, KILL, CANDLES, EXIT_PRICE, FUNDING, FEES, ROUNDING = (
    "unexplained", "not_entered", "late", "entry_price", "ticks", "hand", "kill_switch", "candles", "exit_price", "funding", "fees", "rounding",
)  # fmt: skip
TITLES = {
    UNEXPLAINED: "Unexplained",
    NOT_ENTERED: "Not entered today",
    LATE: "Filled late",
    ENTRY_PRICE: "Price of the entry",
    TICKS: "Levels on other ticks",
    HAND: "Closed by hand",
    KILL: "Closed by the kill switch",
    CANDLES: "Candles changed or missing",
    EXIT_PRICE: "Price of the exit",
    FUNDING: "Funding stored later",
    FEES: "Another fee rate",
    ROUNDING: "Less than a tick",
}
"""In the order in which the report shows them."""
LATE_MS = 1_000
WORDS = {
    "no_bar": "the bar after the decision is not stored",
    "deviation": "today's next bar opens more than 5 % from the decision's close",
    "price_moved": "today's next bar opens beyond the stop or the first target",
    "margin": "it would be liquidated at its own price",
    "size": "it is worth less than the venue's least order",
}


class Difference(NamedTuple):
    """A cause, its sentence, and what it did to the net result in quote currency (negative: it cost)."""

    cause: str
    sentence: str
    money: float


class Tellings(NamedTuple):
    """simulated: the plan, or the word that kept it out; retold: from the recorded entry on; booked: what was recorded. frame: today's bars
    from that of the entry on."""

    simulated: Told | str
    retold: Told
    booked: Told
    money: Money
    frame: CandleFrame


def explain(record: Recorded, seen: Tellings) -> list[Difference]:
    """All differences, the unexplained first. A remainder under a tick is left to ROUNDING."""
    found = [*_of_money(seen.money, seen.booked), *_of_exits(record, seen), *_of_entry(record, seen)]
    simulated = 0.0 if isinstance(seen.simulated, str) else seen.simulated.net
    rest = seen.booked.net - simulated - sum(each.money for each in found)
    if found and abs(rest) > CENT:
        found.append(Difference(ROUNDING, "What is left of the difference is less than a tick of the prices.", rest))
    return sorted(found, key=lambda each: list(TITLES).index(each.cause))


def entry_error_bps(record: Recorded, simulated: Told) -> float:
    """How much worse the fill is than the simulated entry, in basis points of it; negative: better."""
    return (float(record.position.entry_price) / simulated.entry - 1.0) * record.position.sign * 1e4


def _of_money(money: Money, booked: Told) -> list[Difference]:
    found = []
    if money.boundaries:
        payments = f"{money.boundaries} funding payment{'s' if money.boundaries != 1 else ''}"
        sums = f"{booked.funding:+.4g} was booked, today's rates ask for {booked.funding + money.funding:+.4g}"
        sentence = f"{payments} would be of another rate today: the rate was stored or changed after it was paid. In all {sums}."
        found.append(Difference(FUNDING, sentence, -money.funding))
    if money.charged:
        fills = "; ".join(f"{reason} {paid:.4g} for {today:.4g}" for reason, paid, today in money.charged)
        found.append(Difference(FEES, f"The fees were booked at rates that are not the market's of today: {fills}.", money.fees))
    return found


# --- the entry


def _of_entry(record: Recorded, seen: Tellings) -> list[Difference]:
    tick = float(record.market.tick_size)
    if isinstance(seen.simulated, str):
        why = WORDS.get(seen.simulated, seen.simulated)
        return [Difference(NOT_ENTERED, f"The simulation does not enter: {why}.", seen.retold.net)]
    money, before = seen.retold.net - seen.simulated.net, seen.simulated
    moved = abs(float(record.position.entry_price) - before.entry) > tick * 0.5 or before.entered_ms != seen.booked.entered_ms
    ticks = _levels_moved(record)
    if not moved and not ticks:
        return [Difference(UNEXPLAINED, "The entry is the same, and the two still differ.", money)] if abs(money) > CENT else []
    if not moved:
        return [Difference(TICKS, f"{', '.join(ticks)} lie elsewhere on today's ticks of {tick:g}.", money)]
    error, late_ms = entry_error_bps(record, before), record.filled_ms - record.decided_ms
    worse = f"{abs(error):.1f} bps {'worse' if error > 0 else 'better'} than the simulated entry at {before.entry:.10g}"
    if late_ms >= LATE_MS:
        return [Difference(LATE, f"Filled {_span(late_ms)} after the open of the next bar, {worse}.", money)]
    slippage = record.market.costs.slippage_bps
    sentence = f"Filled at once, but {worse}: the real price was not the next bar's open with {slippage:g} bps of slippage."
    return [Difference(ENTRY_PRICE, sentence, money)]


def _levels_moved(record: Recorded) -> list[str]:
    """Those of the position's levels that are not the plan's on the market's ticks of today."""
    position, tick = record.position, record.market.tick_size
    own = dict(zip(LEVELS, (position.initial_stop, position.tp1, position.tp2, position.tp3), strict=True))
    return [name for name in LEVELS if own[name] != precision.to_tick(precision.exact(record.order.plan[name]), tick)]


def _span(ms: int) -> str:
    seconds = ms // 1000
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


# --- the exits


def _of_exits(record: Recorded, seen: Tellings) -> list[Difference]:
    """What stays between the recorded entry told again and what was booked, without funding and fees: leg by leg."""
    retold, booked, tick = seen.retold, seen.booked, float(record.market.tick_size)
    money = booked.net + seen.money.funding - seen.money.fees - retold.net
    legs = unlike(retold.legs, booked.legs, record.market)
    if not legs:
        return (
            [Difference(UNEXPLAINED, "Entry and exits are the same, and the money is not.", money)]
            if abs(money) > tick * float(record.position.qty_opened) + CENT
            else []
        )
    where = f"Today's plan differs in {len(legs)} exit{'s' if len(legs) != 1 else ''}: {'; '.join(legs)}."
    if booked.reason in ("manual", "flatten"):
        cause, who = (HAND, "by hand") if booked.reason == "manual" else (KILL, "by the kill switch")
        return [Difference(cause, f"Closed {who} at {_moment(booked.left_ms)}, {booked.exit:.10g} on average. {where}", money)]
    if _is_same_way(seen) and record.position.account.environment != "paper":
        return [Difference(EXIT_PRICE, f"Left the same way in the same bars, at other prices. {where}", money)]
    evidence = _candles_changed(record, seen)
    if evidence:
        return [Difference(CANDLES, f"{evidence} {where}", money)]
    return [Difference(UNEXPLAINED, f"{where} Nothing stored says why.", money)]


def _is_same_way(seen: Tellings) -> bool:
    """The same exits in the same bars."""
    ways = [[(leg.reason, leg.at_ms // bar_length()) for leg in told.legs] for told in (seen.retold, seen.booked)]
    return ways[0] == ways[1]


def _candles_changed(record: Recorded, seen: Tellings) -> str:
    """The first proof that the bars it was managed on are not those of today; empty without one."""
    frame, last_ms = seen.frame, seen.booked.left_ms
    inside = (frame.timestamp >= seen.booked.entered_ms) & (frame.timestamp <= last_ms)
    missing = (last_ms - seen.booked.entered_ms) // bar_length() + 1 - int(np.count_nonzero(inside))
    for fill in record.exits:
        told = _not_in_todays_bar(record, frame, clock.to_ms(fill.at), fill.reason, float(fill.price))
        if told:
            return told
    if missing and not record.market.has_sessions:
        return f"{missing} bar{'s' if missing != 1 else ''} of its time {'is' if missing == 1 else 'are'} not stored today."
    return _other_best_price(record, frame, inside)


def _not_in_todays_bar(record: Recorded, frame: CandleFrame, at_ms: int, reason: str, price: float) -> str:
    """Whether an exit by the plan could not be booked on today's bar of its moment."""
    row = int(np.searchsorted(frame.timestamp, at_ms))
    if row >= len(frame) or int(frame.timestamp[row]) != at_ms:
        return f"The bar of {_moment(at_ms)}, in which it left by {reason}, is not stored today."
    is_target, tick, position = reason.startswith("tp"), float(record.market.tick_size), record.position
    slippage = 0.0 if is_target or reason == "liquidation" else record.market.costs.slippage_bps * 1e-4
    raw = price / (1.0 - position.sign * slippage)
    low, high = float(frame.low[row]), float(frame.high[row])
    if reason == "time":
        is_possible = abs(raw - float(frame.open[row])) <= tick
    elif is_target:
        is_possible = high > raw if position.is_long else low < raw
    else:
        is_possible = low - tick <= raw <= high + tick
    return (
        ""
        if is_possible
        else f"It left by {reason} at {price:.10g} in the bar of {_moment(at_ms)}, which today ranges from {low:.10g} to {high:.10g}."
    )


def _other_best_price(record: Recorded, frame: CandleFrame, inside: np.ndarray) -> str:
    """The most favourable price that the position followed is one that today's bars before its last have passed, or never reached."""
    position, tick = record.position, float(record.market.tick_size)
    best = float(position.best_price) * position.sign
    extremes = np.where(position.is_long, frame.high, -frame.low)[inside]
    entry = float(position.entry_price) * position.sign
    passed, reached = max([entry, *extremes[:-1]]), max([entry, *extremes])
    if passed > best + tick or best > reached + tick:
        return f"The best price it followed is {abs(best):.10g}; in today's bars that is {abs(passed if passed > best else reached):.10g}."
    return ""


def _moment(ms: int) -> str:
    return f"{clock.from_ms(ms):%Y-%m-%d %H:%M}"
