"""Sending an event after commit: a broken receiver stops neither the service that sent it nor the other receivers."""

from functools import partial
from typing import Any

import structlog
from django.db import transaction
from django.dispatch import Signal

log = structlog.get_logger(__name__)


def send_after_commit(event: Signal, **payload: Any) -> None:
    """Call the receivers of `event` once the current transaction has committed (at once when there is none)."""
    transaction.on_commit(partial(_send, event, payload))


def _send(event: Signal, payload: dict[str, Any]) -> None:
    for receiver, outcome in event.send_robust(sender=None, **payload):
        if isinstance(outcome, Exception):
            log.error("event receiver failed", receiver=f"{receiver.__module__}.{receiver.__qualname__}", exc_info=outcome)
