"""How a price moves inside a bar that only its four prices are known of, and what the bar looks like on the way. Pure."""

from typing import NamedTuple

import numpy as np

from exchanges.ports import CandleFrame

# Where in a bar's time its corners lie; the way from the open goes to the far extreme last.
CORNERS = (0.0, 0.25, 0.65, 1.0)


class Forming(NamedTuple):
    """A bar so far; `close` is the price now."""

    open: float
    high: float
    low: float
    close: float
    volume: float


def price_along(bar: CandleFrame, share: float) -> float:
    """The price at a share (0 to 1) of the bar's time: open, low, high, close of a rising bar, open, high, low, close of a falling one."""
    return float(np.interp(share, CORNERS, _corners(bar)))


def forming(bar: CandleFrame, share: float, tick_size: float) -> Forming:
    """The bar as it looks at a share of its time, its price on the market's grid; at 1 it is the bar itself."""
    if share >= 1.0:
        return Forming(*(float(column[0]) for column in bar[3:]))
    on_grid = float(f"{round(price_along(bar, share) / tick_size) * tick_size:.12g}")
    price = min(max(on_grid, float(bar.low[0])), float(bar.high[0]))
    passed = [value for value, at in zip(_corners(bar), CORNERS, strict=True) if at <= share]
    return Forming(float(bar.open[0]), max(*passed, price), min(*passed, price), price, float(bar.volume[0]) * share)


def joined(whole: CandleFrame, last: Forming) -> Forming:
    """A longer bar of which some shorter ones are over and the last one is on its way."""
    if not len(whole):
        return last
    return Forming(
        float(whole.open[0]),
        max(float(whole.high.max()), last.high),
        min(float(whole.low.min()), last.low),
        last.close,
        float(whole.volume.sum()) + last.volume,
    )


def _corners(bar: CandleFrame) -> tuple[float, ...]:
    opened, high, low, close = (float(column[0]) for column in (bar.open, bar.high, bar.low, bar.close))
    return (opened, low, high, close) if close >= opened else (opened, high, low, close)
