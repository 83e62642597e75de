"""A walking market of two perpetuals whose clock stands seven minutes into a bar. The bars end about now: OKX's client chooses its
route by our clock."""

import time

import numpy as np
import pytest

from exchanges import timeframes
from exchanges.ports import FundingFrame
from tests.exchanges.frames import make_frame
from tests.venue import Instrument, TestVenue, VenueState
from tests.venue_itself.clients import BTC, ETH, MAKERS

QUARTER_MS = 900_000
BARS = 400


@pytest.fixture
def state():
    opened_ms = timeframes.floor(int(time.time() * 1000), "15m")
    start_ms = opened_ms - BARS * QUARTER_MS
    boundaries = timeframes.floor(start_ms, "8h") + np.arange(1, 20) * 28_800_000
    state = VenueState(opened_ms + 7 * 60_000, walks=True)
    for seed, symbol in enumerate((BTC, ETH), start=1):
        frame = make_frame(BARS + 100, symbol=symbol, seed=seed, start_ms=start_ms)
        state.enlist(Instrument(symbol[:3]), frame, funding=FundingFrame(boundaries, np.linspace(-1e-4, 3e-4, 19).round(8)))
    return state


@pytest.fixture
def venue(state):
    with TestVenue(state) as running:
        yield running


@pytest.fixture(params=list(MAKERS))
def maker(request):
    """How a client of each venue is made."""
    return MAKERS[request.param]
