"""How a broker's own client library is made to behave: both use requests, which waits for ever, knows no budget and tells its errors in many ways."""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import requests
import structlog
from numpy.typing import NDArray
from requests.adapters import HTTPAdapter

from exchanges.ports import VenueError, VenueRefused, VenueUnavailable
from exchanges.venues import budget
from exchanges.venues.limits import charge
from traderai.lib import clock

log = structlog.get_logger(__name__)
T = TypeVar("T")
Explained = tuple[str, str]
"""What the venue said, completing "the venue ...", and what to do about it ("" where there is nothing)."""

TIMEOUT_MS = 10_000
TURNED_AWAY = {429: "limits our requests", 418: "has banned this address for a while"}
MOST_THREADS = 32
"""Connections kept open to a host: urllib3 warns of each one more."""
PAUSE_S = 1.0
"""How long a venue is left alone that limits us and does not say until when."""
PARSER_ERRORS: tuple[type[Exception], ...] = (TypeError, ValueError, KeyError, IndexError, AttributeError, UnboundLocalError)
"""What the libraries and we raise when a venue, or a proxy before it, sends a page, half a page, or JSON of another shape."""


class Trouble(Exception):
    """The venue's gateway or the network failed; the text completes "the venue ..."."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Line(HTTPAdapter):
    """The one way to a venue. Mounted on a library's session, every request takes its cost from the shared budget and ends in time; 429
    and 5xx never reach the library, which would sleep and ask again by itself. `dated_ms` is the Date of the newest reply.

    `ask` calls the library and raises VenueUnavailable or VenueRefused, whose messages carry neither URL nor key. `explain` tells what
    the venue meant by an error of the library's own, and the remedy; None when it is not one of them. `unreadable` are those of the
    library's errors that mean no answer of the venue's. `route` is a path as exchanges.venues.limits knows it. Safe to use from several
    threads.
    """

    def __init__(
        self,
        venue: str,
        *,
        timeout_ms: int,
        explain: Callable[[Exception], Explained | None],
        unreadable: tuple[type[Exception], ...] = (),
        route: Callable[[str], str] = str,
    ) -> None:
        super().__init__(pool_maxsize=MOST_THREADS)
        self.venue = venue
        self._timeout_s = timeout_ms / 1000.0
        self._explain = explain
        self._unreadable: tuple[type[Exception], ...] = (*PARSER_ERRORS, *unreadable)
        self._route = route
        self.dated_ms: int | None = None

    def attach(self, session: requests.Session) -> None:
        session.mount("https://", self)
        session.mount("http://", self)

    def ask(self, call: Callable[[], T], what: str) -> T:
        try:
            return call()
        except VenueError:
            raise
        except Trouble as trouble:
            failure = VenueUnavailable(f"{self.venue} {trouble} when asked for {what}")
            failure.retry_after_s = trouble.retry_after_s
            raise failure from trouble
        except Exception as error:
            told = None if isinstance(error, self._unreadable) else self._explain(error)
            if told is not None:
                reason, remedy = told
                raise VenueRefused(f"{self.venue} {reason} when asked for {what}{remedy and '; '}{remedy}") from None
            if isinstance(error, requests.RequestException) and not isinstance(error, requests.JSONDecodeError):
                raise VenueUnavailable(f"{self.venue} cannot be reached when asked for {what}") from error
            if not isinstance(error, self._unreadable):
                raise
            log.warning("unreadable reply", venue=self.venue, what=what, error=type(error).__name__)
            raise VenueUnavailable(f"{self.venue} sent something unreadable when asked for {what}") from error

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        budget.take(self.venue, *charge(self.venue, self._route(str(parts.path)), dict(parse_qsl(str(parts.query)))))
        try:
            reply = super().send(request, *args, **{**kwargs, "timeout": self._timeout_s})
        except requests.exceptions.SSLError as error:
            raise VenueRefused(
                f"{self.venue} shows a certificate that is not trusted here: look for a proxy in between, or a wrong clock"
            ) from error
        except requests.Timeout as error:
            raise Trouble("did not answer in time") from error
        except requests.RequestException as error:
            raise Trouble("cannot be reached") from error
        self.dated_ms = _dated_ms(reply)
        if reply.status_code in TURNED_AWAY or reply.status_code >= 500:
            reply.close()
        if reply.status_code in TURNED_AWAY:
            pause_s = _retry_after_s(reply)
            budget.block(self.venue, PAUSE_S if pause_s is None else pause_s)
            raise Trouble(TURNED_AWAY[reply.status_code], pause_s)
        if reply.status_code >= 500:
            raise Trouble("is not available", _retry_after_s(reply))
        return reply


def twice(ask: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    """The rows asked for. A venue under load may answer with nothing: only a second empty page is believed."""
    rows = ask()
    return rows if len(rows) else ask()


def _dated_ms(reply: requests.Response) -> int | None:
    """When the venue says that it answered, to the second below."""
    try:
        return clock.to_ms(parsedate_to_datetime(reply.headers["Date"]))
    except (KeyError, ValueError):
        return None


def _retry_after_s(reply: requests.Response) -> float | None:
    """Retry-After in seconds, or of who was turned away Alpaca's X-RateLimit-Reset, the moment in seconds since 1970 that all replies tell."""
    try:
        if "Retry-After" in reply.headers:
            return max(0.0, float(reply.headers["Retry-After"]))
        if reply.status_code == 429 and "X-RateLimit-Reset" in reply.headers:  # it comes with every reply
            return max(0.0, float(reply.headers["X-RateLimit-Reset"]) - clock.now_ms() / 1000.0)
    except ValueError:
        log.info("a pause was asked for in words nobody understands")
    return None
