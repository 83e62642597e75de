"""Series of numbers in the database, moved as arrays: no model instance is made on the way in or out.

PostgreSQL takes many rows in its binary COPY format (https://www.postgresql.org/docs/current/sql-copy.html), straight into the table
when none of them is stored, else by way of a temporary one, and a few rows as parameters. SQLite takes executemany. All write with ON CONFLICT DO UPDATE, and only where a value differs.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from django.db import OperationalError, connection, models
from numpy.typing import NDArray

from exchanges.models import MarkCandle

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
ENSURE = "SELECT candles_ensure_months(%s, %s, %s)"
LACKING = "SELECT count(*) FROM unnest(%s::text[]) AS name, pg_class WHERE pg_class.oid = %s::regclass AND relkind = 'p' AND to_regclass(name) IS NULL"
FEW = 100  # below, arrays as parameters are quicker than a temporary table


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
    def is_by_month(self) -> bool:
        """Whether PostgreSQL keeps the table in partitions by month."""
        return "timeframe" in self.constants

    @property
    def price(self) -> str:
        """What CandleMonth calls the table's prices."""
        return "mark" if self.model is MarkCandle else "last"

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
    """Insert or correct rows given as arrays (timestamps unique, increasing), inside the caller's transaction."""
    rows = len(columns[0])
    if not rows:
        return Counts(0, 0, 0)
    inserted, updated = (_write_postgresql if connection.vendor == "postgresql" else _write_sqlite)(series, columns)
    return Counts(inserted, updated, rows - inserted - updated)


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


def _count(series: Series, timestamps: NDArray[np.int64]) -> int:
    """How many rows lie in the span of the (sorted) timestamps."""
    query = f"SELECT count(*) FROM {series.table} WHERE {series.condition} AND timestamp BETWEEN %s AND %s"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, [*series.parameters, int(timestamps[0]), int(timestamps[-1])])
        return int(cursor.fetchone()[0])


def _upsert(series: Series, source: str) -> str:
    names = ", ".join((*series.constants, *series.columns))
    keys = ", ".join((*series.constants, "timestamp"))
    updates = ", ".join(f"{name} = excluded.{name}" for name in series.values)
    return f"INSERT INTO {series.table} ({names}) {source} ON CONFLICT ({keys}) DO UPDATE SET {updates}"


def _write_sqlite(series: Series, columns: Sequence[NDArray[Any]]) -> tuple[int, int]:
    """Rows inserted and rows corrected."""
    constants = tuple(series.constants.values())
    rows = [constants + row for row in zip(*(column.tolist() for column in columns), strict=True)]
    differs = " OR ".join(f"{series.table}.{name} IS NOT excluded.{name}" for name in series.values)
    places = ", ".join(["%s"] * (len(constants) + len(columns)))
    before = _count(series, columns[0])
    with connection.cursor() as cursor:
        cursor.executemany(f"{_upsert(series, f'VALUES ({places})')} WHERE {differs}", rows)
        written = int(cursor.rowcount)
    inserted = _count(series, columns[0]) - before
    return inserted, written - inserted


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


