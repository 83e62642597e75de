"""Structured logs: one event a line, JSON in production, readable in a terminal."""

import asyncio
import logging
import re
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET_ADDRESS = re.compile(r"(/shared/)[A-Za-z0-9_-]{8,}")
"""What comes after it lets whoever reads it in: such an address is a key."""


def hide_keys(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: addresses that are keys are written without what makes them so."""
    for name, value in event.items():
        if isinstance(value, str) and "/shared/" in value:
            event[name] = SECRET_ADDRESS.sub(r"\1...", value)
    return event


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    hide_keys,
]


class NotCancelled(logging.Filter):
    """A process that stops cancels its sockets, and Channels takes each cancellation for a failure: a traceback a socket."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def configure_logging(*, json: bool, level: str) -> dict[str, Any]:
    """Configure structlog and return Django's LOGGING dictionary. ccxt's own logger prints keys at DEBUG, so it is pinned to WARNING."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    if json:
        rendering: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # structlog would print every local variable of a failure, passwords and keys among them.
        rendering = [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
                "foreign_pre_chain": SHARED,
            }
        },
        "filters": {"cancelled": {"()": "traderai.logs.NotCancelled"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "ccxt": {"level": "WARNING"},
            "numba": {"level": "WARNING"},
            "channels_redis.pubsub": {"filters": ["cancelled"]},
            "daphne": {"level": "WARNING"},
            "urllib3": {"level": "WARNING"},
        },
    }
