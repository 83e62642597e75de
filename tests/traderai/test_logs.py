"""What a log line holds."""

import asyncio
import logging.config
import sys

import pytest

from traderai.logs import NotCancelled, configure_logging


@pytest.mark.parametrize("json", [True, False])
def test_it_tells_where_something_failed_but_no_local_value(json):
    formatter = configure_logging(json=json, level="INFO")["formatters"]["structured"]
    handler = logging.StreamHandler()
    handler.setFormatter(logging.config.DictConfigurator({"version": 1}).configure_formatter(formatter))
    api_secret = "hunter" + "2"
    try:
        int("no number")
    except ValueError:
        record = logging.LogRecord("test", logging.ERROR, __file__, 1, "request_failed", None, sys.exc_info())
    line = handler.format(record)
    assert "ValueError: invalid literal" in line
    assert api_secret not in line


@pytest.mark.parametrize(("error", "is_told"), [(asyncio.CancelledError(), False), (ConnectionError("refused"), True)])
def test_a_socket_that_ends_with_its_process_is_no_failure(error, is_told):
    record = logging.LogRecord("channels_redis.pubsub", logging.ERROR, __file__, 1, "cleaning-up", None, (type(error), error, None))
    assert NotCancelled().filter(record) is is_told
