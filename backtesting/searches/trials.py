"""What a search has tried, as it is stored and as arrays."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting.combos.ranking import Results, joined
from backtesting.models import ParameterSearch, TrialBatch

F = NDArray[np.float64]
WHOLE = ("trades", "wins")


class Trials(NamedTuple):
    """table [c, p], in the order of the space's names, and what came of each."""

    table: F
    results: Results


def load(search: ParameterSearch, *, window: int = 0) -> Trials:
    """Everything a search has tried on its whole span, or on the training of a window (from 1), in order."""
    batches = TrialBatch.objects.filter(search=search, window=window).order_by("number").values_list("params", "figures")
    tables, parts = [np.zeros((0, len(search.space)))], [_results({name: [] for name in Results._fields})]
    for params, figures in batches:
        tables.append(np.array(params, np.float64))
        parts.append(_results(figures))
    return Trials(np.concatenate(tables), joined(parts))


def batch(search: ParameterSearch, number: int, table: F, results: Results, *, window: int = 0) -> TrialBatch:
    """A batch to be saved."""
    figures = {name: [None if value != value else value for value in column.tolist()] for name, column in results._asdict().items()}
    return TrialBatch(search=search, window=window, number=number, params=table.tolist(), figures=figures)


def _results(figures: dict[str, list[Any]]) -> Results:
    columns: dict[str, Any] = {name: np.array(figures[name], np.int64 if name in WHOLE else np.float64) for name in Results._fields}
    return Results(**columns)
