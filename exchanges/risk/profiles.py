"""Requirement R1: what each risk profile allows."""

from dataclasses import dataclass
from enum import StrEnum
from reprlib import repr as repr_


class RiskProfileName(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class RiskProfile:
    """Percentages are of account equity. `max_margin_pct` bounds the margin of ONE position (R2)."""

    name: RiskProfileName
    risk_per_trade_pct: float
    max_leverage: int
    max_open_positions: int
    max_margin_pct: float
    max_daily_loss_pct: float = 10.0
    max_drawdown_pct: float = 25.0


PROFILES: dict[str, RiskProfile] = {
    "low": RiskProfile(RiskProfileName.LOW, 1.0, 5, 2, 5.0),
    "medium": RiskProfile(RiskProfileName.MEDIUM, 2.0, 10, 4, 10.0),
    "high": RiskProfile(RiskProfileName.HIGH, 3.0, 20, 6, 10.0),
}


class UnknownRiskProfile(ValueError):
    """The name is none of low, medium, high."""


def profile(name: str) -> RiskProfile:
    """The profile called `name`, or UnknownRiskProfile, whose message lists the names."""
    try:
        return PROFILES[name]
    except KeyError:
        raise UnknownRiskProfile(f"risk_profile {repr_(name)} is unknown: use one of {', '.join(PROFILES)}") from None
