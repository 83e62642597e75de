"""Splitting labelled time without leaks: walk-forward folds and the holdout.

A label spans from the bar that decides (start) to the bar at which its position is flat (end). Training and test labels must not share a
moment, or the test is marked by the training. So splits go by TIME, for all symbols of a panel alike, and labels are purged by their own
ends, never by a number of rows. Source: Lopez de Prado, Advances in Financial Machine Learning, 2018, sections 7.4.1 and 7.4.2.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Times = NDArray[np.int64]


class Fold(NamedTuple):
    """One split. train and test are row numbers; a test label decides in [test_start_ms, test_end_ms). `purged` rows lay before the test
    block but were left out because their label, or the embargo, reaches into it."""

    number: int
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    test_start_ms: int
    test_end_ms: int
    purged: int


@dataclass(frozen=True, slots=True)
class Holdout:
    """The newest part of time, which training never sees. Labels for training decide at or before `last_start_ms` and end before `start_ms`."""

    start_ms: int
    last_start_ms: int
    end_ms: int


def overlaps(start: Times, end: Times, span_start_ms: int, span_end_ms: int) -> Mask:
    """Which label spans [start, end] share a moment with [span_start_ms, span_end_ms]; both ends belong to a span."""
    return (start <= span_end_ms) & (end >= span_start_ms)


def trainable(start: Times, end: Times, test: Mask, *, embargo_ms: int) -> Mask:
    """Which labels may train when the `test` labels are held out: bool [n].

    Test labels need not be one block: each run of test labels that overlap in time is a block of its own, from its first start to its last
    end. A label is left out when it overlaps a block, or starts within `embargo_ms` after its end.
    """
    allowed = ~test
    for first, last in _blocks(start[test], end[test]):
        allowed &= ~overlaps(start, end, first, last)
        allowed &= ~((start > last) & (start <= last + embargo_ms))
    return allowed


def _blocks(start: Times, end: Times) -> list[tuple[int, int]]:
    """Unions of overlapping spans, oldest first."""
    order = np.argsort(start, kind="stable")
    first, reach = start[order], np.maximum.accumulate(end[order]) if order.size else end[order]
    if first.size == 0:
        return []
    cuts = np.flatnonzero(first[1:] > reach[:-1]) + 1
    begins = [0, *cuts.tolist()]
    ends = [*(cuts - 1).tolist(), first.size - 1]
    return [(int(first[a]), int(reach[b])) for a, b in zip(begins, ends, strict=True)]


def walk_forward(start: Times, end: Times, *, folds: int, embargo_ms: int) -> list[Fold]:
    """`folds` test blocks of equal TIME, each trained on everything before it.

    start, end -- int64 [n], ms: when each label decides and when its position is flat; rows in any order, of any number of symbols.
    The first of folds + 1 equal blocks only trains. A training label has to end more than `embargo_ms` before the test block starts.
    Raises ValueError when there are no labels, fewer than 2 folds, or a block without training or test labels.
    """
    if start.size == 0 or folds < 2:
        raise ValueError("walk-forward needs labels and at least 2 folds")
    first, last = int(start.min()), int(start.max()) + 1
    edges = [first + (last - first) * k // (folds + 1) for k in range(folds + 2)]
    out = []
    for number in range(1, folds + 1):
        test_start, test_end = edges[number], edges[number + 1]
        test = (start >= test_start) & (start < test_end)
        before = start < test_start
        train = before & (end < test_start - embargo_ms)
        if not (test.any() and train.any()):
            raise ValueError(f"fold {number} of {folds} has no labels to train on or to test: use fewer folds or a longer history")
        purged = int(before.sum() - train.sum())
        out.append(Fold(number, np.flatnonzero(train), np.flatnonzero(test), test_start, test_end, purged))
    return out


def validation_tail(start: Times, end: Times, *, share: float, embargo_ms: int) -> tuple[Mask, Mask]:
    """Split a training set for early stopping: (fit, valid), the last `share` of its time validates, purged and embargoed like a test block."""
    first, last = int(start.min()), int(start.max())
    cut = last - int((last - first) * share)
    return end < cut - embargo_ms, start >= cut


def holdout(first_ms: int, last_ms: int, *, share: float, purge_ms: int, embargo_ms: int) -> Holdout:
    """The last `share` of the time from first_ms to last_ms. Raises ValueError when nothing is left to train on."""
    if not 0.0 < share < 1.0:
        raise ValueError("the holdout's share must be between 0 and 1")
    start = last_ms - int((last_ms - first_ms) * share)
    last_start = start - purge_ms - embargo_ms
    if last_start <= first_ms:
        raise ValueError("the history is shorter than holdout, purge and embargo together")
    return Holdout(start, last_start, last_ms)
