"""When a venue of shares is open. Pure: spans of ms UTC, half-open, in order of time."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]


def inside(opens_ms: NDArray[np.int64], length_ms: int, sessions: Iterable[Span]) -> NDArray[np.bool_]:
    """Which bars lie wholly in one of the sessions."""
    table = np.array(list(sessions), np.int64).reshape(-1, 2)
    if not len(table):
        return np.zeros(opens_ms.shape, bool)
    index = np.searchsorted(table[:, 0], opens_ms, side="right") - 1
    return np.asarray((index >= 0) & (opens_ms + length_ms <= table[np.maximum(index, 0), 1]))


def between(first_ms: int, until_ms: int, sessions: Iterable[Span]) -> tuple[Span, ...]:
    """What of first_ms <= t < until_ms lies in no session."""
    known = [(max(start, first_ms), min(end, until_ms)) for start, end in sessions if start < until_ms and end > first_ms]
    edges = [(first_ms, first_ms), *known, (until_ms, until_ms)]
    return tuple((earlier[1], later[0]) for earlier, later in pairwise(edges) if earlier[1] < later[0])
