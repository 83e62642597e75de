"""A worker in a process of its own, which can be told where to stop: it says so on its standard output and waits there to be killed.

python -m tests.exchanges.worker ACCOUNT_ID MARKET_ID [POINT]; with no point it begins at a line on its standard input and ends by itself.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import django

django.setup()

from exchanges import booking, execution, paper_accounts, positions  # noqa: E402
from exchanges.venues.paper import PaperVenue  # noqa: E402

HERE = "here"


def say_here() -> None:
    sys.stdout.write(f"{HERE}\n")
    sys.stdout.flush()


def stop(*_: Any, **__: Any) -> Any:
    say_here()
    time.sleep(600)


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    def stopped(*args: Any, **kwargs: Any) -> Any:
        function(*args, **kwargs)
        return stop()

    return stopped


POINTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "claimed, not sent": (PaperVenue, "place", stop),
    "sent, no answer yet": (PaperVenue, "place", after(PaperVenue.place)),
    "booked, not committed": (booking, "_settle", after(booking._settle)),
    "committed": (booking, "book_fills", after(booking.book_fills)),
    "stepped, not committed": (paper_accounts, "raise_peak", after(paper_accounts.raise_peak)),
    "stepped": (positions, "_carry", after(positions._carry)),
}


def main(account_id: int, market_id: int, point: str = "") -> None:
    if point:
        owner, name, replacement = POINTS[point]
        setattr(owner, name, replacement)
    else:
        say_here()
        sys.stdin.readline()
    execution.attend(account_id)
    positions.on_bar(market_id)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
