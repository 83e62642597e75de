"""Does a decision know its future, and does it know enough of its past? What `manage.py check_lookahead` finds out (requirement B5).

Look-ahead: everything after a bar is cut off, and whatever was said at the bars before it has to stay as it was. Warm-up: the history starts
later and later, and from a number of bars on the newest values have to stay. Neither needs to know how a value is computed, so a feature of
tomorrow is examined like those of today.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import TIMEFRAME_MS

Array = NDArray[np.float64]
TOLERANCE = 1e-9
"""Of a value's size, or of its column's usual spread where the value is near 0."""
FEATURE, SIGNAL = "feature", "signal"
LOOKAHEAD, WARMUP = "look-ahead", "warm-up"
GROWTH = 1.3
SHORTEST = 10


class Data(NamedTuple):
    """All that a decision about one market may see."""

    frame: CandleFrame
    funding: FundingFrame
    bitcoin: CandleFrame | None


class Said(NamedTuple):
    """What was said at the close of each of n bars: features float64 [n, k], and the decision in numbers, signals float64 [n, s]. NaN: nothing."""

    names: tuple[str, ...]
    features: Array
    signal_names: tuple[str, ...]
    signals: Array


class Finding(NamedTuple):
    """One column that moved. `bars` counts the values that did; the rest is one of them: at the bar that opened at `at_ms` the whole history says
    `whole`, and `short` is said by the `held` bars that end with the one that opened at `end_ms`. None: no value."""

    analysis: str
    kind: str
    name: str
    bars: int
    at_ms: int
    end_ms: int
    held: int
    whole: float | None
    short: float | None


class Report(NamedTuple):
    """`compared` values at `cuts` ends of the data; `decided` bars of the whole history passed every test of the strategy. settled_bars: from so
    many bars on every newest feature stays, None when one did not within live_bars; `needs` has each feature's own number."""

    bars: int
    first_ms: int
    last_ms: int
    cuts: int
    compared: int
    decided: int
    settled_bars: int | None
    needs: dict[str, int | None]
    findings: tuple[Finding, ...]


Decide = Callable[[Data], Said]
Tell = Callable[[float], None]


def examine(
    decide: Decide, data: Data, *, warmups: Mapping[str, int], live_bars: int, cuts: Sequence[int], ends: Sequence[int], tell: Tell
) -> Report:
    """Both analyses of one market.

    warmups   -- bars that each feature claims to need before a row; a feature it does not name claims live_bars
    live_bars -- bars that a live decision is given
    cuts      -- how many of the oldest bars to leave, for each truncation; ends -- rows, at least live_bars - 1, whose history is shortened
    tell      -- called with the share that is done, 0 to 1
    Raises ValueError for a cut or an end outside of the data, or when the data holds no more than live_bars bars.
    """
    size = len(data.frame)
    if size <= live_bars:
        raise ValueError(f"{size} bars are too few: more than {live_bars} are needed")
    if any(not 0 < cut < size for cut in cuts) or any(not live_bars - 1 <= end < size for end in ends):
        raise ValueError("cuts and ends must lie inside the data, ends after live_bars")
    whole = decide(data)
    ledger = Ledger(data.frame, whole)
    lengths = ladder((warmups.get(name, live_bars) + 1 for name in whole.names), live_bars)
    total = len(cuts) + len(ends) * len(lengths)
    done = 0
    for cut in cuts:
        ledger.truncated(cut, decide(until(data, cut)))
        tell((done := done + 1) / total)
    claimed = np.array([warmups.get(name, live_bars - 1) for name in whole.names])
    moved_at = np.zeros(len(whole.names), dtype=np.int64)
    for end in ends:
        longest = decide(until(data, end + 1))  # what the whole knows of later is none of this analysis's business
        for bars in lengths:
            moved = ledger.shortened(end, bars, longest, decide(window(data, end, bars)), claimed, decides=bars >= live_bars)
            moved_at = np.where(moved, np.maximum(moved_at, bars), moved_at)
            tell((done := done + 1) / total)
    needs = {name: _next(lengths, int(moved_at[k])) for k, name in enumerate(whole.names)} if len(ends) else {}
    known = [bars for bars in needs.values() if bars is not None]
    settled = max(known) if known and len(known) == len(needs) else None
    side = whole.signal_names.index("side")
    return Report(
        bars=size,
        first_ms=int(data.frame.timestamp[0]),
        last_ms=int(data.frame.timestamp[-1]),
        cuts=len(cuts),
        compared=sum(cuts) * (len(whole.names) + len(whole.signal_names)),
        decided=int((np.nan_to_num(whole.signals[:, side]) != 0.0).sum()),
        settled_bars=settled,
        needs=needs,
        findings=ledger.findings(),
    )


