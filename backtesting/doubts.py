"""What a careful reader would hold against a profitable run, as verdicts with their number: costs, luck, sample, concentration.

Read from what a run keeps (backtesting.figures). `point` is the number of the question in the honesty checklist, docs/backtesting.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from backtesting.metrics import ENOUGH_TRADES

SURE = 0.95
MOST_OF_ONE = 0.5
LUCKY_ORDER = 0.75
COSTS, LUCK, SAMPLE, CONCENTRATION = 8, 17, 18, 21

Found = Mapping[str, Any]


def of(found: Found, *, independent: float) -> list[dict[str, Any]]:
    """All verdicts on what a run found: {point, name, verdict, number, detail}. independent -- how many independent trades there were."""
    return list(_all(found, independent))


def _all(found: Found, independent: float) -> Iterator[dict[str, Any]]:
    yield _costs(found["costs_paid"])
    yield _random(found["luck"]["random"])
    yield _expectancy(found["luck"]["trades"])
    yield _ratio(found["luck"]["record"])
    yield _holding(found["metrics"]["total_return_pct"]["value"], found["metrics"]["buy_and_hold_pct"]["value"])
    yield _order(found["luck"]["drawdowns"])
    yield _verdict(
        SAMPLE,
        "Independent trades",
        independent >= ENOUGH_TRADES,
        f"{independent:.0f}",
        f"trades that overlap or win and lose together count once; under {ENOUGH_TRADES} is not enough to judge by",
    )
    for word, table in (("month", "month"), ("market", "symbol")):
        yield _share(word, found["concentration"][f"best_{table}"], len(found["tables"][table]))


def _verdict(point: int, name: str, passed: bool, number: str, detail: str) -> dict[str, Any]:
    return {"point": point, "name": name, "verdict": "pass" if passed else "warn", "number": number, "detail": detail}


def _costs(paid: Found) -> dict[str, Any]:
    name = "Bears twice its costs"
    if paid["cost_pct"] is None:
        return _verdict(COSTS, name, False, "", "no trades")
    twice = next(row["net"] for row in paid["at"] if row["times"] == 2)
    thrice = next(row["net"] for row in paid["at"] if row["times"] == 3)
    detail = (
        f"net {paid['net']:+.2f}, with costs twice as high {twice:+.2f}, three times {thrice:+.2f} if the same trades had been made; "
        f"a mean trade is left with {paid['net_edge_pct']:+.3f} % of its notional and paid {paid['cost_pct']:.3f} %"
    )
    return _verdict(COSTS, name, twice > 0.0, "" if paid["bearable"] is None else f"{paid['bearable']:.1f}x", detail)


def _random(random: Found | None) -> dict[str, Any]:
    name = "Better than random moments"
    if random is None:
        return _verdict(LUCK, name, False, "", "there were no trades to compare")
    detail = (
        f"as many entries at random moments, with the same plan, limits and costs, brought {random['low_pct']:+.1f} to {random['high_pct']:+.1f} % "
        f"in nine of ten of {random['runs']} tries, {random['middle_pct']:+.1f} % in the middle; {random['beaten']:.0%} of them earned less than this run"
    )
    return _verdict(LUCK, name, random["p_value"] <= 1.0 - SURE, f"p = {random['p_value']:.2f}", detail)


def _expectancy(trades: Found) -> dict[str, Any]:
    name, seen = "Expectancy above zero", trades["expectancy_pct"]
    if seen is None:
        return _verdict(LUCK, name, False, "", f"trades on {trades['clusters']} days are too few to resample")
    detail = f"resampled by day of entry ({trades['clusters']} days), a mean trade earns {seen[0]:+.3f} to {seen[1]:+.3f} % of its notional after costs (95 %)"
    return _verdict(LUCK, name, seen[0] > 0.0, f"{seen[0]:+.3f} %", detail)


def _ratio(record: Found) -> dict[str, Any]:
    name, chance = "Sharpe ratio above zero", record["above_zero"]
    if chance is None:
        return _verdict(LUCK, name, False, "", "too few days, or none that differs from the others")
    needed = record["days_needed"]
    enough = "no number of such days would make it sure" if needed is None else f"{needed:,.0f} such days would make it 95 % sure"
    return _verdict(
        LUCK, name, chance >= SURE, f"{chance:.0%}", f"the chance of it by {record['days']} days, their skew and tails; {enough}"
    )


def _holding(earned: float, held: float | None) -> dict[str, Any]:
    name = "Better than buy and hold"
    if held is None:
        return _verdict(LUCK, name, False, "", "no bars")
    return _verdict(
        LUCK,
        name,
        earned > held,
        f"{earned - held:+.1f} %",
        f"{earned:+.2f} % against {held:+.2f} % from holding the same markets without costs",
    )


def _order(drawdowns: Found | None) -> dict[str, Any]:
    name = "Drawdown not owed to a lucky order"
    if drawdowns is None:
        return _verdict(LUCK, name, False, "", "needs two trades")
    other = drawdowns["shuffled"]
    detail = (
        f"{other['deeper']:.0%} of other orders of the same trades fall deeper than the {drawdowns['seen_pct']:.1f} % seen from trade to trade; "
        f"one in twenty falls {other['max_drawdown_pct'][2]:.1f} % or more"
    )
    return _verdict(LUCK, name, other["deeper"] <= LUCKY_ORDER, f"{other['max_drawdown_pct'][2]:.1f} %", detail)


def _share(word: str, best: Found | None, groups: int) -> dict[str, Any]:
    """One of two may well earn more than half; one alone earns all, and that is what has to be said."""
    name = f"Not owed to one {word}"
    if best is None:
        return _verdict(CONCENTRATION, name, False, "", "there is no profit to share" if groups else "no trades")
    detail = f"{best['key']}, the best of {groups}, brought {best['share']:.0%} of the net result"
    return _verdict(
        CONCENTRATION, name, best["share"] <= MOST_OF_ONE or (groups == 2 and best["share"] < 1.0), f"{best['share']:.0%}", detail
    )
