"""No training label shares a moment with a test label."""

import contextlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from signals import folds
from tests.signals.series import HOUR_MS, START_MS

SPANS = st.lists(st.tuples(st.integers(0, 100 * HOUR_MS), st.integers(0, 48 * HOUR_MS)), min_size=20, max_size=120)


def arrays(spans: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    start = START_MS + np.array([first for first, _ in spans], dtype=np.int64)
    return start, start + np.array([length for _, length in spans], dtype=np.int64)


def share_a_moment(start: np.ndarray, end: np.ndarray, train: np.ndarray, test: np.ndarray) -> bool:
    """By comparing every pair: slow and plain."""
    return bool(((start[train][:, None] <= end[test][None, :]) & (end[train][:, None] >= start[test][None, :])).any())


@settings(max_examples=150)
@given(SPANS, st.integers(2, 5), st.integers(0, 12))
def test_no_walk_forward_training_label_meets_a_test_label(spans: list[tuple[int, int]], count: int, embargo_hours: int) -> None:
    hourly = [(hour * HOUR_MS, HOUR_MS) for hour in range(100)]  # so that no block is empty
    start, end = arrays([*spans, *hourly])
    for fold in folds.walk_forward(start, end, folds=count, embargo_ms=embargo_hours * HOUR_MS):
        assert not share_a_moment(start, end, fold.train, fold.test)
        assert end[fold.train].max() < fold.test_start_ms - embargo_hours * HOUR_MS
        assert not np.intersect1d(fold.train, fold.test).size


@settings(max_examples=150)
@given(SPANS, st.randoms(use_true_random=False))
def test_no_trainable_label_meets_any_block_of_a_scattered_test_set_even_without_embargo(
    spans: list[tuple[int, int]], random: object
) -> None:
    start, end = arrays(spans)
    test = np.array([random.random() < 0.2 for _ in spans])  # type: ignore[attr-defined]
    assume(test.any())
    train = folds.trainable(start, end, test, embargo_ms=0)
    assert not (train & test).any()
    assert not share_a_moment(start, end, np.flatnonzero(train), np.flatnonzero(test))


def test_a_label_between_two_test_blocks_may_train() -> None:
    start = START_MS + np.array([0, 10, 20, 30, 40]) * HOUR_MS
    end = start + 5 * HOUR_MS
    test = np.array([False, True, False, True, False])
    assert folds.trainable(start, end, test, embargo_ms=0).tolist() == [True, False, True, False, True]


def test_the_embargo_is_time_after_the_test_block_not_rows() -> None:
    start = START_MS + np.array([0, 10, 16, 20, 30]) * HOUR_MS
    end = start + np.array([5, 5, 1, 1, 1]) * HOUR_MS
    test = np.array([False, True, False, False, False])
    assert folds.trainable(start, end, test, embargo_ms=2 * HOUR_MS).tolist() == [True, False, False, True, True]
    assert folds.trainable(start, end, test, embargo_ms=5 * HOUR_MS).tolist() == [True, False, False, False, True]
    # The same hours with a hundred rows more in them: the embargo takes all of those.
    dense_start = np.concatenate((start, START_MS + 17 * HOUR_MS + np.arange(100)))
    dense_end = np.concatenate((end, dense_start[5:] + 1))
    dense_test = np.concatenate((test, np.zeros(100, dtype=bool)))
    assert not folds.trainable(dense_start, dense_end, dense_test, embargo_ms=5 * HOUR_MS)[5:].any()


def test_a_test_label_that_runs_on_after_its_block_still_purges() -> None:
    start = START_MS + np.array([0, 10, 40]) * HOUR_MS
    end = start + np.array([1, 48, 1]) * HOUR_MS
    test = np.array([False, True, False])
    assert folds.trainable(start, end, test, embargo_ms=0).tolist() == [True, False, False]


def test_blocks_are_equal_in_time_for_a_panel_of_unequal_histories() -> None:
    long = START_MS + np.arange(0, 1_000) * HOUR_MS
    short = START_MS + np.arange(700, 1_000) * HOUR_MS
    start = np.concatenate((long, short))
    split = folds.walk_forward(start, start + HOUR_MS, folds=4, embargo_ms=0)
    lengths = [fold.test_end_ms - fold.test_start_ms for fold in split]
    assert max(lengths) - min(lengths) <= 1
    assert [fold.test.size for fold in split] == [200, 200, 300, 400]
    assert all(start[fold.train].max() < start[fold.test].min() for fold in split)
    assert split[-1].purged == 2


def test_every_label_after_the_first_block_is_tested_once() -> None:
    start = START_MS + np.arange(500) * HOUR_MS
    split = folds.walk_forward(start, start + 3 * HOUR_MS, folds=4, embargo_ms=6 * HOUR_MS)
    tested = np.concatenate([fold.test for fold in split])
    assert np.array_equal(np.sort(tested), np.arange(100, 500))


def test_impossible_splits_are_refused() -> None:
    start = START_MS + np.arange(10) * HOUR_MS
    with pytest.raises(ValueError, match="at least 2 folds"):
        folds.walk_forward(start, start, folds=1, embargo_ms=0)
    with pytest.raises(ValueError, match="fold 1 of 4 has no labels"):
        folds.walk_forward(start, start + 100 * HOUR_MS, folds=4, embargo_ms=0)


@settings(max_examples=80)
@given(SPANS, st.integers(0, 24))
def test_early_stopping_never_validates_on_a_label_that_was_fitted(spans: list[tuple[int, int]], embargo_hours: int) -> None:
    start, end = arrays(spans)
    fit, valid = folds.validation_tail(start, end, share=0.2, embargo_ms=embargo_hours * HOUR_MS)
    assert not (fit & valid).any()
    assert not share_a_moment(start, end, np.flatnonzero(fit), np.flatnonzero(valid))
    if fit.any() and valid.any():
        assert start[valid].min() - end[fit].max() > embargo_hours * HOUR_MS


def test_the_holdout_is_the_last_share_of_time_after_purge_and_embargo() -> None:
    hold = folds.holdout(START_MS, START_MS + 1_000 * HOUR_MS, share=0.2, purge_ms=48 * HOUR_MS, embargo_ms=24 * HOUR_MS)
    assert hold.start_ms == START_MS + 800 * HOUR_MS
    assert hold.last_start_ms == START_MS + (800 - 72) * HOUR_MS
    with pytest.raises(ValueError, match="shorter than holdout"):
        folds.holdout(START_MS, START_MS + 80 * HOUR_MS, share=0.2, purge_ms=48 * HOUR_MS, embargo_ms=24 * HOUR_MS)


# --- panels of several symbols, and combinatorial folds

PANELS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 6), st.lists(st.integers(0, 24), min_size=12, max_size=50)), min_size=1, max_size=5
)


