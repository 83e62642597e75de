"""The trade plan: entry, stop, TP1 to TP3 and trail, all in multiples of one unit: ATR(14) (requirement S4), or the price's volatility.

Labels, scan and backtest build the same plan from here. The unit is taken on 4h bars by default: on 15m bars the ladder's whole
gain would rarely exceed costs plus 2 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from exchanges.ports import DEFAULT_SHARES, MAX_HOLD_MS

ATR, VOLATILITY = "atr", "volatility"
UNITS = (ATR, VOLATILITY)


@dataclass(frozen=True, slots=True)
class PlanConfig:
    """Distances in units, shares of the opened quantity. Raises ValueError for an unknown unit, a ladder out of order or shares that do not add up.

    unit -- atr: Wilder's ATR of atr_period bars; volatility: the close times the standard deviation of the last atr_period log returns
            (dynamic barriers: Lopez de Prado, Advances in Financial Machine Learning, 2018, section 3.3). Both of atr_timeframe bars.
            For a random walk one ATR is about 1.6 standard deviations.
    """

    unit: str = ATR
    atr_timeframe: str = "4h"
    atr_period: int = 14
    stop_atr: float = 1.5
    tp1_atr: float = 1.5
    tp2_atr: float = 2.75
    tp3_atr: float = 4.5
    trail_atr: float = 1.25
    shares: tuple[float, float, float] = DEFAULT_SHARES
    max_hold_ms: int = MAX_HOLD_MS

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, not {self.unit!r}")
        if self.atr_period < 2:
            raise ValueError("atr_period must be at least 2")
        if not 0.0 < self.tp1_atr < self.tp2_atr < self.tp3_atr:
            raise ValueError("take-profits must be ordered: 0 < tp1_atr < tp2_atr < tp3_atr")
        if self.stop_atr <= 0.0 or self.trail_atr <= 0.0:
            raise ValueError("stop_atr and trail_atr must be positive")
        if abs(sum(self.shares) - 1.0) > 1e-9 or min(self.shares) <= 0.0:
            raise ValueError("shares must be positive and add up to 1")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of dataclasses.asdict, through JSON; what `data` leaves out is as by default.

        Raises ValueError naming an unknown entry, one that is no number, and what __post_init__ refuses.
        """
        known = {field.name: field.default for field in fields(cls)}
        for name, value in data.items():
            if name not in known:
                raise ValueError(f"{name!r} is unknown: use {', '.join(known)}")
            if name == "shares":
                right = isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))
            else:
                right = isinstance(value, str) if isinstance(known[name], str) else _is_number(value)
            if not right:
                raise ValueError(f"{name} cannot be {value!r}")
        given: dict[str, Any] = {name: tuple(value) if name == "shares" else value for name, value in data.items()}
        return cls(**given)

    @property
    def max_hold_hours(self) -> float:
        return self.max_hold_ms / 3_600_000

    @property
    def fair_chance(self) -> float:
        """The most that a price without drift would reach TP1 before the stop (gambler's ruin); the time stop takes from it."""
        return self.stop_atr / (self.stop_atr + self.tp1_atr)

    @property
    def ladder_atr(self) -> float:
        """The ladder's weighted gain in ATR when every take-profit is reached."""
        return self.shares[0] * self.tp1_atr + self.shares[1] * self.tp2_atr + self.shares[2] * self.tp3_atr


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15


class Levels(NamedTuple):
    """Prices of one plan, and the trail's distance, in quote currency."""

    entry: float
    stop: float
    tp1: float
    tp2: float
    tp3: float
    trail: float


def levels(side: int, entry: float, atr: float, config: PlanConfig) -> Levels:
    """The plan of a `side` (+1 long, -1 short) position. Raises ValueError when a level would not be a positive price."""
    plan = Levels(
        entry,
        entry - side * config.stop_atr * atr,
        entry + side * config.tp1_atr * atr,
        entry + side * config.tp2_atr * atr,
        entry + side * config.tp3_atr * atr,
        config.trail_atr * atr,
    )
    if not (atr > 0.0 and min(plan[:5]) > 0.0 and np.isfinite(plan).all()):
        raise ValueError(f"no plan at price {entry!r} with ATR {atr!r}: every level must be a positive price")
    return plan


def atr_pct(atr: NDArray[np.float64], close: NDArray[np.float64]) -> NDArray[np.float64]:
    """ATR in % of price, shape [n]."""
    return atr / close * 100.0
