"""The exits of a position one by one, as booked and as the kernel's rules have them, and where the two differ."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.conf import settings

from backtesting.kernel.books import to_tick
from exchanges import exits
from exchanges.exits import ExitFill, ExitPlan
from exchanges.models import Market
from exchanges.ports import CandleFrame
from exchanges.risk.liquidation import price_by_tiers, rows_of
from exchanges.timeframes import TIMEFRAME_MS
from traderai.lib import clock

END_OF_DATA = exits.REASONS[exits.END_OF_DATA]
NAMES = {
    "stop": "stop",
    "trail": "trailing stop",
    "time": "deadline",
    END_OF_DATA: "rest",
    "manual": "close by hand",
    "flatten": "kill switch",
}


class Leg(NamedTuple):
    """One exit: its reason as exchanges.exits has it, its moment in ms UTC (a bar's open), base coins, the price paid, the fee paid."""

    reason: str
    at_ms: int
    qty: float
    price: float
    fee: float

    @property
    def name(self) -> str:
        return NAMES.get(self.reason, self.reason.upper() if self.reason.startswith("tp") else self.reason)

    def __str__(self) -> str:
        return f"{self.reason} {self.qty:.10g} @ {self.price:.10g} {clock.from_ms(self.at_ms):%Y-%m-%dT%H:%M}"


def bar_length() -> int:
    """Of a bar that positions are managed on, in ms."""
    return TIMEFRAME_MS[settings.BASE_TIMEFRAME]


def merged(legs: Iterable[Leg]) -> tuple[Leg, ...]:
    """One leg for each reason: an exit that a venue filled in parts is one, at the mean price and the first part's moment."""
    found: dict[str, Leg] = {}
    for leg in legs:
        known = found.get(leg.reason)
        if known is None:
            found[leg.reason] = leg
            continue
        qty = known.qty + leg.qty
        price = (known.qty * known.price + leg.qty * leg.price) / qty
        found[leg.reason] = Leg(leg.reason, known.at_ms, qty, price, known.fee + leg.fee)
    return tuple(found.values())


def walked(market: Market, frame: CandleFrame, plan: ExitPlan, qty_opened: float) -> tuple[Leg, ...]:
    """What the kernel books for a position that is open from the frame's first bar on, on the pessimistic path and the last price; what is
    left at the frame's end leaves at its last close. plan -- its prices to the tick already"""
    legs: list[Leg] = []
    state, qty = exits.opening_state(plan), qty_opened
    for row in range(len(frame)):
        open_ms, remaining = int(frame.timestamp[row]), state.remaining
        prices = (float(column[row]) for column in (frame.open, frame.high, frame.low, frame.close))
        state, count, *fills = exits.step(plan, state, open_ms, *prices)
        for number, fill in enumerate(fills[:count], start=1):
            remaining = 0.0 if number == count and state.remaining <= 0.0 else remaining - fill.share
            least = float(market.min_notional) / fill.price if market.is_cash else 0.0
            leaves = exits.slice_qty(qty_opened, qty, remaining, float(market.step_size), least)
            if leaves > 0.0:
                legs.append(_leg(market, plan.side, fill, leaves, open_ms))
                qty -= leaves
        if state.remaining <= 0.0:
            return tuple(legs)
    rest = ExitFill(state.remaining, float(frame.close[-1]), exits.END_OF_DATA, False)
    return (*legs, _leg(market, plan.side, rest, qty, int(frame.timestamp[-1])))


def _leg(market: Market, side: int, fill: ExitFill, qty: float, at_ms: int) -> Leg:
    """As it is paid: what rests and a liquidation do not slip."""
    costs, slips = market.costs, not fill.maker and fill.reason != exits.LIQUIDATION
    price = costs.slipped(fill.price, buys=side < 0) if slips else fill.price
    price = float(to_tick(price, float(market.tick_size)))
    return Leg(exits.REASONS[fill.reason], at_ms, qty, price, qty * price * costs.fee_rate(maker=fill.maker))


def liquidation(market: Market, side: int, entry: float, qty: float, leverage: int) -> float:
    """By the market's tiers, to the tick; 0.0 where it cannot be reached."""
    price = price_by_tiers(rows_of(market.tiers), 0, len(market.tiers), side, entry, qty, leverage)
    return float(to_tick(price, float(market.tick_size))) if price > 0.0 else 0.0


def unlike(would: Sequence[Leg], did: Sequence[Leg], market: Market) -> list[str]:
    """Each exit that is in one telling only, or of another quantity, price, bar or fee, as the words of a sentence."""
    planned, booked = ({leg.reason: leg for leg in legs} for legs in (would, did))
    tick, step = float(market.tick_size), float(market.step_size)
    found = []
    for reason in dict.fromkeys([*booked, *planned]):
        mine, other = booked.get(reason), planned.get(reason)
        if mine is None and other is not None:
            found.append(f"{other.name} did not come, and would have: {_told(other)}")
        elif other is None and mine is not None:
            found.append(f"{mine.name} came, and would not have: {_told(mine)}")
        elif mine is not None and other is not None and not _is_same(mine, other, tick, step):
            found.append(f"{mine.name} {_told(mine)}, for {_told(other)}")
    return found


def _is_same(one: Leg, other: Leg, tick: float, step: float) -> bool:
    is_close = abs(one.qty - other.qty) <= step * 0.5 and abs(one.price - other.price) <= tick * 0.5
    return is_close and one.at_ms // bar_length() == other.at_ms // bar_length()


def _told(leg: Leg) -> str:
    return f"{leg.qty:.10g} at {leg.price:.10g} on {clock.from_ms(leg.at_ms):%Y-%m-%d %H:%M}, fee {leg.fee:.4g}"