def panel_arrays(symbols: list[tuple[int, int, list[int]]]) -> tuple[np.ndarray, np.ndarray]:
    """Labels of any number of symbols: each begins at its own hour, decides every few hours, and has labels of its own lengths."""
    parts = [
        arrays([((first + step * k) * HOUR_MS, hours * HOUR_MS) for k, hours in enumerate(lengths)]) for first, step, lengths in symbols
    ]
    return np.concatenate([start for start, _ in parts]), np.concatenate([end for _, end in parts])


@settings(max_examples=120)
@given(PANELS, st.integers(0, 24), st.data())
def test_no_split_of_a_panel_lets_a_label_straddle_it(
    symbols: list[tuple[int, int, list[int]]], embargo_hours: int, data: st.DataObject
) -> None:
    start, end = panel_arrays(symbols)
    embargo_ms = embargo_hours * HOUR_MS
    groups = data.draw(st.integers(3, 6))
    held = data.draw(st.integers(1, groups - 1))
    splits: list[tuple[np.ndarray, np.ndarray]] = []
    with contextlib.suppress(ValueError):
        splits += [(fold.train, fold.test) for fold in folds.walk_forward(start, end, folds=groups - 1, embargo_ms=embargo_ms)]
    fit, valid = folds.validation_tail(start, end, share=0.2, embargo_ms=embargo_ms)
    splits.append((np.flatnonzero(fit), np.flatnonzero(valid)))
    with contextlib.suppress(ValueError):
        splits += [
            (split.train, split.test) for split in folds.combinatorial(start, end, groups=groups, test_groups=held, embargo_ms=embargo_ms)
        ]
    for train, test in splits:
        assert not np.intersect1d(train, test).size
        assert not share_a_moment(start, end, train, test)
        assert folds.straddling(start, end, train, test) == 0


@settings(max_examples=80)
@given(SPANS, st.data())
def test_straddling_labels_are_counted_as_by_comparing_every_pair(spans: list[tuple[int, int]], data: st.DataObject) -> None:
    start, end = arrays(spans)
    held = np.array(data.draw(st.lists(st.booleans(), min_size=start.size, max_size=start.size)))
    train, test = np.flatnonzero(~held), np.flatnonzero(held)
    touches = (start[train][:, None] <= end[test][None, :]) & (end[train][:, None] >= start[test][None, :])
    assert folds.straddling(start, end, train, test) == int(touches.any(axis=1).sum())


def test_every_choice_of_groups_is_held_out_once_and_paths_use_each_prediction_once() -> None:
    start = START_MS + np.arange(600) * HOUR_MS
    splits = folds.combinatorial(start, start + 3 * HOUR_MS, groups=6, test_groups=2, embargo_ms=5 * HOUR_MS)
    assert len(splits) == 15
    assert [split.test_groups for split in splits[:6]] == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 2)]
    assert all(split.test.size == 200 for split in splits)
    assert all(split.train.size + split.test.size + split.purged == 600 for split in splits)
    # Groups 0 and 2 held out: 3 labels before group 2 reach into it; after each block 3 hours of its last label's span and 5 of embargo.
    assert splits[1].purged == 3 + 2 * (3 + 5)
    assert splits[0].purged == 8  # one block of two neighbours at the beginning
    # The table of Lopez de Prado 2018, section 12.4.1: 6 groups, 2 held out, 5 paths.
    table = folds.paths(6, 2)
    assert table.shape == (5, 6)
    used = sorted((int(number), group) for path in table for group, number in enumerate(path))
    assert used == sorted((split.number, group) for split in splits for group in split.test_groups)
    assert table[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert table[0].tolist() == [0, 0, 1, 2, 3, 4]


def test_impossible_combinations_are_refused() -> None:
    start = START_MS + np.arange(40) * HOUR_MS
    with pytest.raises(ValueError, match="test_groups must be from 1 to 3, not 4"):
        folds.combinatorial(start, start, groups=4, test_groups=4, embargo_ms=0)
    with pytest.raises(ValueError, match="nothing is left to train on"):
        folds.combinatorial(start, start + 100 * HOUR_MS, groups=4, test_groups=2, embargo_ms=0)
    with pytest.raises(ValueError, match="part 2 of 4 has no labels"):
        folds.time_groups(np.concatenate((start[:5], start[-1:] + 400 * HOUR_MS)), 4)
    with pytest.raises(ValueError, match="at least 2 groups"):
        folds.time_groups(start, 1)