def _write_postgresql(series: Series, columns: Sequence[NDArray[Any]]) -> tuple[int, int]:
    """Rows inserted and rows corrected. Months that nobody has written yet are made first."""
    timestamps = columns[0]
    if series.is_by_month:
        _ensure_months(series.model._meta.db_table, int(timestamps[0]), int(timestamps[-1]))
    if not _count(series, timestamps):
        return _append(series, columns), 0
    if len(timestamps) < FEW:
        kinds = ", ".join(f"%s::{'bigint' if name == 'timestamp' else 'float8'}[]" for name in series.columns)
        return _merge(series, timestamps, f"unnest({kinds})", [column.tolist() for column in columns])
    kinds = ", ".join(f"{name} {'bigint' if name == 'timestamp' else 'float8'}" for name in series.columns)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE staging ({kinds}) ON COMMIT DROP")
        with cursor.copy(f"COPY staging ({', '.join(series.columns)}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(_block(series, columns, {}))
        written = _merge(series, timestamps, "staging", [])
        cursor.execute("DROP TABLE staging")
    return written


def _ensure_months(table: str, first_ms: int, last_ms: int) -> None:
    """Make the partitions that lack, on a connection of its own: the lock this takes would else last as long as the caller's
    transaction, which may wait for whoever waits for the lock. A caller who has locked the whole table makes them himself."""
    months = np.arange(np.datetime64(first_ms, "ms").astype("datetime64[M]"), np.datetime64(last_ms, "ms").astype("datetime64[M]") + 1)
    names = [f"{table}_{str(month).replace('-', '')}" for month in months]
    with connection.cursor() as cursor:
        cursor.execute(LACKING, [names, table])
        if not cursor.fetchone()[0]:
            return
    other = connection.copy()
    other.settings_dict["OPTIONS"].pop("pool", None)
    try:
        with other.cursor() as cursor:
            cursor.execute("SET lock_timeout = '3s'")
            cursor.execute(ENSURE, [table, first_ms, last_ms])
    except OperationalError:
        with connection.cursor() as cursor:
            cursor.execute(ENSURE, [table, first_ms, last_ms])
    finally:
        other.close()


def _append(series: Series, columns: Sequence[NDArray[Any]]) -> int:
    """Rows of which none is stored, straight into the table; one stored meanwhile makes the transaction fail, not double."""
    names = ", ".join((*series.constants, *series.columns))
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {series.table} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(_block(series, columns, series.constants))
        return int(cursor.rowcount)


def _merge(series: Series, timestamps: NDArray[np.int64], given: str, parameters: list[Any]) -> tuple[int, int]:
    """Rows that `given` yields, of which some may be stored. Equal ones are left out before: an upsert would lock each."""
    names = ", ".join(series.columns)
    old, new = (", ".join(f"{source}.{name}" for name in series.values) for source in ("stored", "given"))
    same = " AND ".join(f"stored.{name} = %s" for name in series.constants) + " AND stored.timestamp BETWEEN %s AND %s"
    source = f"SELECT {', '.join(['%s'] * len(series.constants))}, {names} FROM changed WHERE NOT known"  # noqa: S608
    corrections = ", ".join(f"{name} = changed.{name}" for name in series.values)
    query = f"""WITH changed AS MATERIALIZED (
        SELECT given.*, stored.timestamp IS NOT NULL AS known FROM {given} AS given ({names}) LEFT JOIN {series.table} AS stored
        ON {same} AND stored.timestamp = given.timestamp
        WHERE stored.timestamp IS NULL OR ROW({old}) IS DISTINCT FROM ROW({new})
    ), corrected AS (
        UPDATE {series.table} AS stored SET {corrections} FROM changed WHERE known AND {same} AND stored.timestamp = changed.timestamp
    ), added AS ({_upsert(series, source)})
    SELECT count(*) FILTER (WHERE NOT known), count(*) FILTER (WHERE known) FROM changed"""  # noqa: S608
    span = [*series.parameters, int(timestamps[0]), int(timestamps[-1])]
    with connection.cursor() as cursor:
        cursor.execute(query, [*parameters, *span, *span, *series.parameters])
        inserted, updated = cursor.fetchone()
    return int(inserted), int(updated)


def _copy_out(query: str, parameters: list[Any], series: Series) -> list[NDArray[Any]]:
    # The driver's own cursor: Django's, while it records queries, takes no parameters for a copy.
    with connection.cursor() as cursor, cursor.cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)", parameters) as copy:
        data = b"".join(bytes(part) for part in copy)
    block = np.frombuffer(
        data, _record(series.columns), offset=len(COPY_HEADER), count=(len(data) - len(COPY_HEADER) - 2) // _record(series.columns).itemsize
    )
    return [block["timestamp"].astype(np.int64), *(block[name].astype(np.float64) for name in series.values)]
