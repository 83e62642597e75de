"""The clock at the edge. Services and edges ask here; the pure core is handed its time."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present, aware, UTC."""
    return datetime.now(UTC)


def now_ms() -> int:
    """The present in milliseconds since the epoch, as venues count it."""
    return time.time_ns() // 1_000_000


def from_ms(ms: int) -> datetime:
    """An aware UTC datetime from venue milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def to_ms(moment: datetime) -> int:
    """Venue milliseconds from an aware datetime."""
    return round(moment.timestamp() * 1000)
