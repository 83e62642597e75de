"""What a log line holds."""

import logging.config
import sys

import pytest

from traderai.logs import configure_logging


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
