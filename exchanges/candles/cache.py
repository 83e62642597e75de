"""Series as files of column blocks, so that long ones are read at the pace of the disk. Derived, never the truth: a month is taken from
a file only under the revision the database gives it now, so files may be stale, cut short, garbled or gone without anybody noticing.

A file holds one series and calendar year: a line of JSON that lists its months ([start_ms, revision, bars, checksum]), then the columns
one after the other. Files are replaced whole, the ones used longest ago go when there are too many.
"""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import structlog
from django.conf import settings
from numpy.typing import NDArray

from exchanges.candles.months import Month
from exchanges.candles.storage import Series

log = structlog.get_logger(__name__)

MOST_BYTES = 2_000_000_000
LEFTOVER_S = 3_600  # a temporary file this old was left by a process that died
Block = NDArray[np.float64]  # [columns, bars]: the timestamp (exact in float64), then the values


def folder() -> Path:
    """Where the files are. It may be deleted at any time."""
    return Path(settings.DATA_DIR) / "cache" / "candles"


def read(series: Series, wanted: Sequence[Month], stale: list[Month]) -> dict[int, Block]:
    """Blocks by the month's start, of the wanted months that files hold as they are now; the others are appended to `stale`."""
    found: dict[int, Block] = {}
    for year, months in groupby(wanted, key=_year):
        held = _load(_path(series, year), len(series.columns))
        for month in months:
            block = held.get((month.start_ms, month.revision))
            if block is None or block.shape[1] != month.bars:
                stale.append(month)
            else:
                found[month.start_ms] = block
    return found


def write(series: Series, blocks: dict[int, Block], months: Sequence[Month]) -> None:
    """Keep the blocks of these months. Other months of the same file stay. What cannot be written is not cached."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        for year, some in groupby(months, key=_year):
            path = _path(series, year)
            new = {(month.start_ms, month.revision): blocks[month.start_ms] for month in some}
            starts = {start_ms for start_ms, _revision in new}
            old = {key: block for key, block in _load(path, len(series.columns)).items() if key[0] not in starts}
            _replace(path, dict(sorted((old | new).items())))
        _prune()
    except OSError as error:
        log.warning("candles not cached", folder=str(folder()), error=str(error))


def _year(month: Month) -> int:
    return int(np.datetime64(month.start_ms, "ms").astype("datetime64[Y]").astype(int)) + 1970


def _path(series: Series, year: int) -> Path:
    return folder() / f"{series.model._meta.model_name}-{'-'.join(str(value) for value in series.constants.values())}-{year}.columns"


def _load(path: Path, columns: int) -> dict[tuple[int, int], Block]:
    """The months of a file by start and revision; those whose checksum is wrong are left out, as is all of a file that makes no sense."""
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline(100_000))
            body = np.fromfile(file, np.float64)
        starts = np.cumsum([0, *(int(bars) for _start, _revision, bars, _sum in head)])
        table = body.reshape(columns, int(starts[-1]))
        os.utime(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, ArithmeticError) as error:
        log.info("cached candles unreadable", file=path.name, error=str(error))
        return {}
    blocks = {}
    for (start_ms, revision, _bars, checksum), first, stop in zip(head, starts[:-1], starts[1:], strict=True):
        block = table[:, first:stop]
        if _checksum(block) == checksum:
            blocks[(start_ms, revision)] = block
    return blocks


def _checksum(block: Block) -> int:
    """Of the bits of every column; columns that change places have another one."""
    sums = [int(np.add.reduce(column.view(np.uint64))) * (2 * number + 1) for number, column in enumerate(block)]
    return sum(sums) % 2**64


def _replace(path: Path, blocks: dict[tuple[int, int], Block]) -> None:
    head = [[start_ms, revision, block.shape[1], _checksum(block)] for (start_ms, revision), block in blocks.items()]
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            np.concatenate(list(blocks.values()), axis=1).tofile(file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _prune() -> None:
    """Room for what is used: leftovers of processes that died go, then the files used longest ago."""
    files, now = [], time.time()
    for entry in os.scandir(folder()):
        try:
            seen = entry.stat()
            if entry.name.endswith(".part"):
                if seen.st_mtime < now - LEFTOVER_S:
                    Path(entry.path).unlink()
            else:
                files.append((seen.st_mtime, seen.st_size, entry.path))
        except FileNotFoundError:  # another process was quicker
            continue
    left = sum(size for _at, size, _path in files)
    for _at, size, path in sorted(files):
        if left <= MOST_BYTES:
            return
        Path(path).unlink(missing_ok=True)
        left -= size
