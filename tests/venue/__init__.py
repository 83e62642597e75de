"""A test venue on loopback: it speaks the wire formats of real venues to the real client libraries, and misbehaves on demand.

server.py moves bytes and injects faults (faults.py), state.py is what the venue knows, binance.py is one dialect. Another
venue is another dialect over the same state; accounts and orders extend the state and each dialect.
"""

from tests.venue.faults import Fault
from tests.venue.server import TestVenue
from tests.venue.state import Instrument, VenueState

__all__ = ["Fault", "Instrument", "TestVenue", "VenueState"]
