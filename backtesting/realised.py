"""What a model's own signals really earned, paper or live, against what the model was promoted on.

One signal is one result, however many accounts took it: the mean of its positions' net results after fees, slippage and funding, in % of
notional. Positions that people closed by hand are left out, because they tell of people. Days are those of the decisions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import comparison
from backtesting.models import GateDecision, Verdict
from exchanges.exits import LIQUIDATION, REASONS, STOP, TAKE_PROFIT_1, TAKE_PROFIT_2, TAKE_PROFIT_3, TIME, TRAIL
from exchanges.models import Position
from signals.models import ModelVersion, Signal

F = NDArray[np.float64]
DAY_MS = 86_400_000
BY_PLAN = [REASONS[code] for code in (STOP, TAKE_PROFIT_1, TAKE_PROFIT_2, TAKE_PROFIT_3, TRAIL, TIME, LIQUIDATION)]
BLOCK_DAYS = 3
LEAST_SIGNALS = 20
LEAST_DAYS = 10


class Realised(NamedTuple):
    """Mean net result of the signals of each day that has one, % of notional, float64 [days], days in order; and how many signals they are."""

    by_day: F
    signals: int


def of_signals(model: ModelVersion, start_ms: int, end_ms: int) -> Realised:
    """Of the model's signals on bars with start_ms <= open < end_ms whose positions their plan has closed."""
    bar_ms = dict(Signal.objects.filter(model=model, bar_ms__gte=start_ms, bar_ms__lt=end_ms).values_list("pk", "bar_ms"))
    results: dict[int, list[float]] = {}
    own = Position.objects.closed().filter(origin__in=[f"signal:{pk}" for pk in bar_ms], exit_reason__in=BY_PLAN).order_by("pk")
    for position in own:
        signal = int(position.origin.partition(":")[2])
        results.setdefault(signal, []).append(float(position.net_pnl / (position.entry_price * position.qty_opened)) * 100.0)
    if not results:
        return Realised(np.empty(0), 0)
    days = np.array([bar_ms[signal] // DAY_MS for signal in results])
    _, place, counts = np.unique(days, return_inverse=True, return_counts=True)
    return Realised(np.bincount(place, weights=[float(np.mean(each)) for each in results.values()]) / counts, len(results))


def promised_pct(model: ModelVersion) -> float | None:
    """The lower 95 % bound of a trade's mean net result, % of notional, that the model showed out of sample: in the comparison that made it
    champion, else out of fold in its training. None when neither has one."""
    won = GateDecision.objects.filter(candidate=model, verdict=Verdict.PROMOTED, candidate_run__isnull=False)
    decision = won.select_related("candidate_run").order_by("-pk").first()
    if decision is not None and decision.candidate_run is not None:
        low = decision.candidate_run.metrics["metrics"]["expectancy_pct"].get("low")
    else:
        low = model.metrics.get("trading", {}).get("overall", {}).get("mean_net_pct_low")
    return None if low is None else float(low)


def p_below(seen: Realised, promised: float) -> float | None:
    """The chance of results as low as these when a signal's true mean is what was promised, by Student's t on means of BLOCK_DAYS days with
    results; None when there are fewer than LEAST_SIGNALS signals or LEAST_DAYS days."""
    if seen.signals < LEAST_SIGNALS or seen.by_day.size < LEAST_DAYS:
        return None
    return comparison.p_by_blocks(promised - seen.by_day, BLOCK_DAYS)
