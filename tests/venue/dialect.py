"""What the server asks of a dialect: one venue's wire formats over the state they all share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.venue.limits import Limits
from tests.venue.state import VenueState

Query = dict[str, str]
Handler = Callable[[VenueState, Query], Any]


class Refusal(Exception):
    """The venue understood and says no, in its own words: each dialect has its own kind of it."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body)
        self.status, self.body, self.headers = status, body, dict(headers or {})


def _error(status: int) -> Any:
    return {"message": "Too many requests." if status in (418, 429) else "An error occurred."}


@dataclass(frozen=True)
class Dialect:
    """`routes`: handlers of (state, query) by path. A path may hold {parameters}, which are merged into the query, as are the request's
    headers ("header:authorization"), and begin with a verb other than GET ("POST /path"). A parameter that is given several times comes
    joined by commas. A handler's text goes out as it is, bytes as CSV, anything else as JSON. `head` is in the head of every reply.

    `error` is what the venue's gateway says with a status, `empty` a page without rows, `rows` where a reply keeps its rows (faults
    leave some out), `limits` makes the venue's counters for a scale.
    """

    name: str
    routes: Mapping[str, Handler]
    error: Callable[[int], Any] = _error
    empty: Callable[[], Any] = list
    head: Callable[[VenueState], dict[str, str]] = lambda state: {}
    rows: Callable[[Any], Any] = lambda payload: payload
    limits: Callable[[float], Limits] | None = None
