"""What every adapter of market data does alike, each against its venue's own wire format and misbehaviour."""

import pytest

from exchanges.venues import registry
from tests.exchanges.conformance import listed
from tests.exchanges.conformance.cases import CASES, Case
from tests.venue import TestVenue, VenueState, alpaca, kite


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture
def state() -> VenueState:
    return listed.make_state()


@pytest.fixture
def venue(state):
    with TestVenue(state) as running:
        yield running


@pytest.fixture
def adapter(case, venue, settings):
    settings.VENUE_BASE_URLS = {case.slug: venue.url}
    settings.ALPACA_KEY_ID, settings.ALPACA_SECRET_KEY = alpaca.KEY, alpaca.SECRET
    settings.KITE_API_KEY, settings.KITE_ACCESS_TOKEN = kite.KEY, kite.TOKEN
    venue.routes["/v2/calendar"] = alpaca.always_open
    registry.market_data.cache_clear()
    yield registry.market_data(case.slug)
    registry.market_data.cache_clear()
