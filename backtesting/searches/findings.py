"""What a finished search says: its best, how far that may be believed, and a verdict on bars that had no part in choosing."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtesting import metrics
from backtesting.combos import ranking
from backtesting.combos.ranking import Results
from backtesting.combos.space import Space
from backtesting.counting import Counted
from backtesting.searches.walking import Evaluate, Walked

F = NDArray[np.float64]
TOP = 10
MOST_COMPARED = 1_000
"""Combinations whose daily returns are compared for the probability of overfitting: more would take gigabytes."""
SURE = 0.95
ENOUGH_AROUND = 0.5
VERDICTS = ("holds", "unproven", "fails", "unjudged")
CHART_DAYS = 2_000


def found(space: Space, table: F, results: Results, evaluate: Evaluate, *, objective: str, least_trades: int, span: tuple[int, int], capital: float,
          counted: Counted) -> dict[str, Any]:  # fmt: skip
    """The best of all trials and how much of it is luck, on the bars it was chosen on. counted -- what the best competes with"""
    value = results.objective(objective)
    ranked = ranking.order(value, results.trades, least_trades)
    facts: dict[str, Any] = {
        "tried": int(table.shape[0]),
        "eligible": int(ranked.size),
        "tried_in_all": counted.total,
        "made_of": made_of(counted),
        "top": [_row(space, table, results, value, int(number)) for number in ranked[:TOP]],
        "deflated": None,
        "overfit": None,
        "around": None,
    }
    if not ranked.size:
        return facts
    best = int(ranked[0])
    seen = evaluate(table[best : best + 1], *span, capital)
    believed = metrics.deflate(metrics.by_combination(seen.daily, capital)[:, 0], counted.ratios, trials=facts["tried_in_all"])
    facts["deflated"] = None if believed is None else believed._asdict()
    facts["around"] = ranking.around(table, value, best, neutral=ranking.neutral(objective))._asdict()
    facts["overfit"] = _overfit(table, evaluate, span, capital)
    return facts


def made_of(counted: Counted) -> str:
    """The count in words, such as "1,000 here, 12 runs by hand, 200 in 1 other search"."""
    parts = [f"{counted.here:,} here"]
    if counted.by_hand:
        parts.append(f"{counted.by_hand:,} run{'s' if counted.by_hand != 1 else ''} by hand")
    if counted.elsewhere:
        parts.append(f"{counted.elsewhere:,} in {counted.others} other search{'es' if counted.others != 1 else ''}")
    return ", ".join(parts)


def _overfit(table: F, evaluate: Evaluate, span: tuple[int, int], capital: float) -> dict[str, Any] | None:
    """metrics.pbo over all combinations, or over MOST_COMPARED of them spread evenly over their order."""
    some = np.unique(np.linspace(0, table.shape[0] - 1, min(table.shape[0], MOST_COMPARED)).astype(np.int64))
    returns = metrics.by_combination(evaluate(table[some], *span, capital).daily, capital)
    overfit = metrics.pbo(returns)
    if overfit is None:
        return None
    return {
        "probability": overfit.probability,
        "slope": overfit.slope,
        "loss": overfit.loss,
        "splits": overfit.splits,
        "combinations": int(some.size),
        "logits": [list(each) for each in metrics.logit_bins(overfit.logits)],
    }


def walked(space: Space, walk: Walked, *, capital: float, walks: int, learned: int = 0) -> dict[str, Any]:
    """The walk-forward test as it is stored. learned -- how many combinations a search that learns tried on each training. walks -- how many of them were made over this time: the result is deflated by so many tries."""
    returns = metrics.daily_returns(walk.days, walk.equity, capital)
    believed = metrics.deflate(returns, np.zeros(0), trials=walks)
    every = max(1, math.ceil(walk.days.size / CHART_DAYS))
    return {
        "windows": [
            {
                **step.window._asdict(),
                "values": None if step.chosen is None else space.values(step.chosen.tolist()),
                "inside": _known(step.inside),
                "inside_pct": _known(step.inside_pct),
                "outside_pct": step.outside_pct,
                "trades": step.trades,
            }
            for step in walk.steps
        ],
        "net_pct": (float(walk.equity[-1]) / capital - 1.0) * 100.0 if walk.equity.size else 0.0,
        "learned": learned,
        "trades": sum(step.trades for step in walk.steps),
        "sharpe": metrics.sharpe(returns),
        "fall_pct": metrics.max_drawdown_pct(walk.equity, capital),
        "efficiency": walk.efficiency,
        "won": sum(step.outside_pct > 0.0 for step in walk.steps),
        "deflated": None if believed is None else believed._asdict(),
        "equity": [[int(at), float(worth)] for at, worth in zip(walk.days[::every], walk.equity[::every], strict=True)],
    }


def verdict(walk: dict[str, Any] | None) -> dict[str, str]:
    """One of VERDICTS and a sentence, from out-of-sample results alone."""
    if walk is None:
        return _said(
            "unjudged", "Every figure comes from bars that the best was chosen on. Ask for a walk-forward test to have it judged on others."
        )
    n, net, believed = walk["trades"], walk["net_pct"], walk["deflated"]
    if n < metrics.FEW_TRADES:
        return _said("unjudged", f"{n} out-of-sample trades are too few to judge by.")
    if net <= 0.0:
        return _said("fails", f"What was best lost {-net:.1f} % on the bars that followed.")
    if believed is None or believed["probability"] < SURE:
        chance = "cannot be told" if believed is None else f"is {_percent(believed['probability'])}"
        return _said(
            "unproven",
            f"What was best earned {net:.1f} % on the bars that followed, but the chance that this is more than luck {chance}; 95 % would be convincing.",
        )
    return _said(
        "holds",
        f"What was best earned {net:.1f} % on the bars that followed, in {n} trades; the chance that this is more than luck is {_percent(believed['probability'])}.",
    )


def warnings(facts: dict[str, Any], objective: str, *, limit_pct: float) -> list[str]:
    """What a reader of the best combination has to know, worst first. limit_pct -- the profile's: after such a fall nothing more is entered"""
    said = []
    if not facts["top"]:
        return ["No combination had enough trades and a defined objective: there is no best."]
    if facts["deflated"] is None:
        said.append("Too few days with a result: how much of the best is luck cannot be told.")
    elif facts["deflated"]["probability"] < SURE:
        said.append(
            f"Deflated by {facts['tried_in_all']:,} different tries ({facts['made_of']}), the chance that the best has "
            f"any skill is {_percent(facts['deflated']['probability'])}; 95 % would be convincing."
        )
    if facts["overfit"] and facts["overfit"]["probability"] > 0.5:
        said.append(
            f"In {_percent(facts['overfit']['probability'])} of the splits the best of one half of the days was below the middle on the other half: the search fits noise."
        )
    if facts["top"][0]["fall_pct"] >= limit_pct:
        said.append(
            f"The best fell by the {limit_pct:g} % after which the risk profile enters nothing more: from then on it did not trade."
        )
    near = facts["around"]
    if near and near["neighbours"] and near["mean"] is not None:
        neutral = ranking.neutral(objective)
        best = facts["top"][0][objective] - neutral
        if best > 0.0 and near["mean"] - neutral < ENOUGH_AROUND * best:
            said.append("The combinations next to the best do much worse: it stands alone, which luck does more often than skill.")
    if facts["eligible"] < facts["tried"] / 2:
        said.append(
            f"{facts['tried'] - facts['eligible']:,} of {facts['tried']:,} combinations had too few trades or no defined objective and could not be the best."
        )
    return said


def _row(space: Space, table: F, results: Results, value: F, number: int) -> dict[str, Any]:
    figures = {name: _known(float(results.objective(name)[number])) for name in ranking.OBJECTIVES}
    return {
        "number": number,
        "values": space.values(table[number]),
        "trades": int(results.trades[number]),
        "won_pct": 100.0 * int(results.wins[number]) / max(1, int(results.trades[number])),
        "fall_pct": float(results.fall_pct[number]),
        **figures,
    }


def _percent(chance: float) -> str:
    """A chance in words: never certain, never impossible."""
    return "under 1 %" if chance < 0.01 else "over 99 %" if chance > 0.99 else f"{chance * 100:.0f} %"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _said(word: str, text: str) -> dict[str, str]:
    return {"word": word, "text": text}
