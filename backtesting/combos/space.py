"""What a search may vary: a rule's parameters and the plan's multiples, each fixed or over a range."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as repr_
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from signals import rules
from signals.plan import PlanConfig
from signals.rules import Order, Parameter, RuleStrategy, UnfitParameter, Values
from signals.rules.spec import named

HOUR_MS = 3_600_000
MOST_STEPS = 10_000
WIDEST_PRODUCT = 2_000_000
"""Combinations before those that do not go together are left out: more than this is not even laid out."""
_USUAL = PlanConfig()
PLAN = (
    Parameter("stop_atr", "Stop", 0.25, 10.0, 0.5, _USUAL.stop_atr, is_whole=False, unit="ATR"),
    Parameter("tp1_atr", "Take-profit 1", 0.25, 10.0, 0.5, _USUAL.tp1_atr, is_whole=False, unit="ATR"),
    Parameter("tp2_atr", "Take-profit 2", 0.5, 15.0, 0.5, _USUAL.tp2_atr, is_whole=False, unit="ATR"),
    Parameter("tp3_atr", "Take-profit 3", 0.75, 20.0, 0.5, _USUAL.tp3_atr, is_whole=False, unit="ATR"),
    Parameter("trail_atr", "Trail", 0.25, 10.0, 0.5, _USUAL.trail_atr, is_whole=False, unit="ATR"),
    Parameter("hold_hours", "Longest holding time", 1, 720, 12, _USUAL.max_hold_ms / HOUR_MS, unit="hours"),
)
PLAN_ORDERS = (
    Order("tp1_atr", "tp2_atr", "the first take-profit must be nearer than the second; lower it, or raise the second"),
    Order("tp2_atr", "tp3_atr", "the second take-profit must be nearer than the third; lower it, or raise the third"),
)


class Axis(NamedTuple):
    """A parameter's values: low, low + step and so on up to high. One value when low is high."""

    name: str
    low: float
    high: float
    step: float

    @property
    def values(self) -> NDArray[np.float64]:
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return np.asarray(np.round(self.low + self.step * np.arange(count), 10))


@dataclass(frozen=True, slots=True)
class Space:
    """What a search of one rule may try: an axis for every parameter of the rule, then of the plan, in their order."""

    rule: RuleStrategy
    axes: tuple[Axis, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(axis.name for axis in self.axes)

    @property
    def varied(self) -> tuple[Axis, ...]:
        return tuple(axis for axis in self.axes if axis.values.size > 1)

    @property
    def product(self) -> int:
        return math.prod(int(axis.values.size) for axis in self.axes)

    def to_json(self) -> dict[str, Any]:
        """What `parse` takes back."""
        return {axis.name: {"low": axis.low, "high": axis.high, "step": axis.step} for axis in self.axes}

    def combinations(self) -> NDArray[np.float64]:
        """All that go together, float64[c, axes], the last axis fastest. Raises UnfitParameter when there are too many to lay out."""
        if self.product > WIDEST_PRODUCT:
            raise UnfitParameter("space", f"{self.product:,} combinations are too many; choose narrower ranges or wider steps")
        laid = np.meshgrid(*(axis.values for axis in self.axes), indexing="ij")
        table = np.stack([column.ravel() for column in laid], axis=1)
        fits = np.ones(table.shape[0], np.bool_)
        for order in (*self.rule.orders, *PLAN_ORDERS):
            fits &= table[:, self.names.index(order.lesser)] < table[:, self.names.index(order.greater)]
        return np.asarray(table[fits])

    def fits(self, values: Mapping[str, float]) -> bool:
        return all(values[order.lesser] < values[order.greater] for order in (*self.rule.orders, *PLAN_ORDERS))

    def values(self, row: Sequence[float]) -> Values:
        """A row of `combinations` by name, whole parameters as int."""
        known = known_parameters(self.rule)
        return {name: known[name].parse(float(value)) for name, value in zip(self.names, row, strict=True)}

    def at_the_edge(self, values: Mapping[str, float]) -> tuple[Axis, ...]:
        """The varied axes on whose first or last value a combination lies though its parameter goes further: what is better may lie beyond."""
        known, found = known_parameters(self.rule), []
        for axis in self.varied:
            value, tried = values[axis.name], axis.values
            goes_under = value == tried[0] and known[axis.name].low < tried[0]
            if goes_under or (value == tried[-1] and known[axis.name].high > tried[-1]):
                found.append(axis)
        return tuple(found)

    @property
    def shortest_hold_hours(self) -> float:
        return min(axis.low for axis in self.axes if axis.name == "hold_hours")

    @property
    def longest_hold_ms(self) -> int:
        return int(max(axis.high for axis in self.axes if axis.name == "hold_hours") * HOUR_MS)


def known_parameters(rule: RuleStrategy) -> dict[str, Parameter]:
    """What a search of this rule may set, by name."""
    return {known.name: known for known in (*rule.parameters, *PLAN)}


def parse(slug: str, given: Mapping[str, Any]) -> Space:
    """A rule's space from {parameter: value} and {parameter: {"low", "high", "step"}}; what is left out is fixed at its default.

    Raises UnfitParameter naming the culprit, UnknownRule.
    """
    rule = rules.rule(slug)
    known = known_parameters(rule)
    for name in given:
        if name not in known:
            raise UnfitParameter(named(name), f"{rule.name} has no such parameter; it has {', '.join(known)}")
    space = Space(rule, tuple(_axis(parameter, given.get(name, parameter.default)) for name, parameter in known.items()))
    for order in (*rule.orders, *PLAN_ORDERS):
        lesser, greater = (space.axes[space.names.index(name)] for name in (order.lesser, order.greater))
        if lesser.low >= greater.values[-1]:
            raise UnfitParameter(order.lesser, order.text)
    return space


def plan_of(values: Mapping[str, float]) -> PlanConfig:
    """The plan that a combination trades by. Raises ValueError for a ladder out of order."""
    multiples = {known.name: float(values[known.name]) for known in PLAN if known.name != "hold_hours"}
    return PlanConfig.from_json({**multiples, "max_hold_ms": int(values["hold_hours"] * HOUR_MS)})


def _axis(known: Parameter, given: Any) -> Axis:
    if not isinstance(given, Mapping):
        value = known.parse(given)
        return Axis(known.name, value, value, known.step)
    if unknown := set(given) - {"low", "high", "step"}:
        raise UnfitParameter(known.name, f"{named(sorted(map(str, unknown))[0])} is unknown; give low, high and step")
    if missing := {"low", "high"} - set(given):
        raise UnfitParameter(known.name, f"{sorted(missing)[0]} is missing; give low and high, and step if it is not {known.step:g}")
    low, high = known.parse(given["low"]), known.parse(given["high"])
    try:
        step = known._replace(low=0.0, high=known.high).parse(given.get("step", known.step))
    except UnfitParameter as error:
        raise UnfitParameter(
            known.name,
            f"the step {repr_(given['step'])} is none; choose a {'whole ' if known.is_whole else ''}number of more than 0, up to {known.high:g}",
        ) from error
    if low > high:
        raise UnfitParameter(known.name, f"the range from {low:g} to {high:g} is empty; give the lower end first")
    if step <= 0.0 or (high - low) / step > MOST_STEPS:
        raise UnfitParameter(
            known.name, f"the step must be more than 0, and the range at most {MOST_STEPS:,} steps wide; choose a wider step"
        )
    return Axis(known.name, low, high, step)
