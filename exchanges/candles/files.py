"""Market history in files: Parquet and CSV, timestamps in ms UTC. What is read here is not validated yet."""

import re
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges.candles.validation import MISSING_MS
from exchanges.ports import CandleFrame, FundingFrame
from traderai.lib.errors import UserError

if TYPE_CHECKING:
    import pyarrow

# pyarrow costs 0.2 s and 60 MB: imported by the functions that need it, so that the web process goes without.

FORMATS = (".parquet", ".csv")
CANDLE_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
FUNDING_COLUMNS = ("timestamp", "rate")


class BadFile(UserError):
    """The file cannot be read as market history."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path.name}: {problem}", field="file")


class Columns(NamedTuple):
    """Arrays in the order asked for, and what was left aside."""

    arrays: list[NDArray[Any]]
    notes: tuple[str, ...]


def load_candles(path: Path, *, symbol: str, timeframe: str, with_volume: bool = True) -> tuple[CandleFrame, tuple[str, ...]]:
    """Bars as they stand in the file, and notes. A mark-price file may lack `volume`. Raises BadFile."""
    wanted = CANDLE_COLUMNS if with_volume else CANDLE_COLUMNS[:-1]
    columns, notes = load(path, wanted)
    if not with_volume:
        columns.append(np.zeros(len(columns[0])))
    return CandleFrame(symbol, timeframe, *columns), notes


def load_funding(path: Path) -> tuple[FundingFrame, tuple[str, ...]]:
    """Funding rates as they stand in the file, and notes. Raises BadFile."""
    columns, notes = load(path, FUNDING_COLUMNS)
    return FundingFrame(*columns), notes


def load(path: Path, wanted: Sequence[str]) -> Columns:
    """The wanted columns: the first as int64 (MISSING_MS where empty), the others float64 (NaN where empty). Raises BadFile."""
    table = _read_table(path, wanted)
    _check_names(path, table.column_names, wanted)
    if not table.num_rows:
        raise BadFile(path, "has no rows; export it again")
    arrays: list[NDArray[Any]] = [_timestamps(path, table.column(wanted[0]))]
    arrays += [_numbers(path, name, table.column(name)) for name in wanted[1:]]
    extra = [name for name in table.column_names if name not in wanted and name != "volume"]
    return Columns(arrays, (f"ignored column {', '.join(extra)}",) if extra else ())


def save(path: Path, names: Sequence[str], columns: Sequence[NDArray[Any]], *, metadata: dict[str, str] | None = None) -> None:
    """Write columns as Parquet (zstd) or CSV, by the suffix; the file appears whole or not at all. Raises BadFile."""
    import pyarrow
    from pyarrow import csv, parquet

    _check_suffix(path)
    if not path.parent.is_dir():
        raise BadFile(path, f"folder {path.parent} does not exist; create it first")
    table = pyarrow.table(dict(zip(names, columns, strict=True))).replace_schema_metadata(metadata)
    partial = path.with_name(f".{path.name}.partial")
    try:
        if path.suffix.lower() == ".csv":
            csv.write_csv(table, partial)
        else:
            parquet.write_table(table, partial, compression="zstd")
        partial.replace(path)
    except OSError as error:
        raise BadFile(path, f"cannot be written ({error.strerror or error}); choose another place with --out") from error
    finally:
        partial.unlink(missing_ok=True)


def _check_names(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        need = "it needs a first line" if path.suffix.lower() == ".csv" else "it needs"
        raise BadFile(path, f"column {', '.join(missing)} is missing in {_shown(','.join(found))}; {need} {','.join(wanted)}")
    doubled = [name for name in wanted if found.count(name) > 1]
    if doubled:
        raise BadFile(path, f"column {', '.join(doubled)} is there more than once; leave one")


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in FORMATS:
        raise BadFile(path, "is neither .parquet nor .csv; use one of them")


def _read_table(path: Path, wanted: Sequence[str]) -> "pyarrow.Table":
    import pyarrow
    from pyarrow import parquet

    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise BadFile(path, f"does not exist in {path.parent}; check the path") from None
    except OSError as error:
        raise BadFile(path, f"cannot be opened ({error.strerror or error}); check the path and its permissions") from error
    if not S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
        raise BadFile(path, "is no file; give one Parquet or CSV file")
    _check_suffix(path)
    if not status.st_size:
        raise BadFile(path, "is empty; export it again")
    try:
        if path.suffix.lower() == ".parquet":
            return parquet.ParquetFile(path).read()
        return _read_csv(path, wanted)
    except (pyarrow.ArrowException, OSError) as error:
        kind = path.suffix.lower()[1:].replace("parquet", "Parquet").replace("csv", "CSV")
        raise BadFile(path, f"is not readable {kind} ({_first_line(error)}); export it again") from error


def _read_csv(path: Path, wanted: Sequence[str]) -> "pyarrow.Table":
    import pyarrow
    from pyarrow import csv

    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            raise BadFile(path, "is not text in UTF-8; save it as plain CSV in UTF-8")
    types = {name: pyarrow.int64() if name == wanted[0] else pyarrow.float64() for name in wanted}
    try:
        return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types))
    except pyarrow.ArrowInvalid as error:
        # "In CSV column #4: CSV conversion error to double: invalid value 'abc'": its reader counts columns, people name them.
        refused = re.search(r"In CSV column #(\d+): .* invalid value '(.*)'", str(error))
        if refused is None:
            raise
        name = csv.open_csv(path, convert_options=csv.ConvertOptions(column_types=dict.fromkeys(wanted, pyarrow.string()))).schema.names
        field, value = name[int(refused[1])], refused[2]
        need = "whole milliseconds since 1970, UTC" if field == wanted[0] else "a number"
        raise BadFile(path, f"{field} {_shown(repr(value))} is not {need}; correct the column") from error


def _first_line(error: Exception) -> str:
    return _shown(str(error).splitlines()[0] if str(error) else type(error).__name__)


def _shown(text: str) -> str:
    """A file's own words, fit for one line of a terminal."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= 160 else f"{plain[:157]}..."


def _timestamps(path: Path, column: "pyarrow.ChunkedArray") -> NDArray[np.int64]:
    import pyarrow
    from pyarrow import compute, types

    if not (types.is_timestamp(column.type) or types.is_integer(column.type)):
        raise BadFile(path, f"timestamp must be whole milliseconds (int64), not {column.type}; convert the column")
    try:
        if types.is_timestamp(column.type):
            column = column.cast(pyarrow.timestamp("ms", column.type.tz))
        return compute.fill_null(column.cast(pyarrow.int64()), MISSING_MS).to_numpy()
    except pyarrow.ArrowInvalid as error:
        raise BadFile(path, f"timestamp must be whole milliseconds ({_first_line(error)}); convert the column") from error


def _numbers(path: Path, name: str, column: "pyarrow.ChunkedArray") -> NDArray[np.float64]:
    import pyarrow
    from pyarrow import types

    if not (types.is_floating(column.type) or types.is_integer(column.type) or types.is_decimal(column.type)):
        raise BadFile(path, f"{name} must be numbers (float64), not {column.type}; convert the column")
    return np.asarray(column.cast(pyarrow.float64(), safe=False).to_numpy(), np.float64)
