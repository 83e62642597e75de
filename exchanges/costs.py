"""What trading costs. Rates in basis points (1 bp = 0.01 % of notional) unless a name says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CostModel:
    """Fees by liquidity, slippage of what takes liquidity, funding per hour. Defaults are requirement S2's.

    Raises ValueError when a rate is negative (a maker rebate is not modelled) or absurd.
    """

    maker_bps: float = 2.0
    taker_bps: float = 5.0
    slippage_bps: float = 3.0
    funding_bps_per_hour: float = 1.0

    def __post_init__(self) -> None:
        for name in ("maker_bps", "taker_bps", "slippage_bps", "funding_bps_per_hour"):
            value = getattr(self, name)
            if not 0.0 <= value <= 500.0:
                raise ValueError(f"{name} must be between 0 and 500 basis points, not {value!r}")

    def fee_rate(self, *, maker: bool) -> float:
        """Fraction of notional."""
        return (self.maker_bps if maker else self.taker_bps) * 1e-4

    def slipped(self, price: float, *, buys: bool) -> float:
        """The price a taker really gets: worse by the slippage."""
        return price * (1.0 + self.slippage_bps * 1e-4 * (1 if buys else -1))

    def ladder_cost_pct(self, *, hours: float) -> float:
        """Cost of a winning round trip in % of notional: taker entry with slippage, maker take-profits, funding for `hours`."""
        return (self.taker_bps + self.slippage_bps + self.maker_bps + self.funding_bps_per_hour * hours) / 100.0

    def stop_cost_pct(self, *, hours: float) -> float:
        """Cost of a losing round trip in % of notional: taker and slippage on both sides, funding for `hours`."""
        return (2 * (self.taker_bps + self.slippage_bps) + self.funding_bps_per_hour * hours) / 100.0