def cut_points(frame: CandleFrame, *, first: int, count: int, seed: int = 0) -> list[int]:
    """`count` numbers of oldest bars to leave, from `first` on: half of them anywhere, half at the borders of hours, 4 hours and days and beside them.

    A value that knows one bar too many of a day shows it at the cut just before the day's end only: each frame has one of those first.
    """
    rng = np.random.default_rng(seed)
    size, step_ms = len(frame), TIMEFRAME_MS[frame.timeframe]
    inside = range(first, size)
    borders: set[int] = set()
    for name in ("1h", "4h", "1d"):
        at = np.flatnonzero(frame.timestamp[first:] % TIMEFRAME_MS[name] == 0) + first
        picked = rng.choice(at, min(at.size, max(1, count // 6)), replace=False) if at.size and TIMEFRAME_MS[name] > step_ms else at[:0]
        borders |= {int(cut) + (-1, 0, 1)[number % 3] for number, cut in enumerate(picked)}
    borders = {cut for cut in borders if cut in inside}
    room = max(0, min(count, len(inside)) - len(borders))
    anywhere = [cut for cut in rng.permutation(np.arange(first, size)).tolist() if cut not in borders][:room]
    return sorted([*borders, *anywhere])


def end_rows(size: int, *, live_bars: int, count: int) -> list[int]:
    """`count` rows spread from the first that has more than a live history to the newest."""
    return sorted({int(row) for row in np.linspace(size - 1, (live_bars + size) // 2, count)})


def ladder(promised: Iterable[int], longest: int) -> list[int]:
    """Lengths of history to try: every promise, and steps of GROWTH between SHORTEST and `longest`, which is the last."""
    lengths = {bars for bars in promised if bars <= longest} | {longest}
    bars = float(SHORTEST)
    while bars < longest:
        lengths.add(int(bars))
        bars *= GROWTH
    return sorted(lengths)


def _next(lengths: Sequence[int], moved_at: int) -> int | None:
    """The shortest length that is longer than every one at which a value moved; None when it moved at the longest."""
    return next((bars for bars in lengths if bars > moved_at), None)


# --- shorter data


def until(data: Data, bars: int) -> Data:
    """The first `bars` bars, and what else was known when the last of them closed."""
    return _between(data, 0, bars)


def window(data: Data, end: int, bars: int) -> Data:
    """The `bars` bars that end with row `end`, and what else is known of their time."""
    return _between(data, end + 1 - bars, end + 1)


def _between(data: Data, start: int, stop: int) -> Data:
    frame = data.frame.slice(start, stop)
    step_ms = TIMEFRAME_MS[frame.timeframe]
    until_ms = int(frame.timestamp[-1]) + step_ms
    since_ms = int(frame.timestamp[0]) if start else np.iinfo(np.int64).min
    seen = (data.funding.timestamp >= since_ms) & (data.funding.timestamp <= until_ms)
    funding = FundingFrame(data.funding.timestamp[seen], data.funding.rate[seen])
    bitcoin = data.bitcoin
    if bitcoin is not None:
        first, last = np.searchsorted(bitcoin.timestamp, (since_ms, until_ms - step_ms + 1))
        bitcoin = bitcoin.slice(int(first), int(last))
    return Data(frame, funding, bitcoin)


# --- what moved


class Ledger:
    """Compares what shorter data says with what the whole says, and keeps one Finding for each column that moved."""

    def __init__(self, frame: CandleFrame, whole: Said) -> None:
        self.frame = frame
        self.whole = whole
        self.spread = {FEATURE: _spread(whole.features), SIGNAL: _spread(whole.signals)}
        self.found: dict[tuple[str, str, str], Finding] = {}

    def truncated(self, cut: int, short: Said) -> None:
        """Note what moved at the first `cut` bars when the others were cut off."""
        for kind, names, ours, theirs in _pairs(self.whole, short):
            moved = self._moved(kind, ours[:cut], theirs)
            for k in np.flatnonzero(moved.any(axis=0)):
                rows = np.flatnonzero(moved[:, k])
                self._note(LOOKAHEAD, kind, names[k], int(rows.size), int(rows[-1]), cut - 1, cut, ours[rows[-1], k], theirs[rows[-1], k])

    def shortened(self, end: int, bars: int, longest: Said, short: Said, claimed: NDArray[np.int64], *, decides: bool) -> NDArray[np.bool_]:
        """Note what `bars` bars say else at row `end` than `longest`, the whole history before it, although its claim was kept; the decision too
        when it `decides`. Which features moved, claim or not: bool [k]."""
        restless = np.zeros(len(longest.names), dtype=bool)
        for kind, names, ours, theirs in _pairs(longest, short):
            moved = self._moved(kind, ours[-1], theirs[-1])
            if kind == FEATURE:
                restless = moved
                moved = moved & (bars - 1 >= claimed)
            elif not decides:
                continue
            for k in np.flatnonzero(moved):
                self._note(WARMUP, kind, names[k], 1, end, end, bars, ours[-1, k], theirs[-1, k])
        return restless

    def findings(self) -> tuple[Finding, ...]:
        """Features before signals, in each the column that moved most first."""
        return tuple(sorted(self.found.values(), key=lambda found: (found.kind != FEATURE, -found.bars, found.analysis, found.name)))

    def _moved(self, kind: str, ours: Array, theirs: Array) -> NDArray[np.bool_]:
        usual = np.maximum(np.abs(ours), self.spread[kind])
        with np.errstate(invalid="ignore"):
            near = np.abs(theirs - ours) <= TOLERANCE * usual
        same: NDArray[np.bool_] = near | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        return ~same

    def _note(self, analysis: str, kind: str, name: str, bars: int, row: int, end: int, held: int, whole: float, short: float) -> None:
        """The newest example stands; the count adds up."""
        key = (analysis, kind, name)
        before = self.found[key].bars if key in self.found else 0
        at_ms, end_ms = int(self.frame.timestamp[row]), int(self.frame.timestamp[end])
        self.found[key] = Finding(analysis, kind, name, before + bars, at_ms, end_ms, held, _number(whole), _number(short))


def _pairs(longer: Said, shorter: Said) -> Iterator[tuple[str, tuple[str, ...], Array, Array]]:
    yield FEATURE, longer.names, longer.features, shorter.features
    yield SIGNAL, longer.signal_names, longer.signals, shorter.signals


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _spread(values: Array) -> Array:
    """Standard deviation of the finite values of each column, shape [k]; 0 where there are none."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, values, 0.0).sum(axis=0) / count
    spread: Array = np.sqrt((np.where(known, values - centre, 0.0) ** 2).sum(axis=0) / count)
    return spread
