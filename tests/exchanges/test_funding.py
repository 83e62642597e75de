"""Funding: stored rates where they reach, the default for every hour that none stands for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges import funding
from exchanges.ports import CandleFrame, FundingFrame

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


def test_its_price_is_the_marks_open_of_the_bar_a_time_lies_in_and_the_other_where_none_is_stored():
    """Mark bars of a quarter of an hour at 8:00 and 8:30; the boundary at 8:20 lies in one that is missing."""
    opens, ones = np.array([DAY + 8 * HOUR, DAY + 8 * HOUR + HOUR // 2]), np.ones(2)
    marks = CandleFrame("", "15m", opens, np.array([101.0, 102.0]), ones, ones, ones, ones)
    at = np.array([DAY, DAY + 8 * HOUR, DAY + 8 * HOUR + HOUR // 3, DAY + 8 * HOUR + HOUR // 2 + 60_000, DAY + 16 * HOUR])
    other = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert funding.prices(at, marks, other, HOUR // 4).tolist() == [1.0, 101.0, 3.0, 102.0, 5.0]
    nothing = CandleFrame("", "15m", np.empty(0, np.int64), *[np.empty(0)] * 5)
    assert funding.prices(at, nothing, other, HOUR // 4).tolist() == other.tolist()


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


def reckoned(rates: dict[float, float], at: float, cost: float = COST) -> list[float]:
    """[long, short] an hour, from {hour: rate}."""
    times = np.array([int(DAY + hour * HOUR) for hour in rates], np.int64)
    frame = FundingFrame(times, np.array(list(rates.values())))
    return funding.expected(frame, np.array([int(DAY + at * HOUR)], np.int64), hourly_cost=cost)[0].tolist()


@pytest.mark.parametrize(
    ("rates", "at", "long", "short"),
    [
        ({0: 8e-4, 8: 16e-4}, 9, 2e-4, 0.0),  # the newest is dearer for longs than the mean of both
        ({0: 24e-4, 8: 8e-4}, 9, 2e-4, 0.0),  # the mean is
        ({0: 8e-4, 8: -8e-4}, 9, 0.0, 1e-4),  # what longs get now is no credit, and shorts pay it
        ({0: -24e-4, 8: 8e-4}, 9, 1e-4, 1e-4),  # each side pays by the reading that is worse for it
        ({0: 8e-4, 8: 16e-4}, 7.99, 1e-4, 0.0),  # a rate is known from its boundary on
        ({0: 8e-4, 8: 16e-4}, 8, 2e-4, 0.0),
        ({0: 4e-4, 4: 4e-4, 8: 4e-4}, 9, 1e-4, 0.0),  # by the hour of its own interval
        ({0: 8e-4, 100: 0.0, 108: 0.0}, 168, COST, COST),  # none of the last day is known
        ({0: 80e-4, 160: 8e-4}, 168, 1e-4, 0.0),  # seven days ago counts no longer
        ({0: 80e-4, 160: 8e-4}, 167.9, 5.5e-4, 0.0),
        ({}, 1, COST, COST),
    ],
)
def test_it_reckons_with_the_dearer_of_the_newest_rate_and_the_weeks_mean_and_never_with_a_credit(rates, at, long, short):
    assert reckoned(rates, at) == pytest.approx([long, short], abs=1e-12)


def test_what_is_paid_in_full_is_reckoned_to_cost_nothing():
    assert reckoned({}, 1, cost=0.0) == [0.0, 0.0]


@given(hours=st.sets(st.integers(0, 400), min_size=1, max_size=40).map(sorted), now=st.integers(0, 420), seed=st.integers(0, 99))
def test_what_it_reckons_does_not_depend_on_rates_to_come_nor_on_those_of_long_ago(hours, now, seed):
    rates = dict(zip(hours, np.random.default_rng(seed).normal(1e-4, 3e-4, len(hours)).tolist(), strict=True))
    whole = reckoned(rates, now)
    assert reckoned({hour: rate for hour, rate in rates.items() if hour <= now}, now) == whole
    recent = {hour: rate for hour, rate in rates.items() if now - 24 * 8 < hour}
    first = min((hour for hour in recent if now - 24 * 7 < hour <= now), default=None)
    if any(hour < first for hour in recent if first is not None):  # an interval before the week is there to measure by
        assert reckoned(recent, now) == pytest.approx(whole, abs=1e-15)
