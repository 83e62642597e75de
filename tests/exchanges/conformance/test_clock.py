"""The venue's clock against this computer's."""

import re

import pytest

from exchanges.ports import VenueError
from tests.exchanges.conformance.listed import BTC, DAY_MS, FIRST_MS
from traderai.lib import clock


@pytest.mark.parametrize(("skew_ms", "complaint"), [(0, ""), (-120_000, "1[12].* s ahead of"), (300_000, "[23].* s behind")])
def test_it_refuses_to_work_with_a_clock_that_is_wrong(case, adapter, state, settings, skew_ms, complaint):
    settings.VENUE_CLOCK_TOLERANCE_S = 60.0
    state.now_ms, state.speed, state.skew_ms = clock.now_ms(), 1.0, skew_ms
    if not complaint:
        assert adapter.now_ms() <= clock.now_ms()
        return
    with pytest.raises(VenueError, match=rf"clock: this computer's clock is {complaint} {case.slug}.*; set it .*timedatectl"):
        adapter.candles(case.symbol(BTC), "15m", FIRST_MS, 10)


def test_it_lets_what_stands_in_for_a_venue_live_in_another_time(case, adapter, state, settings, venue):
    settings.VENUE_CLOCK_TOLERANCE_S = 60.0
    state.now_ms, state.speed, state.skew_ms = clock.now_ms(), 1.0, -30 * DAY_MS
    settings.VENUE_BASE_URLS = {}
    with pytest.raises(VenueError, match="s ahead of"):
        adapter.now_ms()
    settings.VENUE_BASE_URLS = {case.slug: venue.url}
    assert abs(adapter.now_ms() - (clock.now_ms() - 30 * DAY_MS)) < 5_000


def test_it_warns_of_a_clock_that_begins_to_go_wrong(case, adapter, state, settings, caplog):
    settings.VENUE_CLOCK_TOLERANCE_S = 60.0
    state.now_ms, state.speed, state.skew_ms = clock.now_ms(), 1.0, -10_000
    adapter.now_ms()
    assert re.search(r"this computer's clock is 1[01] s ahead of", caplog.text)
