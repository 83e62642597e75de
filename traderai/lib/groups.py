"""Names of channel-layer groups: the one place, because group names may not hold the "/" and ":" of symbols."""

LIVE = "live"
SIGNALS = "signals"


def person(user_id: int) -> str:
    """Every socket of one user, whatever it is about."""
    return f"person.{user_id}"


def positions(user_id: int) -> str:
    """A user's own positions; nobody else joins it."""
    return f"positions.{user_id}"
