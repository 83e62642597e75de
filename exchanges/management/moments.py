"""Moments as people type them."""

from datetime import UTC, datetime

from django.core.management.base import CommandError

from traderai.lib import clock


def parse_ms(text: str, *, option: str) -> int:
    """Milliseconds of an ISO date or time, UTC unless it says otherwise: 2024-01-01, 2024-01-01T12:30. Raises CommandError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option}: {text!r} is no date; write it like 2024-01-01 or 2024-01-01T12:30") from None
    return clock.to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
