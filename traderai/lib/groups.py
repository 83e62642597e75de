"""Names of channel-layer groups: the one place, because group names may not hold the "/" and ":" of symbols."""

TICKS = "ticks"
SIGNALS = "signals"


def positions(user_id: int) -> str:
    """A user's own positions; nobody else joins it."""
    return f"positions.{user_id}"
