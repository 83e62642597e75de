"""The way in: arrays are checked and put in order here, then one compiled call does the work."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting.kernel import loops, sweeping
from backtesting.kernel.types import (
    BAR_ROW,
    DAY_MS,
    DETAIL_ROW,
    DUE_ROW,
    REFUSALS,
    TRADE_ROW,
    Bars,
    Entries,
    F,
    I,
    Result,
    Rules,
    Spec,
    Sweep,
    Trades,
    rules_rows,
    specs_rows,
)
from exchanges.compiled import cores, is_kept, records

EMPTY = np.empty(0)
EMPTY_INTS = np.empty(0, np.int64)


class Series(NamedTuple):
    """One symbol's bars, arrays of one length: opens in ms UTC ascending, prices, volume; the mark price's extremes or empty; what
    falls due with which of its rows; the finer bars of each row (detail_first of length n + 1) or empty."""

    timestamp: I
    open: F
    high: F
    low: F
    close: F
    volume: F
    mark_high: F = EMPTY
    mark_low: F = EMPTY
    due_row: I = EMPTY_INTS
    due_price: F = EMPTY
    due_rate: F = EMPTY
    due_cost: F = EMPTY
    detail_first: I = EMPTY_INTS
    detail_open: F = EMPTY
    detail_high: F = EMPTY
    detail_low: F = EMPTY


def join(series: Sequence[Series]) -> Bars:
    """All symbols on one line of time. Raises ValueError for bars out of order or arrays that disagree in length.

    Where one symbol has mark prices or finer bars all get them: the last price stands for a mark that is not stored, a bar without finer
    ones has none.
    """
    for each in series:
        n = each.timestamp.shape[0]
        if any(column.shape[0] != n for column in each[1:6]) or any(column.shape[0] not in (0, n) for column in each[6:8]):
            raise ValueError("the arrays of a series must have one length")
        if n and np.any(np.diff(each.timestamp) <= 0):
            raise ValueError("bars must be ordered by time, each once")
    stamps = [each.timestamp for each in series]
    times = stamps[0] if all(np.array_equal(stamps[0], other) for other in stamps[1:]) else np.unique(np.concatenate(stamps))
    first = np.concatenate(([0], np.cumsum([stamp.shape[0] for stamp in stamps]))).astype(np.int64)
    days = np.concatenate((np.flatnonzero(np.diff(times // DAY_MS, prepend=-1)), [times.shape[0]])).astype(np.int64)
    rows, at = np.empty(first[-1], BAR_ROW).view(np.recarray), np.empty(first[-1], np.int32)
    for each, start, stop in zip(series, first[:-1], first[1:], strict=True):
        part = rows[start:stop]
        for name in ("open", "high", "low", "close", "volume"):
            part[name] = getattr(each, name)
        part["mark_high"], part["mark_low"] = (each.mark_high, each.mark_low) if each.mark_high.shape[0] else (each.high, each.low)
        at[start:stop] = np.arange(times.shape[0]) if each.timestamp.shape == times.shape else np.searchsorted(times, each.timestamp)
    rows["at"] = at
    due = _records(DUE_ROW, {name: np.concatenate([getattr(each, f"due_{name}") for each in series]) for name in ("price", "rate", "cost")})
    due["row"] = np.concatenate([each.due_row + start for each, start in zip(series, first[:-1], strict=True)])
    details = {name: np.concatenate([getattr(each, f"detail_{name}") for each in series]) for name in ("open", "high", "low")}
    return Bars(first, times, days, at, rows, due, _details(series), _records(DETAIL_ROW, details))


def _records(dtype: Any, columns: dict[str, F]) -> Any:
    rows = np.zeros(next(iter(columns.values())).shape[0], dtype).view(np.recarray)
    for name, column in columns.items():
        rows[name] = column
    return rows


def _details(series: Sequence[Series]) -> I:
    """Where the finer bars of each row begin, all symbols behind each other; empty when none has any."""
    if not any(each.detail_first.shape[0] for each in series):
        return EMPTY_INTS
    parts, offset = [], 0
    for each in series:
        own = each.detail_first if each.detail_first.shape[0] else np.zeros(each.timestamp.shape[0] + 1, np.int64)
        parts.append(own[:-1] + offset)
        offset += each.detail_open.shape[0]
    return np.concatenate((*parts, [offset])).astype(np.int64)


def entries_of(bars: Bars, side: NDArray[np.int8], unit: F, rank: F | None = None) -> Entries:
    """Entries from what is said at every row: side +1, -1 or 0 (none), int8[n]; unit and rank float64[n]."""
    rows = np.flatnonzero(side)
    edges = np.searchsorted(rows, bars.first)
    return Entries(
        edges[:-1].astype(np.int64), edges[1:].astype(np.int64), rows.astype(np.int64), side[rows].astype(np.int8),
        EMPTY if rank is None else np.ascontiguousarray(rank[rows]), unit,
    )  # fmt: skip


def _check(bars: Bars, entries: Entries, specs: Sequence[Spec]) -> None:
    n = bars.rows.shape[0]
    if entries.unit.shape[0] != n:
        raise ValueError("the entries' unit must have one value for each bar")
    if len(specs) != bars.first.shape[0] - 1:
        raise ValueError("specs must have one for each symbol")
    if entries.row.shape[0] and not (int(entries.row.min()) >= 0 and int(entries.row.max()) < n):
        raise ValueError("entries must be decided on bars that exist")


def _check_order(bars: Bars, entries: Entries) -> None:
    for s, (start, stop) in enumerate(zip(entries.starts.tolist(), entries.stops.tolist(), strict=True)):
        own = entries.row[start:stop]
        if own.shape[0] and not (own[0] >= bars.first[s] and own[-1] < bars.first[s + 1] and np.all(np.diff(own) > 0)):
            raise ValueError("a symbol's entries must be on its own bars, one a bar, ascending")


def simulate(bars: Bars, entries: Entries, specs: Sequence[Spec], rules: Rules) -> Result:
    """Run the simulation. Raises ValueError when arrays do not fit each other or a symbol's entries are out of order."""
    _check(bars, entries, specs)
    _check_order(bars, entries)
    books, accounts, trades, refused = sweeping.working_arrays(1, len(specs), int((entries.stops - entries.starts).sum()))
    account = accounts[0][0]
    equity, notional = np.zeros(bars.times.shape[0]), np.zeros(bars.times.shape[0])
    rows, due, details = records(bars.rows), records(bars.due), records(bars.details)
    m = loops.run(
        bars.first, bars.times, bars.days, bars.at, rows, _closes(bars, [rules]), due, bars.detail_first, details,
        entries.starts, entries.stops, entries.row, entries.side, entries.rank, entries.unit,
        *specs_rows(specs), rules_rows([rules])[0], books[0], account, trades[0], refused[0], equity, notional, EMPTY,
    )  # fmt: skip
    columns: list[Any] = [trades[0][name][:m] for name in TRADE_ROW.names or ()]
    counts = {word: int(count) for word, count in zip(REFUSALS, refused[0], strict=False) if word and count}
    return Result(Trades(*columns), bars.times, equity, notional, float(account["balance"]), int(account["signals"]), counts)


