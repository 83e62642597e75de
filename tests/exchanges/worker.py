"""A worker in a process of its own, which can be told where to stop: it says so and waits there to be killed.

It is forked from a process that has loaded what workers need, so that no test waits for imports.
"""

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

import django

django.setup()

from exchanges import booking, execution, paper_accounts, positions  # noqa: E402
from exchanges.venues.paper import PaperVenue  # noqa: E402

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])
HERE = "here"
BEFORE, AFTER = False, True
POINTS: dict[str, tuple[Any, str, bool]] = {
    "claimed, not sent": (PaperVenue, "place", BEFORE),
    "sent, no answer yet": (PaperVenue, "place", AFTER),
    "booked, not committed": (booking, "_settle", AFTER),
    "committed": (booking, "book_fills", AFTER),
    "stepped, not committed": (paper_accounts, "raise_peak", AFTER),
    "stepped": (positions, "_carry", AFTER),
}


def work(test: Connection, account_id: int, market_id: int, point: str = "") -> None:
    """Without a point it says that it is ready, begins when it is told to, and ends by itself."""
    if point:
        stop_at(test, *POINTS[point])
    else:
        test.send(HERE)
        test.recv()
    execution.attend(account_id)
    positions.on_bar(market_id)


def stop_at(test: Connection, owner: Any, name: str, when: bool) -> None:
    function = getattr(owner, name)

    def stopped(*args: Any, **kwargs: Any) -> None:
        if when == AFTER:
            function(*args, **kwargs)
        test.send(HERE)
        time.sleep(600)

    setattr(owner, name, stopped)
