"""How a run is simulated, beyond its strategy and its risk profile: checked settings, and what they mean to the kernel."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from reprlib import repr as repr_
from typing import Any, Self

from signals.rules.spec import named
from traderai.lib.errors import UserError

PATHS = ("pessimistic", "adaptive", "optimistic")
ENTRIES = ("market", "limit")
OPPOSITES = ("keep", "reverse")
SIZINGS = ("risk", "notional")
DETAILS = ("", "1m", "5m")
CHOICES: dict[str, tuple[str, ...]] = {"path": PATHS, "entry": ENTRIES, "opposite": OPPOSITES, "sizing": SIZINGS, "detail": DETAILS}
RANGES = {
    "limit_offset": (0.01, 5.0),
    "limit_bars": (1, 96),
    "notional_pct": (0.1, 1_000.0),
    "slippage_range_pct": (0.0, 100.0),
    "impact": (0.0, 10.0),
    "participation_pct": (0.0, 100.0),
    "max_joint_pct": (0.0, 10_000.0),
    "liquidation_fee_pct": (0.0, 10.0),
}


NEEDS = {"limit_offset": ("entry", "limit"), "limit_bars": ("entry", "limit"), "notional_pct": ("sizing", "notional")}
"""Settings that say nothing unless another one has this value."""


class UnfitSetting(UserError):
    """A setting of the engine cannot be used."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The usual settings are the live rules: market orders, sizing by risk, constant slippage, the pessimistic path inside a bar.

    path -- which way a bar's price is taken to have gone (exchanges.exits). detail -- the finer bars that decide instead, where they are stored
    entry -- market at the next open, or a limit order limit_offset units better than the close, good for limit_bars bars
    opposite -- a signal against an open position is kept out, or reverses it
    sizing -- by what the stop would lose (the risk profile's share of equity), or notional_pct of equity
    slippage_range_pct -- of a bar's range, on top of the venue's constant slippage; impact -- times the root of the order's share in the bar's turnover
    participation_pct -- most of the deciding bar's volume that an entry may be; max_joint_pct -- most notional, of equity, in markets that move
    together; 0: no limit
    """

    path: str = "pessimistic"
    detail: str = ""
    entry: str = "market"
    limit_offset: float = 0.25
    limit_bars: int = 4
    opposite: str = "keep"
    sizing: str = "risk"
    notional_pct: float = 10.0
    slippage_range_pct: float = 0.0
    impact: float = 0.0
    participation_pct: float = 0.0
    max_joint_pct: float = 0.0
    liquidation_fee_pct: float = 0.0

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """From JSON or a form; what is left out is usual. Raises UnfitSetting naming the setting."""
        known = {each.name: each.default for each in fields(cls)}
        for name in given:
            if name not in known:
                raise UnfitSetting(f"{named(name)}: there is no such setting; there are {', '.join(known)}", field=named(name))
        return cls(**{name: _checked(name, value) for name, value in given.items()})

    def to_json(self) -> dict[str, Any]:
        """What `parse` takes back."""
        return asdict(self)

    @property
    def unusual(self) -> dict[str, Any]:
        """The settings that differ from the usual ones and change something: a limit's do not where entries are to market."""
        differing = {each.name: getattr(self, each.name) for each in fields(self) if getattr(self, each.name) != each.default}
        return {name: value for name, value in differing.items() if name not in NEEDS or getattr(self, NEEDS[name][0]) == NEEDS[name][1]}

    @property
    def position_pct(self) -> float | None:
        """The share of equity that sizes a position; None when its stop does."""
        return self.notional_pct if self.sizing == "notional" else None

    def changes(self) -> dict[str, Any]:
        """The fields of kernel.Rules that these settings decide."""
        return {
            "path": PATHS.index(self.path),
            "opposite": OPPOSITES.index(self.opposite),
            "sizing": SIZINGS.index(self.sizing),
            "notional_pct": self.notional_pct,
            "slippage_range": self.slippage_range_pct / 100.0,
            "impact": self.impact,
            "participation": self.participation_pct / 100.0,
            "max_joint_pct": self.max_joint_pct,
            "limit_offset": self.limit_offset if self.entry == "limit" else 0.0,
            "limit_bars": self.limit_bars,
        }


def _checked(name: str, value: Any) -> Any:
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise UnfitSetting(
                f"{name}: {repr_(value)} is not known; use {' or '.join(word or 'an empty text for none' for word in CHOICES[name])}",
                field=name,
            )
        return value
    low, high = RANGES[name]
    is_whole = isinstance(low, int)
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high or (is_whole and number != int(number)):
        raise UnfitSetting(
            f"{name}: {repr_(value)} cannot be used; give a {'whole ' if is_whole else ''}number from {low:g} to {high:g}", field=name
        )
    return int(number) if is_whole else number
