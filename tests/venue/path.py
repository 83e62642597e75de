"""How the price goes through a bar: from its open by the nearer extreme and the other one to its close, straight on in equal times.

A bar that rises has its low first, one that falls its high. Whoever looks at the same instant sees the same price, and shorter bars
put together give the bar back exactly.
"""

import numpy as np
from numpy.typing import NDArray

from exchanges.ports import CandleFrame
from exchanges.timeframes import parse

LEGS = 3
Row = tuple[float, float, float, float]


def knots(opened: float, high: float, low: float, close: float) -> Row:
    """The prices at 0, 1/3, 2/3 and the whole of the bar's time."""
    return (opened, low, high, close) if close >= opened else (opened, high, low, close)


def price_at(bar: Row, share: float, tick: float) -> float:
    """The price when `share` of the bar's time has gone by, on the tick between the bar's own prices."""
    points = knots(*bar)
    leg = min(int(share * LEGS), LEGS - 1)
    along = share * LEGS - leg
    if along in (0.0, 1.0):
        return points[leg + int(along)]
    price = points[leg] * (1.0 - along) + points[leg + 1] * along
    return min(max(on_tick(price, tick), bar[2]), bar[1])


def seen(bar: Row, since: float, until: float, tick: float) -> Row:
    """(open, high, low, close) of what was traded between two shares of the bar's time."""
    first, last = price_at(bar, since, tick), price_at(bar, until, tick)
    passed = [point for leg, point in enumerate(knots(*bar)) if since < leg / LEGS < until]
    return first, max(first, last, *passed), min(first, last, *passed), last


def split(frame: CandleFrame, timeframe: str, tick: float) -> CandleFrame:
    """The frame in a shorter timeframe that divides its own; the volume is spread evenly."""
    length_ms = parse(timeframe)
    parts = parse(frame.timeframe) // length_ms
    rises = frame.close >= frame.open
    points = np.column_stack((frame.open, np.where(rises, frame.low, frame.high), np.where(rises, frame.high, frame.low), frame.close))
    along = np.arange(parts + 1) * LEGS / parts
    leg = np.minimum(along.astype(int), LEGS - 1)
    weight = along - leg
    prices = points[:, leg] * (1.0 - weight) + points[:, leg + 1] * weight
    between = (weight > 0.0) & (weight < 1.0)
    rounded = np.round(np.round(prices[:, between] / tick) * tick, 10)
    prices[:, between] = np.clip(rounded, frame.low[:, None], frame.high[:, None])
    high, low = np.maximum(prices[:, :-1], prices[:, 1:]), np.minimum(prices[:, :-1], prices[:, 1:])
    for knot in range(1, LEGS):
        if knot * parts % LEGS:
            inside = knot * parts // LEGS
            high[:, inside] = np.maximum(high[:, inside], points[:, knot])
            low[:, inside] = np.minimum(low[:, inside], points[:, knot])
    times: NDArray[np.int64] = (frame.timestamp[:, None] + np.arange(parts) * length_ms).ravel()
    volume = np.repeat(frame.volume / parts, parts)
    return CandleFrame(frame.symbol, timeframe, times, prices[:, :-1].ravel(), high.ravel(), low.ravel(), prices[:, 1:].ravel(), volume)


def on_tick(price: float, tick: float) -> float:
    return round(round(price / tick) * tick, 10)
