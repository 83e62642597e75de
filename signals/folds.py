"""Splitting labelled time without leaks: walk-forward folds, combinatorial folds and the holdout.

A label spans from the bar that decides (start) to the bar at which its position is flat (end). Training and test labels must not share a
moment, or the test is marked by the training. So splits go by TIME, for all symbols of a panel alike, and labels are purged by their own
ends, never by a number of rows. Source: Lopez de Prado, Advances in Financial Machine Learning, 2018, sections 7.4.1, 7.4.2 and 12.4.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb
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


class Combination(NamedTuple):
    """One split of combinatorial cross-validation: the labels of `test_groups` are held out. Row numbers as in Fold; `purged` rows belong to
    the other groups but were left out."""

    number: int
    test_groups: tuple[int, ...]
    train: NDArray[np.int64]
    test: NDArray[np.int64]
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


def time_groups(start: Times, groups: int) -> NDArray[np.int64]:
    """Which of `groups` equal parts of TIME each label decides in, 0 to groups - 1, shape [n]. Raises ValueError when a part has no label."""
    if start.size == 0 or groups < 2:
        raise ValueError("combinatorial cross-validation needs labels and at least 2 groups")
    first, last = int(start.min()), int(start.max()) + 1
    edges = np.array([first + (last - first) * k // groups for k in range(1, groups)], dtype=np.int64)
    group = np.searchsorted(edges, start, side="right").astype(np.int64)
    empty = np.flatnonzero(np.bincount(group, minlength=groups) == 0)
    if empty.size:
        raise ValueError(f"part {empty[0] + 1} of {groups} has no labels: use fewer groups or a longer history")
    return group


def combinatorial(start: Times, end: Times, *, groups: int, test_groups: int, embargo_ms: int) -> list[Combination]:
    """Combinatorial purged cross-validation: every choice of `test_groups` out of `groups` equal parts of time is held out once.

    start, end -- int64 [n], ms, as in walk_forward. Training labels neither overlap a test label nor start within `embargo_ms` after one.
    The choices come in lexical order, which `paths` relies on. Raises ValueError when a part has no label, when test_groups is not between
    1 and groups - 1, or when a choice leaves nothing to train on.
    """
    if not 1 <= test_groups < groups:
        raise ValueError(f"test_groups must be from 1 to {groups - 1}, not {test_groups}")
    group = time_groups(start, groups)
    out = []
    for number, chosen in enumerate(combinations(range(groups), test_groups)):
        test = np.isin(group, chosen)
        train = trainable(start, end, test, embargo_ms=embargo_ms)
        if not train.any():
            raise ValueError(f"nothing is left to train on when the parts {chosen} of {groups} are held out: use fewer groups")
        purged = int((~test).sum() - train.sum())
        out.append(Combination(number, chosen, np.flatnonzero(train), np.flatnonzero(test), purged))
    return out


def paths(groups: int, test_groups: int) -> NDArray[np.int64]:
    """How the splits of `combinatorial` make whole out-of-sample histories: int64 [phi, groups], the split that predicts each group of each path.

    Every group is held out in phi = C(groups - 1, test_groups - 1) splits, so there are phi paths and each prediction belongs to one of them.
    """
    chosen = list(combinations(range(groups), test_groups))
    phi = comb(groups - 1, test_groups - 1)
    out = np.empty((phi, groups), dtype=np.int64)
    for group in range(groups):
        out[:, group] = [number for number, parts in enumerate(chosen) if group in parts]
    return out


def straddling(start: Times, end: Times, train: NDArray[np.int64], test: NDArray[np.int64]) -> int:
    """How many of the `train` rows have a label that shares a moment with a label of the `test` rows: 0 for a split without a leak."""
    if not (train.size and test.size):
        return 0
    blocks = np.array(_blocks(start[test], end[test]), dtype=np.int64)
    first_not_over = np.searchsorted(blocks[:, 1], start[train], side="left")
    reached = first_not_over < blocks.shape[0]
    return int((end[train][reached] >= blocks[first_not_over[reached], 0]).sum())


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
