"""Whose candles may be trained on together."""

from collections.abc import Sequence

from exchanges.models import Market, Provenance
from signals.training.params import TrainingParams
from traderai.lib.errors import UserError


class UnusableHistory(UserError):
    """These symbols cannot be trained on; the message says what is missing."""

    @classmethod
    def too_short(cls, symbol: str, bars: int, needed: int, params: TrainingParams) -> "UnusableHistory":
        """A market with too few candles."""
        return cls(
            f"symbols: {symbol} has {bars} candles of {params.timeframe}, training with {params.folds} folds needs {needed}; backfill more, ask for fewer folds, or leave it out",
            field="symbols",
        )


def check_origin(markets: Sequence[Market]) -> None:
    """Raises UnusableHistory when a market closes at night or has no candles, or when some are from elsewhere than others."""
    for market in markets:
        if market.has_sessions:
            raise UnusableHistory(
                f"symbols: {market.symbol} closes at night, and models learn from markets that never close; leave it out", field="symbols"
            )
        if market.provenance == Provenance.NONE:
            raise UnusableHistory(f"symbols: {market.symbol} has no candles; import or backfill them first", field="symbols")
    if len({market.provenance for market in markets}) > 1:
        named = ", ".join(f"{market.symbol} ({market.get_provenance_display()})" for market in markets)
        raise UnusableHistory(
            f"symbols: candles of different origin are never mixed in one training: {named}; train them apart", field="symbols"
        )
