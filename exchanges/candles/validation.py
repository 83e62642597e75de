"""Whether rows can be market history. Pure: arrays in, a verdict on every row out; the caller gives the present."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges import timeframes
from exchanges.ports import CandleFrame, FundingFrame

MISSING_MS = np.iinfo(np.int64).min  # how readers hand on a row without timestamp
EARLIEST_MS = 1_230_768_000_000  # 2009-01-01: before any market of this kind; smaller numbers are seconds
FARTHEST_MS = 4_102_444_800_000  # 2100-01-01: greater numbers are micro- or nanoseconds
LEAST, MOST = 1e-15, 1e15  # prices beyond are another unit or noise, and squares of them would leave float64
MOST_VOLUME = 1e21
MAX_FUNDING_RATE = 0.1  # per interval; venues cap far below, so a larger number is a percentage by mistake
PRICES = ("open", "high", "low", "close")


class BadRow(NamedTuple):
    """A row that cannot be stored. `row` counts data rows from 1."""

    row: int
    field: str
    value: float | int | None
    problem: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.field}: {'' if self.value is None else f'{self.value!r} '}{self.problem}"


class Checked(NamedTuple):
    """Good rows, sorted and unique (arrays in the order given), the bad ones, and what was put right."""

    columns: tuple[NDArray[Any], ...]
    bad: tuple[BadRow, ...]
    notes: tuple[str, ...]


class _Verdict:
    """The first problem found in each row."""

    def __init__(self, n: int) -> None:
        self.problem = np.full(n, -1, np.int64)
        self.found: list[tuple[str, NDArray[Any], str]] = []

    def flag(self, field: str, values: NDArray[Any], mask: NDArray[np.bool_], problem: str) -> None:
        fresh = mask & (self.problem < 0)
        if fresh.any():
            self.problem[fresh] = len(self.found)
            self.found.append((field, values, problem))

    @property
    def good(self) -> NDArray[np.bool_]:
        return self.problem < 0

    def rows(self) -> tuple[BadRow, ...]:
        bad = []
        for index in np.flatnonzero(self.problem >= 0):
            field, values, problem = self.found[self.problem[index]]
            value = values[index].item()
            bad.append(BadRow(int(index) + 1, field, None if value == MISSING_MS else value, problem))
        return tuple(bad)


def check_candles(frame: CandleFrame, *, now_ms: int, ordered: bool = False) -> Checked:
    """Verdict on bars; columns are timestamp, open, high, low, close, volume. Raises timeframes.UnknownTimeframe.

    Rows out of order and repeated rows are put right when they agree; with `ordered` they are bad rows.
    """
    length_ms = timeframes.parse(frame.timeframe)
    verdict = _Verdict(len(frame))
    at = frame.timestamp
    _check_time(verdict, at, now_ms)
    verdict.flag("timestamp", at, at % length_ms != 0, f"is not on the {frame.timeframe} grid")
    verdict.flag("timestamp", at, at > now_ms - length_ms, "is a bar that has not closed yet")
    for name in PRICES:
        values = getattr(frame, name)
        verdict.flag(name, values, ~np.isfinite(values), "is not a number")
        verdict.flag(name, values, ~(values > 0), "must be above 0")
        verdict.flag(name, values, (values < LEAST) | (values > MOST), f"is no price: it must lie between {LEAST:g} and {MOST:g}")
    with np.errstate(invalid="ignore"):
        body_top, body_bottom = np.maximum(frame.open, frame.close), np.minimum(frame.open, frame.close)
        verdict.flag("high", frame.high, frame.high < frame.low, "is below the bar's low")
        verdict.flag("high", frame.high, frame.high < body_top, "is below the bar's open or close")
        verdict.flag("low", frame.low, frame.low > body_bottom, "is above the bar's open or close")
    verdict.flag("volume", frame.volume, ~np.isfinite(frame.volume), "is not a number")
    verdict.flag("volume", frame.volume, frame.volume < 0, "must not be negative")
    verdict.flag("volume", frame.volume, frame.volume > MOST_VOLUME, f"is no volume: it must be at most {MOST_VOLUME:g}")
    if ordered:
        _check_order(verdict, at)
    return _settle(verdict, tuple(frame[2:]))


def spacing_ms(timestamps: NDArray[np.int64]) -> int | None:
    """How far most of the (plausible) timestamps lie apart; None when there are too few or no distance has the majority."""
    at = np.unique(timestamps[(timestamps >= EARLIEST_MS) & (timestamps <= FARTHEST_MS)])
    distances, counts = np.unique(np.diff(at), return_counts=True)
    if at.shape[0] < 3 or counts.max() * 2 <= counts.sum():
        return None
    return int(distances[counts.argmax()])


def check_funding(frame: FundingFrame, *, now_ms: int, ordered: bool = False) -> Checked:
    """Verdict on funding boundaries; columns are timestamp (floored to the minute: venues jitter by milliseconds) and rate. `ordered` as above."""
    verdict = _Verdict(frame.timestamp.shape[0])
    _check_time(verdict, frame.timestamp, now_ms)
    verdict.flag("rate", frame.rate, ~np.isfinite(frame.rate), "is not a number")
    verdict.flag(
        "rate",
        frame.rate,
        np.abs(frame.rate) > MAX_FUNDING_RATE,
        f"is beyond {MAX_FUNDING_RATE} per interval: rates are fractions, not percent",
    )
    if ordered:
        _check_order(verdict, frame.timestamp)
    return _settle(verdict, (frame.timestamp // timeframes.MINUTE_MS * timeframes.MINUTE_MS, frame.rate))


def _check_time(verdict: _Verdict, at: NDArray[np.int64], now_ms: int) -> None:
    verdict.flag("timestamp", at, at == MISSING_MS, "is missing")
    verdict.flag("timestamp", at, at < EARLIEST_MS, "is before 2009: timestamps are milliseconds since 1970, UTC")
    verdict.flag("timestamp", at, at > FARTHEST_MS, "is beyond 2100: timestamps are milliseconds since 1970, UTC")
    verdict.flag("timestamp", at, at > now_ms, "lies in the future")


def _check_order(verdict: _Verdict, at: NDArray[np.int64]) -> None:
    """Rows must come sorted and once: whatever wrote them otherwise may have mixed two series up."""
    good = np.flatnonzero(verdict.good)
    times = at[good]
    repeated, late = np.zeros(at.shape, bool), np.zeros(at.shape, bool)
    repeated[good] = True
    repeated[good[np.unique(times, return_index=True)[1]]] = False
    late[good[1:][times[1:] < times[:-1]]] = True
    verdict.flag("timestamp", at, repeated, "is given more than once")
    verdict.flag("timestamp", at, late, "is earlier than the row before it")


def _settle(verdict: _Verdict, columns: tuple[NDArray[Any], ...]) -> Checked:
    """Sort, merge identical duplicates, flag conflicting ones."""
    notes: list[str] = []
    order = np.flatnonzero(verdict.good)
    at = columns[0][order]
    if (at[1:] < at[:-1]).any():
        notes.append("rows were not in order of time; sorted")
        order = order[np.argsort(at, kind="stable")]
        at = columns[0][order]
    repeated = at[1:] == at[:-1]
    if repeated.any():
        differs = np.zeros(repeated.shape, bool)
        for column in columns[1:]:
            differs |= column[order][1:] != column[order][:-1]
        conflicting = np.isin(at, at[1:][repeated & differs])
        mask = np.zeros(verdict.problem.shape, bool)
        mask[order[conflicting]] = True
        verdict.flag("timestamp", columns[0], mask, "is given more than once with different values")
        merged = np.concatenate(([False], repeated)) & ~conflicting
        if merged.any():
            notes.append(f"{int(merged.sum())} identical duplicate row{'s' if merged.sum() > 1 else ''} merged")
        order = order[~merged & ~conflicting]
    return Checked(tuple(np.ascontiguousarray(column[order]) for column in columns), verdict.rows(), tuple(notes))
