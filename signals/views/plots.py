"""Geometry of small plots that templates/signals/_plot.html writes as SVG. Numbers in, points of a fixed drawing area out; no script needed.

A drawing is WIDTH units wide, so that its letters keep a readable size from 320 px on; figures that are not known leave a gap.
"""

from collections.abc import Sequence
from math import floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 340, 230
LEFT, RIGHT, TOP, BOTTOM = 42, 12, 10, 36
ROW = 22
NAMES_WIDTH = 112


class Tick(NamedTuple):
    at: float
    label: str


class Mark(NamedTuple):
    """A point, the ends of its interval (the point itself where there is none), and what a pointer is told."""

    x: float
    y: float
    low: float
    high: float
    label: str


class Guide(NamedTuple):
    """A dashed line of reference."""

    x1: float
    y1: float
    x2: float
    y2: float


class Plot(NamedTuple):
    """Everything in drawing units. `across`: intervals lie along x, rows are named on the left."""

    label: str
    height: int
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    x_label: str
    y_label: str
    marks: list[Mark]
    line: str
    band: str
    guides: list[Guide]
    across: bool = False
    width: int = WIDTH
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP

    @property
    def bottom(self) -> int:
        return self.height - BOTTOM


class Point(NamedTuple):
    """A figure with its interval, in its own units."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    label: str = ""


class Scale(NamedTuple):
    """From values low..high to drawing units first..last."""

    low: float
    high: float
    first: float
    last: float

    def at(self, value: float) -> float:
        """Values beyond the ends are drawn at the ends."""
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1.0)
        return round(self.first + share * (self.last - self.first), 1)


def steps(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from low to high, at most `most` + 1 of them, 1, 2 or 5 times a power of ten apart."""
    raw = max((high - low) / most, 1e-9)
    power = 10.0 ** floor(log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = -floor(-low / step + 1e-9)
    return [round(k * step, 10) for k in range(first, floor(high / step + 1e-9) + 1)]


def _range(values: Sequence[float], least: float) -> tuple[float, float]:
    """The values' range with a margin, at least `least` wide."""
    low, high = min(values), max(values)
    room = max(least - (high - low), 0.0) / 2.0 + (high - low) * 0.06
    return low - room, high + room


def _percent(value: float) -> str:
    return f"{value * 100:g}"


def _drawn(points: Sequence[Point], x: Scale, y: Scale) -> list[Mark]:
    return [
        Mark(
            x.at(point.x),
            y.at(point.y),
            y.at(point.y if point.low is None else point.low),
            y.at(point.y if point.high is None else point.high),
            point.label,
        )
        for point in points
    ]


def _joined(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in pairs)


def reliability(points: Sequence[Point], label: str) -> Plot | None:
    """Observed against predicted share, both 0 to 1, with the diagonal on which a calibrated model lies."""
    if not points:
        return None
    values = [value for point in points for value in (point.x, point.y, point.low, point.high) if value is not None]
    low, high = _range(values, 0.2)
    low, high = max(0.0, low), min(1.0, high)
    x, y = Scale(low, high, LEFT, WIDTH - RIGHT), Scale(low, high, HEIGHT - BOTTOM, TOP)
    marks = _drawn(points, x, y)
    ticks = steps(low, high)
    return Plot(
        label,
        HEIGHT,
        [Tick(x.at(value), _percent(value)) for value in ticks],
        [Tick(y.at(value), _percent(value)) for value in ticks],
        "predicted, %",
        "came true, %",
        marks,
        _joined([(mark.x, mark.y) for mark in marks]),
        "",
        [Guide(x.at(low), y.at(low), x.at(high), y.at(high))],
    )


def by_share(points: Sequence[Point], label: str, reference: float | None) -> Plot | None:
    """A share on y against the share that is kept on x (logarithmic, from all on the left to the fewest), with a band for the interval."""
    if not points:
        return None
    least = min(min(point.x for point in points), 0.5)
    x = Scale(0.0, -log10(least), LEFT, WIDTH - RIGHT)
    values = [value for point in points for value in (point.y, point.low, point.high, reference) if value is not None]
    low, high = _range(values, 0.2)
    low, high = max(0.0, low), min(1.0, high)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    marks = _drawn([point._replace(x=-log10(point.x)) for point in points], x, y)
    band = [(mark.x, mark.high) for mark in marks] + [(mark.x, mark.low) for mark in reversed(marks)]
    kept = [share for share in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01) if share >= least * 0.99]
    guides = [] if reference is None else [Guide(LEFT, y.at(reference), WIDTH - RIGHT, y.at(reference))]
    return Plot(
        label,
        HEIGHT,
        [Tick(x.at(-log10(share)), _percent(share)) for share in kept],
        [Tick(y.at(value), _percent(value)) for value in steps(low, high)],
        "kept, % of samples, most confident to the right",
        "TP1 first, %",
        marks,
        _joined([(mark.x, mark.y) for mark in marks]),
        _joined(band) if len(marks) > 1 else "",
        guides,
    )


def rows(points: Sequence[Point], label: str, x_label: str) -> Plot | None:
    """One row a point: its name on the left, y its value and interval along x, and a line at zero. `x` is not read."""
    if not points:
        return None
    values = [value for point in points for value in (point.y, point.low, point.high) if value is not None]
    low, high = _range([0.0, *values], 0.1)
    height = TOP + ROW * len(points) + BOTTOM
    x = Scale(low, high, NAMES_WIDTH, WIDTH - RIGHT)
    marks = [
        Mark(
            x.at(point.y),
            TOP + ROW * (number + 0.5),
            x.at(point.y if point.low is None else point.low),
            x.at(point.y if point.high is None else point.high),
            point.label,
        )
        for number, point in enumerate(points)
    ]
    return Plot(
        label,
        height,
        [Tick(x.at(value), f"{value:g}") for value in steps(low, high, 4)],
        [Tick(mark.y, mark.label) for mark in marks],
        x_label,
        "",
        marks,
        "",
        "",
        [Guide(x.at(0.0), TOP, x.at(0.0), height - BOTTOM)],
        across=True,
        left=NAMES_WIDTH,
    )
