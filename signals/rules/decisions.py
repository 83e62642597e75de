"""The decisions of many parameter combinations at once, on every core.

Compiled leaves release the interpreter's lock, so plain threads share the work: numba's own thread pools end a process that forks after
using one, or that calls them from two threads, and Celery's workers and the web process do both.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exchanges.compiled import cores
from signals.rules.histories import unbroken
from signals.rules.spec import RuleStrategy

CHUNK = 32
"""Combinations that a thread takes at once: enough to share an indicator, few enough that all threads have work until the end."""
F = NDArray[np.float64]


class Decisions(NamedTuple):
    """Of c combinations: those of combination i are offsets[i] to offsets[i + 1]. rows int64[k] are bars at whose close a side was decided,
    ascending within a combination; sides int8[k] are +1 long, -1 short."""

    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    sides: NDArray[np.int8]


def decide(strategy: RuleStrategy, high: F, low: F, close: F, params: ArrayLike, *, threads: int | None = None) -> Decisions:
    """The decisions on one symbol's bars, float64[n] each, of all parameter rows [c, p] (RuleStrategy.rows).

    threads -- None: one for each core that this process may use, or NUMBA_NUM_THREADS where the environment sets it
    """
    table = np.ascontiguousarray(params, np.float64).reshape(-1, len(strategy.parameters))
    leaf, n = _leaf(strategy.leaf), close.shape[0]
    columns = [np.ascontiguousarray(column, np.float64) for column in (high, low, close)]
    runs = unbroken(*columns)

    def part(first: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
        some = table[first : first + CHUNK]
        counts, out = (
            np.zeros(some.shape[0], np.int64),
            np.empty(some.shape[0] * n, np.int32),
        )  # pages that nothing is written to cost nothing
        leaf(*columns, runs, some, out, counts)
        signed = out[: int(counts.sum())]
        return counts, np.abs(signed).astype(np.int64) - 1, np.sign(signed).astype(np.int8)

    firsts = range(0, table.shape[0], CHUNK)
    if len(firsts) == 1:
        parts = [part(0)]
    else:
        with ThreadPoolExecutor(threads or cores()) as pool:
            parts = list(pool.map(part, firsts))
    counts, rows, sides = zip(*parts, strict=True) if parts else ((), (), ())
    ends = np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]))
    return Decisions(ends, np.concatenate([np.zeros(0, np.int64), *rows]), np.concatenate([np.zeros(0, np.int8), *sides]))


@cache
def _leaf(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)
