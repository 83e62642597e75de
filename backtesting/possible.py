"""Whether the engine's settings can do on these markets what they say."""

from collections.abc import Sequence

from backtesting.engine import Engine, UnfitSetting
from exchanges import candles
from exchanges.models import Market


def check(engine: Engine, markets: Sequence[Market], *, start_ms: int | None, end_ms: int | None) -> None:
    """Raises UnfitSetting, which says what to choose instead. start_ms, end_ms -- the span that is simulated"""
    cash = [market.symbol for market in markets if market.is_cash]
    if engine.opposite == "reverse" and cash:
        raise UnfitSetting(
            f"opposite: {cash[0]} is paid in full, so that no short is held there and nothing could be reversed; choose keep, or leave it out",
            field="opposite",
        )
    if engine.detail and not any(len(candles.read(each, engine.detail, start_ms=start_ms, end_ms=end_ms, last=1)) for each in markets):
        raise UnfitSetting(
            f"detail: none of the chosen markets has {engine.detail} candles in this span; backfill or import them, choose another frame, or none",
            field="detail",
        )
