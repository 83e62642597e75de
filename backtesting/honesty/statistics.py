"""Points 17, 18 and 21: luck, sample and concentration, read from what a run keeps (backtesting.figures)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backtesting import metrics
from backtesting.honesty.sayings import Check, counted, judged
from backtesting.metrics import ENOUGH_TRADES

SURE = 0.95
MOST_OF_ONE = 0.5
LUCKY_ORDER = 0.75
TARGET = 0.55
"""Of trades that reach their first target, by the requirements."""
BEST = 5
LUCK, SAMPLE, CONCENTRATION = 17, 18, 21

Found = Mapping[str, Any]


def of(found: Found, *, independent: float) -> list[Check]:
    """All verdicts on what a run found: {point, name, verdict, number, detail}. independent -- how many independent trades there were."""
    return list(_all(found, independent))


def _all(found: Found, independent: float) -> Iterator[Check]:
    yield _random(found["luck"]["random"])
    yield _expectancy(found["luck"]["trades"])
    yield _ratio(found["luck"]["record"])
    yield _holding(found["metrics"]["total_return_pct"]["value"], found["metrics"]["buy_and_hold_pct"]["value"])
    yield _order(found["luck"]["drawdowns"])
    yield judged(
        SAMPLE,
        "Independent trades",
        independent >= ENOUGH_TRADES,
        f"{independent:.0f}",
        f"trades that overlap or win and lose together count once; under {ENOUGH_TRADES} is not enough to judge by",
    )
    n = found["sample"]["trades"]
    yield judged(SAMPLE, "Sample size", n >= ENOUGH_TRADES, f"{n}", metrics.sample_note(n))
    yield judged(
        SAMPLE, "Traded to the end", not found["sample"]["stopped"], "", found["sample"]["stopped"] or "no loss limit ended it early"
    )
    paused = found["sample"]["paused"]
    yield judged(SAMPLE, "Traded every day to its end", not paused, "", paused or "no day reached the daily loss limit")
    yield _first_target(found["metrics"]["hit_rate_tp1"])
    yield _without_best(found["concentration"]["without_best"], found["costs_paid"]["net"])
    for word, table in (("month", "month"), ("market", "symbol")):
        yield _share(word, found["concentration"][f"best_{table}"], len(found["tables"][table]))


def _random(random: Found | None) -> Check:
    name = "Better than random moments"
    if random is None:
        return judged(LUCK, name, False, "", "there were no trades to compare")
    detail = (
        f"as many entries at random moments, with the same plan and costs, all without the limits of loss, brought {random['low_pct']:+.1f} to {random['high_pct']:+.1f} % "
        f"in nine of ten of {random['runs']} tries, {random['middle_pct']:+.1f} % in the middle; {random['beaten']:.0%} of them earned less than this run"
    )
    return judged(LUCK, name, random["p_value"] <= 1.0 - SURE, f"p = {random['p_value']:.2f}", detail)


def _expectancy(trades: Found) -> Check:
    name, seen = "Expectancy above zero", trades["expectancy_pct"]
    if seen is None:
        return judged(LUCK, name, False, "", f"trades on {counted(trades['clusters'], 'day')} are too few to resample")
    detail = f"resampled by day of entry ({counted(trades['clusters'], 'day')}), a mean trade earns {seen[0]:+.3f} to {seen[1]:+.3f} % of its notional after costs (95 %)"
    return judged(LUCK, name, seen[0] > 0.0, f"{seen[0]:+.3f} %", detail)


def _ratio(record: Found) -> Check:
    name, chance = "Sharpe ratio above zero", record["above_zero"]
    if chance is None:
        return judged(LUCK, name, False, "", "too few days, or none that differs from the others")
    needed = record["days_needed"]
    enough = (
        "no number of such days would make it sure" if needed is None else f"{counted(round(needed), 'such day')} would make it 95 % sure"
    )
    return judged(
        LUCK, name, chance >= SURE, f"{chance:.0%}", f"the chance of it by {counted(record['days'], 'day')}, their skew and tails; {enough}"
    )


def _holding(earned: float, held: float | None) -> Check:
    name = "Better than buy and hold"
    if held is None:
        return judged(LUCK, name, False, "", "no bars")
    return judged(
        LUCK,
        name,
        earned > held,
        f"{earned - held:+.1f} %",
        f"{earned:+.2f} % against {held:+.2f} % from holding the same markets without costs",
    )


def _order(drawdowns: Found | None) -> Check:
    name = "Drawdown not owed to a lucky order"
    if drawdowns is None:
        return judged(LUCK, name, False, "", "needs two trades")
    other = drawdowns["shuffled"]
    detail = (
        f"{other['deeper']:.0%} of other orders of the same trades fall deeper than the {drawdowns['seen_pct']:.1f} % seen from trade to trade; "
        f"one in twenty falls {other['max_drawdown_pct'][2]:.1f} % or more"
    )
    return judged(LUCK, name, other["deeper"] <= LUCKY_ORDER, f"{other['max_drawdown_pct'][2]:.1f} %", detail)


def _share(word: str, best: Found | None, groups: int) -> Check:
    """One of two may well earn more than half; one alone earns all, and that is what has to be said."""
    name = f"Not owed to one {word}"
    if best is None:
        return judged(CONCENTRATION, name, False, "", "there is no profit to share" if groups else "no trades")
    detail = f"{best['key']}, the best of {groups}, brought {best['share']:.0%} of the net result"
    return judged(
        CONCENTRATION, name, best["share"] <= MOST_OF_ONE or (groups == 2 and best["share"] < 1.0), f"{best['share']:.0%}", detail
    )


def _first_target(figure: Found) -> Check:
    name = "Reaches the first target often enough"
    if "low" not in figure:
        return judged(SAMPLE, name, False, "", "no trades")
    detail = (
        f"{figure['value']:.1%} of {counted(figure['n'], 'trade')} reached it, 95 % interval {figure['low']:.1%} to {figure['high']:.1%}, asked for is {TARGET:.0%}; "
        "alone it says nothing: see the expectancy"
    )
    return judged(SAMPLE, name, figure["low"] >= TARGET, f"{figure['low']:.1%}", detail)


def _without_best(rows: Sequence[Found], net: float) -> Check:
    left = next(row["net"] for row in rows if row["k"] == BEST)
    name = "Without the five best trades"
    if left is None:
        return judged(CONCENTRATION, name, False, "", "no trades")
    return judged(CONCENTRATION, name, left > 0.0, f"{left:+.2f}", f"net {left:+.2f} instead of {net:+.2f}")
