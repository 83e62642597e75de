"""Are a rule's decisions the same without the future, with noise in its place, and with more or less of the past?

A window of each market ends at a bar; the rule decides on it alone, with what really followed behind it, and with noise behind it. Whatever
it said up to that bar has to be the same to the bit: the three share their past. Windows stand behind each other, parted by a row without a
price, which ends a history (signals.rules), so that one compiled call decides on thousands.

A window is short, and one that looks farther ahead than AFTER bars finds nothing in it, whatever it finds in the run. So the whole history is cut
off at some of the trades' deciding bars as well, and what the run itself decided up to there has to come again.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import cores

F = NDArray[np.float64]
Ints = NDArray[np.int64]
Sides = NDArray[np.int8]

AFTER = 96
"""Bars that follow a window's end: a day of quarters of an hour, so that a value of the day's close is among them."""
ROOM = 32
"""Bars of a window beyond the rule's longest, on which it can decide."""
RANDOM_CUTS = 200
LENGTHS = (1, 2, 5)
"""Times the rule's longest window."""
MOST_BARS = 1_500_000
BARS_AT_A_TIME = 200_000
MOST_WARMED = 200
MOST_WHOLE = 12
NOTHING: tuple[F, F, F] = (np.empty(0), np.empty(0), np.empty(0))
NOISE = 0.02

Decide = Callable[[F, F, F], Sides]
"""High, low and close [n] to the side decided at each close, int8 [n]."""


class History(NamedTuple):
    """One market's bars as the run saw them, [n] each, what the run decided at each, and the bars that its trades were decided at. past: high, low
    and close of the bars before them that the run warmed up on."""

    high: F
    low: F
    close: F
    side: Sides
    decided: Ints
    past: tuple[F, F, F] = NOTHING


class Examined(NamedTuple):
    """Of `cuts` ends, `random` of them anywhere and the others among the `trades` that the run made: decisions that were `compared`, that a cut
    moved, that noise moved. warmed: decisions compared with those of shorter histories; kept: of them the same with LENGTHS times the longest
    window, and with `warm_up` bars, the run's own. whole: ends at which the whole history was cut off; unlike: those of them before which the run had
    decided something else."""

    cuts: int
    random: int
    trades: int
    compared: int
    moved_by_cut: int
    moved_by_noise: int
    longest: int
    warmed: int
    kept: tuple[int, ...]
    warm_up: int
    whole: int
    unlike: int


