"""Windows never cross a gap or reach into another market."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals.sequences import Windows, run_starts

STEP = 900_000


def test_a_run_ends_at_a_missing_bar_and_at_an_unknown_one() -> None:
    at = np.array([0, 1, 2, 5, 6, 7, 8], dtype=np.int64) * STEP
    values = np.zeros((7, 2))
    values[5, 1] = np.nan
    assert run_starts(at, values, STEP).tolist() == [0, 0, 0, 3, 3, 5, 6]
    assert run_starts(at[:0], values[:0], STEP).tolist() == []


def test_a_window_is_the_bars_up_to_its_row_oldest_first() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    windows = Windows(rows, np.zeros(6, dtype=np.int64), np.array([3, 5]))
    assert windows.gather(windows.at, 3)[:, :, 0].tolist() == [[2.0, 4.0, 6.0], [6.0, 8.0, 10.0]]
    assert windows.take(np.array([1])).at.tolist() == [5]


def test_a_short_run_repeats_its_first_bar() -> None:
    rows = np.arange(4, dtype=np.float32)[:, None]
    windows = Windows(rows, np.array([0, 0, 2, 2]), np.array([3]))
    assert windows.gather(windows.at, 4)[0, :, 0].tolist() == [2.0, 2.0, 2.0, 3.0]


@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=40),
    st.integers(1, 12),
)
def test_every_bar_of_a_window_is_of_the_same_market_and_run(first: list, second: list, length: int) -> None:
    tables, starts, offset = [], [], 0
    for market, bars in enumerate((first, second)):
        place = np.cumsum([step for step, _ in bars])
        unknown = np.array([is_unknown for _, is_unknown in bars])
        values = np.column_stack([np.full(place.size, market, float), place.astype(float), np.where(unknown, np.nan, 0.0)])
        starts.append(run_starts(place * STEP, values, STEP) + offset)
        tables.append(values.astype(np.float32))
        offset += place.size
    windows = Windows(np.concatenate(tables), np.concatenate(starts), np.arange(offset))
    for row, bars in zip(windows.rows, windows.gather(windows.at, length), strict=True):
        if np.isnan(row).any():
            continue
        assert np.isfinite(bars).all()
        assert (bars[:, 0] == row[0]).all()
        assert bars[-1].tolist() == row.tolist()
        assert set(np.diff(bars[:, 1])) <= {0.0, 1.0}
        assert not (np.diff(np.diff(bars[:, 1])) < 0).any()  # repeats come first, then bar after bar


def test_the_last_bars_alone_make_the_window_that_the_whole_history_makes() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, 3)).astype(np.float32)
    whole = Windows(rows, np.zeros(200, dtype=np.int64), np.array([199]))
    live = Windows(rows[-64:], np.zeros(64, dtype=np.int64), np.array([63]))
    assert np.array_equal(whole.gather(whole.at, 64), live.gather(live.at, 64))
    assert whole.gather(whole.at, 64).dtype == np.float32
    with pytest.raises(IndexError):
        whole.gather(np.array([200]), 64)
