"""What people and programs ask of a rule strategy, checked: parameters of one run, or what a search may vary."""

from collections.abc import Mapping
from typing import Any

from backtesting.combos import space
from signals import rules
from signals.rules.spec import named
from traderai.lib.errors import UserError


class Unfit(UserError):
    """A parameter cannot be used."""


def strategy(slug: str) -> rules.RuleStrategy:
    """Raises Unfit, which lists what there is."""
    try:
        return rules.rule(slug)
    except rules.UnknownRule as error:
        raise Unfit(str(error), field="strategy") from error


def parse(slug: str, given: Mapping[str, Any]) -> rules.Values:
    """A run's parameters, the plan's multiples among them (`space.PLAN`), defaults for what is left out. Raises Unfit naming the culprit."""
    for name, value in given.items():
        if isinstance(value, Mapping):
            raise Unfit(f"{named(name)}: a run takes one value, not a range", field=named(name))
    found = parse_space(slug, given)
    return found.values([axis.low for axis in found.axes])


def parse_space(slug: str, given: Mapping[str, Any]) -> space.Space:
    """What a search may vary (`space.parse`). Raises Unfit naming the culprit."""
    strategy(slug)
    try:
        return space.parse(slug, given)
    except rules.UnfitParameter as error:
        raise Unfit(str(error), field=error.field) from error