def is_compiled(*, for_sweeps: bool = False) -> bool:
    """Whether this machine has compiled what `simulate`, or `sweep`, calls: if not, the first call takes half a minute longer."""
    return is_kept(sweeping.every_nth if for_sweeps else loops.run)


def _closes(bars: Bars, rules: Sequence[Rules]) -> F:
    return np.ascontiguousarray(bars.rows["close"]) if any(each.max_joint_pct > 0.0 for each in rules) else EMPTY


def sweep(bars: Bars, entries: Entries, specs: Sequence[Spec], rules: Sequence[Rules], *, threads: int | None = None) -> Sweep:
    """Every combination k: the entries starts[k, s] to stops[k, s] of each symbol s (int64[c, s] here) under rules[k], in one call on all cores.

    Raises ValueError when arrays do not fit each other. That each symbol's entries ascend, one a bar, is the caller's word. threads -- by default one for each core
    """
    _check(bars, entries, specs)
    if entries.starts.shape != (len(rules), len(specs)) or entries.stops.shape != entries.starts.shape:
        raise ValueError("starts and stops must have a row for each combination and a column for each symbol")
    out = sweeping.empty(len(rules), bars.days.shape[0] - 1)
    if len(rules):
        most = int((entries.stops - entries.starts).sum(axis=1).max())
        workers = max(1, min(threads or cores(), len(rules)))
        books, accounts, trades, refused = sweeping.working_arrays(workers, len(specs), most)
        shared = (bars, _closes(bars, rules), entries, *specs_rows(specs), rules_rows(rules))

        def work(thread: int) -> None:
            sweeping.every_nth(thread, workers, *shared, books[thread], accounts[thread][0], trades[thread], refused[thread], out)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers)))
    return out
