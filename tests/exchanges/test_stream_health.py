import pytest

from exchanges.streams import health
from exchanges.streams.health import FIRST_PAUSE_S, LONGEST_PAUSE_S, STALE_S, STEADY_S, Backoff, Pulse


def longest(low, high):
    return high


def test_it_draws_pauses_from_zero_to_a_bound_that_doubles():
    backoff = Backoff(longest)
    bounds = [backoff.next(lasted_s=0.0) for _ in range(9)]
    assert bounds == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, LONGEST_PAUSE_S]
    drawn = [Backoff().next(lasted_s=0.0) for _ in range(200)]
    assert 0.0 <= min(drawn) < 0.2 < 0.8 < max(drawn) <= FIRST_PAUSE_S


def test_it_begins_anew_after_a_connection_that_was_steady():
    backoff = Backoff(longest)
    assert [backoff.next(lasted_s=STEADY_S - 1) for _ in range(3)] == [1.0, 2.0, 4.0]
    assert backoff.next(lasted_s=STEADY_S) == 1.0


def test_it_waits_as_long_as_the_venue_asks():
    assert Backoff(longest).next(lasted_s=0.0, asked_s=90.0) == 90.0


@pytest.mark.parametrize(
    ("is_open", "silent_s", "state"), [(True, 0.0, "live"), (True, STALE_S, "live"), (True, STALE_S + 1, "stale"), (False, 0.0, "down")]
)
def test_it_says_how_good_a_market_is_heard(is_open, silent_s, state):
    assert health.state(is_open=is_open, heard_s=1_000.0, now_s=1_000.0 + silent_s) == state


def test_a_connection_is_open_from_the_first_thing_heard_on():
    pulse = Pulse(0.0)
    pulse.begin(5.0)
    assert (pulse.is_open, pulse.last_s) == (False, 5.0)
    pulse.heard(6.0)
    assert (pulse.is_open, pulse.last_s) == (True, 6.0)
    pulse.end()
    assert not pulse.is_open
