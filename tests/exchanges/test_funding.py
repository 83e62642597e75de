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
RATE = 0.0007


def stored(*hours: int) -> FundingFrame:
    return FundingFrame(np.array([DAY + hour * HOUR for hour in hours], np.int64), np.full(len(hours), RATE))


def told(frame: FundingFrame, start: float, end: float, cost: float = COST) -> list[tuple[float, float, float]]:
    """[(hour, rate, cost)]"""
    due = funding.due(frame, start_ms=int(DAY + start * HOUR), end_ms=int(DAY + end * HOUR), hourly_cost=cost)
    return [((at - DAY) / HOUR, rate, paid) for at, rate, paid in zip(*due, strict=True)]


def by_default(rows: list[tuple[float, float, float]]) -> list[float]:
    return [hour for hour, _, cost in rows if cost]


def test_it_takes_the_stored_rates_where_they_come_in_time():
    assert told(stored(0, 8, 16), 0.5, 24) == [(8, RATE, 0), (16, RATE, 0)]


@pytest.mark.parametrize("now", [8.5, 12.25, 15.75, 16.99])
def test_it_charges_nothing_for_hours_whose_rate_may_still_come(now):
    assert told(stored(0, 8), 0.5, now) == [(8, RATE, 0)]


def test_it_charges_the_default_by_the_hour_when_no_rate_came():
    assert told(stored(0, 8), 9, 20) == [(hour, 0, COST) for hour in (17, 18, 19)]


def test_it_charges_the_default_before_the_history_but_for_the_hours_the_first_rate_stands_for():
    assert by_default(told(stored(24), 20, 40)) == [20, 21, 22, 23, 24, 33, 34, 35, 36, 37, 38, 39]


@pytest.mark.parametrize(("boundaries", "hours"), [((0, 8), []), ((0, 4, 8), []), ((0, 16), [*range(9, 17)]), ((0, 9), [9])])
def test_it_charges_the_default_in_a_hole(boundaries, hours):
    rows = told(stored(*boundaries), 0.5, boundaries[-1] + 0.1)
    assert by_default(rows) == hours
    assert sum(rate != 0 for _, rate, _ in rows) == len(boundaries) - 1


def test_it_charges_the_default_where_nothing_is_stored_and_nothing_where_there_is_no_funding():
    assert told(stored(), 0.25, 3) == [(1, 0, COST), (2, 0, COST)]
    assert told(stored(), 0.25, 3, cost=0.0) == []


def test_it_includes_the_beginning_and_not_the_end():
    assert by_default(told(stored(), 1, 2)) == [1]


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
    assert [hour for hour, rate, _ in whole if rate] == [hour for hour in hours if start <= hour < end]
    late = by_default(whole)
    assert late == sorted(set(late))
    for hour in range(start - 8, end - 8):
        stands = any(hour <= boundary < hour + 8 for boundary in hours)
        assert (hour + 8 in late) is not stands, hour


@given(hours=st.sets(st.integers(0, 60), max_size=12).map(sorted), now=st.integers(0, 60))
def test_what_is_due_by_now_does_not_depend_on_rates_to_come(hours, now):
    known = [hour for hour in hours if hour < now]
    assert told(stored(*hours), 0, now) == told(stored(*known), 0, now)


def test_it_pays_a_boundary_with_its_bar_or_the_next_one_there_is():
    opens = np.array([0, 15, 60, 75], np.int64)
    times = np.array([0, 14, 15, 29, 30, 59, 60, 89, 90], np.int64)
    assert funding.paying_bar(times, opens, 15).tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 4]
