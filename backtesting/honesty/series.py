"""Points 12 and 13: which markets were chosen, and what is wrong with their bars."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting.honesty.sayings import WARN, Check, counted, judged, said, share
from backtesting.metrics import DAY_MS

F = NDArray[np.float64]
UNIVERSE, DATA = 12, 13
MOST_BAD = 0.001
DEVIATIONS = 20.0
GIVEN_BACK = 0.5
NORMAL = 1.4826
"""From the median absolute deviation to the standard deviation of normal numbers."""


class Bars(NamedTuple):
    """Of all markets: bars that a history without gaps would have, bars missing, bars without volume, and bars that jump and come back."""

    expected: int
    missing: int
    silent: int
    spikes: int


def count(timestamp: NDArray[np.int64], close: F, volume: F, bar_ms: int) -> Bars:
    """Of one market [n]."""
    n = int(timestamp.shape[0])
    expected = (int(timestamp[-1]) - int(timestamp[0])) // bar_ms + 1 if n else 0
    return Bars(expected, expected - n, int(np.count_nonzero(volume == 0.0)), spikes(close))


def spikes(close: F) -> int:
    """Bars whose return is over DEVIATIONS robust deviations (median absolute deviation, F. Hampel 1974, here from 0) and is more than half given back by the next."""
    if close.shape[0] < 3:
        return 0
    step = np.diff(close) / close[:-1]
    deviation = NORMAL * float(np.median(np.abs(step)))
    if deviation <= 0.0:
        return 0
    now, after = step[:-1], step[1:]
    return int(np.count_nonzero((np.abs(now) > DEVIATIONS * deviation) & (now * after < 0.0) & (np.abs(after) > GIVEN_BACK * np.abs(now))))


def data(found: Sequence[Bars]) -> Iterator[Check]:
    """Point 13."""
    expected, missing, silent, jumps = (sum(column) for column in zip(*found, strict=True)) if found else (0, 0, 0, 0)

    def told(name: str, number: int, detail: str) -> Check:
        return judged(DATA, name, not expected or number / expected <= MOST_BAD, share(number, expected), detail)

    yield told(
        "Gaps in the candles",
        missing,
        f"{missing} of {expected} bars missing; a bar is stored once by its open in UTC, so none is there twice, and none is invented",
    )
    yield told("Bars without volume", silent, f"{silent} of {expected} bars")
    yield told(
        "Prices that jump and come back", jumps,
        f"{jumps} of {expected} bars moved more than {DEVIATIONS:.0f} robust deviations and more than half of it back in the next: bad ticks look like that",
    )  # fmt: skip


def span(found: Sequence[tuple[str, NDArray[np.int64]]], start_ms: int, end_ms: int, bar_ms: int) -> Check:
    """Point 13: markets whose bars do not reach over start_ms <= open < end_ms. found -- each symbol with its bars' opens [n]"""
    whole, name = end_ms - start_ms, "Every market over the whole span"
    covered = [((int(opens[-1]) + bar_ms - int(opens[0])) if opens.shape[0] else 0, symbol) for symbol, opens in found]
    if whole <= 0 or not covered:
        return judged(DATA, name, False, "", "no bars")
    short = [(length, symbol) for length, symbol in sorted(covered) if length < (1.0 - MOST_BAD) * whole]
    least = f"; the shortest, {short[0][1]}, reaches over {share(short[0][0], whole)} of it" if short else ""
    return judged(
        DATA, name, not short, f"{len(short)}",
        f"{len(short)} of {counted(len(covered), 'market')} begin late in the {counted(round(whole / DAY_MS), 'day')} asked for, or end early{least}",
    )  # fmt: skip


def universe(symbols: Sequence[str]) -> Check:
    """Point 12."""
    return said(
        UNIVERSE, "Survivors only", WARN, f"{len(symbols)}",
        f"{len(symbols)} {'market was' if len(symbols) == 1 else 'markets were'} chosen today, so coins that have disappeared since are missing: survivor bias flatters any strategy",
    )  # fmt: skip
