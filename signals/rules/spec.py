"""What a rule strategy is: its parameters, their ranges, and what a set of them has to satisfy. Imports nothing that computes."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from reprlib import repr as repr_
from typing import Any, NamedTuple

Values = dict[str, float]
"""A strategy's parameters by name; whole ones as int."""


MOST_SHOWN = 60


def named(name: Any) -> str:
    """A name that somebody gave, short enough for a sentence."""
    return str(name).strip()[:MOST_SHOWN] or "(no name)"


class UnfitParameter(ValueError):
    """A parameter, or two together, cannot be used. `field` names the one to change."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class Parameter(NamedTuple):
    """low and high belong to the range; `is_whole` takes whole numbers only. `usual` and `step`: what a search tries unless told otherwise,
    the default alone where there is no `usual`."""

    name: str
    label: str
    low: float
    high: float
    step: float
    default: float
    is_whole: bool = True
    unit: str = "bars"
    usual: tuple[float, float] | None = None

    def parse(self, value: Any) -> float:
        """The value as int or float. Raises UnfitParameter."""
        number = _number(value)
        asked = f"{self.low:g} to {self.high:g}"
        if number is None or (self.is_whole and number != int(number)):
            raise UnfitParameter(self.name, f"{repr_(value)} is not a {'whole ' if self.is_whole else ''}number; choose one from {asked}")
        if not self.low <= number <= self.high:
            raise UnfitParameter(self.name, f"{number:g} is out of range; choose one from {asked}")
        return int(number) if self.is_whole else number


class Order(NamedTuple):
    """The first parameter has to be below the second."""

    lesser: str
    greater: str
    text: str


@dataclass(frozen=True, slots=True)
class RuleStrategy:
    """A strategy whose decisions are a pure function of closed bars. `leaf` is the dotted path of the compiled function that makes them."""

    slug: str
    name: str
    description: str
    parameters: tuple[Parameter, ...]
    leaf: str
    orders: tuple[Order, ...] = ()

    @property
    def defaults(self) -> Values:
        return {known.name: known.parse(known.default) for known in self.parameters}

    def parameter(self, name: str) -> Parameter:
        """Raises UnfitParameter for a name that is none."""
        for known in self.parameters:
            if known.name == name:
                return known
        raise UnfitParameter(named(name), f"{self.name} has no such parameter; it has {', '.join(known.name for known in self.parameters)}")

    def parse(self, given: Mapping[str, Any]) -> Values:
        """Checked parameters in the strategy's order, defaults for what `given` leaves out. Raises UnfitParameter."""
        found = {self.parameter(name).name: self.parameter(name).parse(value) for name, value in given.items()}
        values = {name: found.get(name, default) for name, default in self.defaults.items()}
        for order in self.orders:
            if values[order.lesser] >= values[order.greater]:
                raise UnfitParameter(order.lesser, order.text)
        return values

    def fits(self, values: Mapping[str, float]) -> bool:
        """Whether parameters that are in range one by one go together."""
        return all(values[order.lesser] < values[order.greater] for order in self.orders)

    def row(self, values: Mapping[str, float]) -> list[float]:
        """The parameters in the strategy's order, as the compiled function takes them."""
        return [float(values[known.name]) for known in self.parameters]

    def rows(self, many: Iterable[Mapping[str, float]]) -> list[list[float]]:
        return [self.row(values) for values in many]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
