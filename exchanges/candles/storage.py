"""Series of numbers in the database, moved as arrays: no model instance is made on the way in or out.

PostgreSQL speaks its binary COPY format (https://www.postgresql.org/docs/current/sql-copy.html) through a temporary table;
SQLite takes executemany. Both write with ON CONFLICT DO UPDATE, and only where a value differs.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from django.db import connection, models
from numpy.typing import NDArray

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"


class Series(NamedTuple):
    """One series: the table, what is the same in all of its rows, and its columns: a timestamp and float64 values."""

    model: type[models.Model]
    constants: dict[str, int | str]
    values: tuple[str, ...]

    @property
    def table(self) -> str:
        return connection.ops.quote_name(self.model._meta.db_table)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("timestamp", *self.values)

    @property
    def condition(self) -> str:
        return " AND ".join(f"{name} = %s" for name in self.constants)

    @property
    def parameters(self) -> list[int | str]:
        return list(self.constants.values())


class Counts(NamedTuple):
    inserted: int
    updated: int
    unchanged: int


def write(series: Series, columns: Sequence[NDArray[Any]]) -> Counts:
    """Insert or correct rows given as arrays (timestamps unique), inside the caller's transaction."""
    rows = len(columns[0])
    if not rows:
        return Counts(0, 0, 0)
    known = _known(series, columns[0])
    if connection.vendor != "postgresql":
        written = _execute_many(series, columns)
    elif known:
        written = _merge(series, columns)
    else:
        written = _append(series, columns)
    inserted = rows - known
    return Counts(inserted, written - inserted, known - (written - inserted))


def read(series: Series, *, start_ms: int | None = None, end_ms: int | None = None, last: int | None = None) -> list[NDArray[Any]]:
    """Columns as arrays (timestamp int64, the rest float64), oldest first, start_ms <= timestamp < end_ms, of these the newest `last`."""
    where, parameters = series.condition, series.parameters
    for clause, bound in (("timestamp >= %s", start_ms), ("timestamp < %s", end_ms)):
        if bound is not None:
            where, parameters = f"{where} AND {clause}", [*parameters, bound]
    tail = "" if last is None else f" DESC LIMIT {int(last)}"
    # Table and column names are this module's own, every value is a parameter.
    query = f"SELECT {', '.join(series.columns)} FROM {series.table} WHERE {where} ORDER BY timestamp{tail}"  # noqa: S608
    columns = _copy_out(query, parameters, series) if connection.vendor == "postgresql" else _fetch(query, parameters, series)
    return columns if last is None else [np.ascontiguousarray(column[::-1]) for column in columns]


def newest(series: Series) -> int | None:
    """Timestamp of the newest row."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT max(timestamp) FROM {series.table} WHERE {series.condition}", series.parameters)  # noqa: S608
        return cursor.fetchone()[0]


def _known(series: Series, timestamps: NDArray[np.int64]) -> int:
    """How many of the (sorted) timestamps are stored already."""
    query = f"SELECT timestamp FROM {series.table} WHERE {series.condition} AND timestamp BETWEEN %s AND %s"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, [*series.parameters, int(timestamps[0]), int(timestamps[-1])])
        stored = np.fromiter(chain.from_iterable(cursor.fetchall()), np.int64)
    return int(np.isin(timestamps, stored, assume_unique=True).sum())


def _upsert(series: Series, source: str, *, null_safe_differs: str) -> str:
    names = (*series.constants, *series.columns)
    updates = ", ".join(f"{name} = excluded.{name}" for name in series.values)
    differs = " OR ".join(f"{series.table}.{name} {null_safe_differs} excluded.{name}" for name in series.values)
    keys = ", ".join((*series.constants, "timestamp"))
    return f"INSERT INTO {series.table} ({', '.join(names)}) {source} ON CONFLICT ({keys}) DO UPDATE SET {updates} WHERE {differs}"


def _execute_many(series: Series, columns: Sequence[NDArray[Any]]) -> int:
    names = (*series.constants, *series.columns)
    constants = tuple(series.constants.values())
    rows = [constants + row for row in zip(*(column.tolist() for column in columns), strict=True)]
    with connection.cursor() as cursor:
        cursor.executemany(_upsert(series, f"VALUES ({', '.join(['%s'] * len(names))})", null_safe_differs="IS NOT"), rows)
        return int(cursor.rowcount)


def _fetch(query: str, parameters: list[Any], series: Series) -> list[NDArray[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        rows = cursor.fetchall()
    # Milliseconds since 1970 are exact in float64 until the year 287396.
    shape = (len(rows), len(series.columns))
    table = np.fromiter(chain.from_iterable(rows), np.float64, count=shape[0] * shape[1]).reshape(shape)
    return [table[:, 0].astype(np.int64), *(np.ascontiguousarray(table[:, i]) for i in range(1, shape[1]))]


def _record(names: Sequence[str], constants: Mapping[str, int | str] | None = None) -> np.dtype[Any]:
    """One row in COPY's binary format: the number of fields, then for each its length and its value, big-endian."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, value in (constants or {}).items():
        fields += [(f"{name}_length", ">i4"), (name, f"S{len(value.encode())}" if isinstance(value, str) else ">i8")]
    for name in names:
        fields += [(f"{name}_length", ">i4"), (name, ">i8" if name == "timestamp" else ">f8")]
    return np.dtype(fields)


def _block(series: Series, columns: Sequence[NDArray[Any]], constants: Mapping[str, int | str]) -> bytes:
    """The rows as one COPY message."""
    block = np.empty(len(columns[0]), _record(series.columns, constants))
    block["fields"] = len(columns) + len(constants)
    values = {name: value.encode() if isinstance(value, str) else value for name, value in constants.items()}
    for name, column in (values | dict(zip(series.columns, columns, strict=True))).items():
        block[f"{name}_length"] = block.dtype[name].itemsize
        block[name] = column
    return COPY_HEADER + block.tobytes() + COPY_TRAILER


def _append(series: Series, columns: Sequence[NDArray[Any]]) -> int:
    """Rows of which none is stored, straight into the table; one stored meanwhile makes the transaction fail, not double."""
    names = ", ".join((*series.constants, *series.columns))
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {series.table} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(_block(series, columns, series.constants))
        return int(cursor.rowcount)


def _merge(series: Series, columns: Sequence[NDArray[Any]]) -> int:
    """Rows of which some are stored, by way of a temporary table."""
    kinds = ", ".join(f"{name} {'bigint' if name == 'timestamp' else 'double precision'}" for name in series.columns)
    names = ", ".join(series.columns)
    source = f"SELECT {', '.join(['%s'] * len(series.constants))}, {names} FROM staging"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE staging ({kinds}) ON COMMIT DROP")
        with cursor.copy(f"COPY staging ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(_block(series, columns, {}))
        cursor.execute(_upsert(series, source, null_safe_differs="IS DISTINCT FROM"), series.parameters)
        written = int(cursor.rowcount)
        cursor.execute("DROP TABLE staging")
    return written


def _copy_out(query: str, parameters: list[Any], series: Series) -> list[NDArray[Any]]:
    with connection.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)", parameters) as copy:
        data = b"".join(bytes(part) for part in copy)
    block = np.frombuffer(
        data, _record(series.columns), offset=len(COPY_HEADER), count=(len(data) - len(COPY_HEADER) - 2) // _record(series.columns).itemsize
    )
    return [block["timestamp"].astype(np.int64), *(block[name].astype(np.float64) for name in series.values)]