def examine(decide: Decide, histories: Sequence[History], *, longest: int, warm_up: int, seed: int) -> Examined:
    """longest -- bars that the rule's longest window looks back. warm_up -- bars that the run's first decision had behind it."""
    length = longest + ROOM
    rng = np.random.default_rng(seed)
    room = max(RANDOM_CUTS, MOST_BARS // (length + AFTER + 1))
    anywhere = [_anywhere(history, len(histories), rng) for history in histories]
    random = sum(rows.shape[0] for rows in anywhere)
    trades = sum(history.decided.shape[0] for history in histories)
    decided = _thinned([history.decided for history in histories], max(0, room - random))
    windows = [np.concatenate(pair) for pair in zip(anywhere, decided, strict=True)]
    jobs = [
        (history, rows[first : first + _batch(length)], int(rng.integers(2**31)))
        for history, rows in zip(histories, windows, strict=True)
        for first in range(0, rows.shape[0], _batch(length))
    ]
    with ThreadPoolExecutor(cores()) as pool:
        found = list(pool.map(lambda job: _moved(decide, *job, length=length), jobs))
    by_cut, by_noise = (sum(column) for column in zip(*found, strict=True)) if found else (0, 0)
    compared = sum(int(np.minimum(rows + 1, length).sum()) for rows in windows)
    warmed, kept = _warmed(decide, histories, longest, warm_up)
    cuts, whole = sum(rows.shape[0] for rows in windows), _whole(decide, histories)
    return Examined(cuts, random, trades, compared, by_cut, by_noise, longest, warmed, kept, warm_up, *whole)


def _batch(length: int) -> int:
    return max(1, BARS_AT_A_TIME // (length + AFTER + 1))


def _anywhere(history: History, markets: int, rng: np.random.Generator) -> Ints:
    """A market's part of the random ends."""
    n = history.close.shape[0]
    return np.sort(rng.choice(n, min(n, -(-RANDOM_CUTS // markets)), replace=False)).astype(np.int64)


def _thinned(rows: Sequence[Ints], most: int) -> list[Ints]:
    """At most so many of all of them, evenly."""
    total = sum(each.shape[0] for each in rows)
    if total <= most:
        return list(rows)
    kept = np.zeros(total, np.bool_)
    kept[np.linspace(0, total - 1, most).astype(np.int64)] = True
    edges = np.cumsum([0, *(each.shape[0] for each in rows)])
    return [each[kept[first:last]] for each, first, last in zip(rows, edges[:-1], edges[1:], strict=True)]


def windows_of(history: History, ends: Ints, length: int, after: int) -> tuple[F, F, F]:
    """High, low and close of the `length` bars that end with each of the rows `ends`, of `after` that follow, and of a row without a price: [k, length
    + after + 1]. Bars that do not exist have no price."""
    at = ends[:, None] + np.arange(1 - length, after + 2)
    missing = (at < 0) | (at >= history.close.shape[0])
    missing[:, -1] = True
    at = np.clip(at, 0, history.close.shape[0] - 1)
    high, low, close = history.high[at], history.low[at], history.close[at]
    close[missing] = np.nan
    return high, low, close


def _moved(decide: Decide, history: History, ends: Ints, seed: int, *, length: int) -> tuple[int, int]:
    """How many decisions up to these ends differ when what followed is cut off, and when it is noise."""
    high, low, close = windows_of(history, ends, length, AFTER)
    known = _sides(decide, high, low, close)[:, :length]
    rest = close[:, length:]
    rest[:] = np.nan
    cut = _sides(decide, high, low, close)[:, :length]
    steps = np.random.default_rng(seed).normal(0.0, NOISE, (ends.shape[0], AFTER))
    noise = history.close[ends][:, None] * np.exp(np.cumsum(steps, axis=1))
    close[:, length:-1], high[:, length:-1], low[:, length:-1] = noise, noise * 1.01, noise * 0.99
    noisy = _sides(decide, high, low, close)[:, :length]
    return int(np.count_nonzero(known != cut)), int(np.count_nonzero(cut != noisy))


def _sides(decide: Decide, high: F, low: F, close: F) -> Sides:
    """Of windows [k, width]."""
    return decide(high.ravel(), low.ravel(), close.ravel()).reshape(close.shape)


def _whole(decide: Decide, histories: Sequence[History]) -> tuple[int, int]:
    """(bars at which the whole history was cut off, those of them at which any decision of the run up to there did not come again). Decisions that the
    run did not take, like shorts of a spot market, are not looked at."""

    def differs(history: History, end: int) -> bool:
        own = history.side[: end + 1]
        known = (history.high, history.low, history.close)
        said = decide(*(np.concatenate((past, now[: end + 1])) for past, now in zip(history.past, known, strict=True)))
        return bool(np.any((own != 0) & (said[-own.shape[0] :] != own)))

    rows = _thinned([history.decided for history in histories], MOST_WHOLE)
    jobs = [(history, end) for history, ends in zip(histories, rows, strict=True) for end in ends.tolist()]
    with ThreadPoolExecutor(cores()) as pool:
        return len(jobs), sum(pool.map(lambda job: differs(*job), jobs))


def _warmed(decide: Decide, histories: Sequence[History], longest: int, warm_up: int) -> tuple[int, tuple[int, ...]]:
    """Decisions of the run that had the longest of LENGTHS behind them, and how many of them are the same with each length of history; warm_up bars as
    far as the span has them."""
    old = [history.decided[history.decided >= LENGTHS[-1] * longest - 1] for history in histories]
    rows = _thinned(old, MOST_WARMED)
    lengths = (*(times * longest for times in LENGTHS), warm_up)
    kept = [0] * len(lengths)
    for history, ends in zip(histories, rows, strict=True):
        for k, length in enumerate(lengths):
            for first in range(0, ends.shape[0], _batch(length)):
                some = ends[first : first + _batch(length)]
                last = _sides(decide, *windows_of(history, some, length, 0))[:, length - 1]
                kept[k] += int(np.count_nonzero(last == history.side[some]))
    return sum(each.shape[0] for each in rows), tuple(kept)
