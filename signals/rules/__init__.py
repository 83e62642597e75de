"""Rule strategies: decisions from closed bars alone, for backtests and searches.

A rule looks at the rows of a market that exist: a window of 20 is the last 20 stored bars, also where some are missing between them, as on
the charts of every venue. A row with a price that is not a number ends a history, and the next one begins a new one.
Decisions are events, not states: the bar at whose close a side is decided. What is opened then is left by the plan, or by an opposite
decision where the backtest says so.
"""

from reprlib import repr as repr_

from signals.rules.spec import Order, Parameter, RuleStrategy, UnfitParameter, Values

__all__ = ["STRATEGIES", "Order", "Parameter", "RuleStrategy", "UnfitParameter", "UnknownRule", "Values", "rule"]


class UnknownRule(KeyError):
    """No rule strategy has this key."""

    def __str__(self) -> str:
        return str(self.args[0])


_ALL = (
    RuleStrategy(
        slug="sma-cross",
        name="Moving average cross",
        description="Long when the fast simple average of closes crosses over the slow one, short when it crosses under.",
        parameters=(
            Parameter("fast", "Fast average", 2, 200, 5, 20, usual=(5, 50)),
            Parameter("slow", "Slow average", 3, 1000, 20, 50, usual=(20, 200)),
        ),
        orders=(Order("fast", "slow", "the fast average must look at fewer bars than the slow one; lower it, or raise the slow one"),),
        leaf="signals.rules.sma_cross.fill",
    ),
    RuleStrategy(
        slug="macd-cross",
        name="MACD cross",
        description=(
            "Long when the difference of a fast and a slow exponential average crosses over its own average, the signal line, short when it crosses under "
            "(G. Appel, 1979)."
        ),
        parameters=(
            Parameter("fast", "Fast average", 2, 200, 2, 12, usual=(6, 20)),
            Parameter("slow", "Slow average", 3, 500, 4, 26, usual=(20, 60)),
            Parameter("signal", "Signal line", 2, 200, 3, 9, usual=(6, 15)),
        ),
        orders=(Order("fast", "slow", "the fast average must look at fewer bars than the slow one; lower it, or raise the slow one"),),
        leaf="signals.rules.macd.fill",
    ),
    RuleStrategy(
        slug="donchian-breakout",
        name="Donchian breakout",
        description="Long when a close leaves the channel of the bars before it upwards, short when it leaves it downwards (R. Donchian, 1960).",
        parameters=(
            Parameter("period", "Channel", 2, 1000, 10, 55, usual=(20, 200)),
            Parameter("margin", "Beyond the channel by", 0.0, 5.0, 0.1, 0.0, is_whole=False, unit="% of price", usual=(0.0, 0.5)),
        ),
        leaf="signals.rules.donchian.fill",
    ),
    RuleStrategy(
        slug="rsi-reversion",
        name="RSI reversion",
        description="Long when Wilder's RSI comes back from under its lower level, short when it comes back from over its upper one (W. Wilder, 1978).",
        parameters=(
            Parameter("period", "RSI", 2, 200, 4, 14, usual=(6, 30)),
            Parameter("oversold", "Lower level", 1.0, 99.0, 5.0, 30.0, is_whole=False, unit="points", usual=(15.0, 40.0)),
            Parameter("overbought", "Upper level", 1.0, 99.0, 5.0, 70.0, is_whole=False, unit="points", usual=(60.0, 85.0)),
        ),
        orders=(Order("oversold", "overbought", "the lower level must be under the upper one"),),
        leaf="signals.rules.rsi.fill",
    ),
    RuleStrategy(
        slug="bollinger-reversion",
        name="Bollinger reversion",
        description="Long when a close comes back into the band from below, short when it comes back from above (J. Bollinger, 1983).",
        parameters=(
            Parameter("period", "Band", 2, 500, 10, 20, usual=(10, 100)),
            Parameter("deviations", "Width", 0.2, 6.0, 0.2, 2.0, is_whole=False, unit="standard deviations", usual=(1.4, 3.0)),
        ),
        leaf="signals.rules.bollinger.fill",
    ),
)
STRATEGIES: dict[str, RuleStrategy] = {known.slug: known for known in _ALL}


def rule(slug: str) -> RuleStrategy:
    """The rule strategy called `slug`, or UnknownRule, whose message lists the keys."""
    try:
        return STRATEGIES[slug]
    except KeyError:
        raise UnknownRule(f"strategy {repr_(slug)} is unknown: use one of {', '.join(STRATEGIES)}") from None
