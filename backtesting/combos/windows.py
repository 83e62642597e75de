"""Walk-forward: the best of the past is tried on what came next, again and again (R. Pardo, The Evaluation and Optimization of Trading
Strategies, 2008, chapter 11)."""

from typing import NamedTuple

DAY_MS = 86_400_000
FEWEST = 2
LEAST_LAST = 0.5
"""Share of its days that the last test window has to have; a shorter rest is left to nobody."""


class TooShort(ValueError):
    """The span does not hold enough windows."""


class Window(NamedTuple):
    """Bars from train_start_ms up to train_end_ms choose the parameters, those from test_start_ms up to test_end_ms judge them.

    Between the two lie the longest holding time: what was decided in the training has ended before the test begins.
    """

    train_start_ms: int
    train_end_ms: int
    test_start_ms: int
    test_end_ms: int


def windows(start_ms: int, end_ms: int, *, train_days: int, test_days: int, purge_ms: int, is_anchored: bool) -> list[Window]:
    """Windows whose tests follow each other without a hole, oldest first. Anchored: every training begins at start_ms and they grow.
    Windows begin with a UTC day: start_ms and purge_ms are rounded up to whole days.

    Raises TooShort with what would fit.
    """
    start_ms, purge_ms = (-(-ms // DAY_MS) * DAY_MS for ms in (start_ms, purge_ms))
    train_ms, test_ms = train_days * DAY_MS, test_days * DAY_MS
    found, test_start = [], start_ms + train_ms + purge_ms
    while end_ms - test_start >= LEAST_LAST * test_ms:
        train_end = test_start - purge_ms
        begins = start_ms if is_anchored else train_end - train_ms
        found.append(Window(begins, train_end, test_start, min(test_start + test_ms, end_ms)))
        test_start += test_ms
    if len(found) < FEWEST:
        days = (end_ms - start_ms) / DAY_MS
        raise TooShort(
            f"{days:.0f} days hold fewer than {FEWEST} windows of {train_days} days to choose on, {purge_ms / DAY_MS:g} between and "
            f"{test_days} to judge on; choose shorter windows or a longer span"
        )
    return found
