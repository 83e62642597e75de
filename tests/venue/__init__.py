"""A test venue on loopback: it speaks the wire formats of real venues to the real client libraries, and misbehaves on demand.

server.py moves bytes, faults.py is what can go wrong, limits.py counts requests, state.py is what the venue knows. A dialect is a file
over that state (binance.py, okx.py) and a line in server.DIALECTS; accounts and orders extend the state and each dialect.
"""

from tests.venue.dialect import Dialect
from tests.venue.faults import Fault
from tests.venue.server import TestVenue
from tests.venue.state import Instrument, VenueState

__all__ = ["Dialect", "Fault", "Instrument", "TestVenue", "VenueState"]
