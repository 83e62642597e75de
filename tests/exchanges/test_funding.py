"""Funding: stored rates where they reach, the default for every hour that none stands for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges import funding
from exchanges.ports import FundingFrame

DAY = 1_735_689_600_000  # 2025-01-01T00:00Z
HOUR = funding.HOUR_MS
COST = 1e-4


def stored(*hours: int) -> FundingFrame:
    return FundingFrame(np.array([DAY + hour * HOUR for hour in hours], np.int64), np.full(len(hours), 0.0007))


def told(frame: FundingFrame, start: float, end: float, cost: float = COST) -> list[tuple[float, float, float, float]]:
    """[(hour, since, rate, cost)]"""
    due = funding.due(frame, start_ms=int(DAY + start * HOUR), end_ms=int(DAY + end * HOUR), hourly_cost=cost)
    return [((at - DAY) / HOUR, (since - DAY) / HOUR, rate, paid) for at, since, rate, paid in zip(*due, strict=True)]


def test_it_takes_the_stored_rates_where_the_history_reaches():
    assert told(stored(0, 8, 16), 0, 17)[:3] == [(0, -8, 0.0007, 0), (8, 0, 0.0007, 0), (16, 8, 0.0007, 0)]


def test_it_charges_the_default_by_the_hour_after_the_newest_rate():
    assert told(stored(0, 8), 9, 11) == [(9, 8, 0, COST), (10, 9, 0, COST)]


def test_it_charges_the_default_before_the_history_but_for_the_hours_the_first_rate_stands_for():
    assert [hour for hour, *_ in told(stored(24), 12, 25)] == [12, 13, 14, 15, 16, 24]


@pytest.mark.parametrize(("boundaries", "by_default"), [((0, 8), 0), ((0, 4, 8), 0), ((0, 16), 8), ((0, 9), 1)])
def test_it_charges_the_default_in_a_hole(boundaries, by_default):
    rows = told(stored(*boundaries), 0, boundaries[-1] + 0.1)
    assert sum(cost > 0 for *_, cost in rows) == by_default
    assert sum(rate != 0 for _, _, rate, _ in rows) == len(boundaries)


def test_it_charges_the_default_where_nothing_is_stored_and_nothing_where_there_is_no_funding():
    assert [hour for hour, *_ in told(stored(), 0.25, 3)] == [1, 2]
    assert told(stored(), 0.25, 3, cost=0.0) == []


def test_it_includes_the_beginning_and_not_the_end():
    assert [hour for hour, *_ in told(stored(), 1, 2)] == [1]


@given(
    hours=st.sets(st.integers(0, 60), max_size=12).map(sorted),
    start=st.integers(0, 40),
    cuts=st.lists(st.integers(0, 20), max_size=4),
)
def test_it_tells_the_same_in_pieces_and_covers_every_hour_once(hours, start, cuts):
    frame, end = stored(*hours), start + sum(cuts)
    whole, pieces, at = told(frame, start, end), [], start
    for length in cuts:
        pieces += told(frame, at, at + length)
        at += length
    assert pieces == whole
    times = [hour for hour, *_ in whole]
    assert times == sorted(set(times))
    for hour in range(start, end):
        standing = [since for at, since, *_ in told(frame, start, end + 8) if since < hour <= at]
        assert len(standing) == 1, hour


def test_it_pays_a_boundary_with_its_bar_or_the_next_one_there_is():
    opens = np.array([0, 15, 60, 75], np.int64)
    times = np.array([0, 14, 15, 29, 30, 59, 60, 89, 90], np.int64)
    assert funding.paying_bar(times, opens, 15).tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 4]
