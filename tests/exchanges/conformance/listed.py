"""What the venues of these tests list."""

import numpy as np

from exchanges.ports import FundingFrame
from tests.exchanges.frames import make_frame
from tests.venue import Instrument, VenueState
from traderai.lib import clock

QUARTER_MS, DAY_MS, FUNDING_MS = 900_000, 86_400_000, 28_800_000
BARS = 3_500
"""A month and more, because some venues keep what is older elsewhere."""
RATES = 1_100
NOW_MS = clock.now_ms() // QUARTER_MS * QUARTER_MS - QUARTER_MS // 2
FIRST_MS = NOW_MS // QUARTER_MS * QUARTER_MS - BARS * QUARTER_MS
BTC, ETH, NEW, MUTE = (Instrument(base) for base in ("BTC", "ETH", "NEW", "MUTE"))
OLD = Instrument("OLD", status="SETTLING")


def make_state() -> VenueState:
    """Two markets with history, one that was listed an hour ago, one that is delisted, one that nobody has traded yet."""
    state = VenueState(NOW_MS)
    times = FIRST_MS // FUNDING_MS * FUNDING_MS + np.arange(-RATES + BARS // 32, BARS // 32 + 1, dtype=np.int64) * FUNDING_MS
    rates = FundingFrame(times, np.arange(len(times)) * 1e-7 - 5e-5)
    for seed, instrument in enumerate((BTC, ETH, OLD), start=1):
        frame = make_frame(BARS + 1, symbol=instrument.symbol, start_ms=FIRST_MS, seed=seed)
        state.enlist(instrument, frame, funding=FundingFrame(rates.timestamp, (rates.rate * seed).round(8)))
    state.enlist(NEW, make_frame(5, symbol=NEW.symbol, start_ms=FIRST_MS + (BARS - 4) * QUARTER_MS, seed=9))
    state.enlist(MUTE)
    return state
