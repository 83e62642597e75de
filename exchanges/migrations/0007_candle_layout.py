"""How bars lie in the database, and the count of bars by month that triggers keep.

PostgreSQL: a TimescaleDB hypertable where that extension can be had, else native partitions by month, made when a month is first
written (candles_ensure_months). SQLite: the plain table. A later migration that rebuilds these tables has to create the triggers again.
"""

import django.db.models.deletion
from django.db import Error, migrations, models, transaction

TABLES = {"exchanges_candle": "last", "exchanges_markcandle": "mark"}
CHUNK_MS = 2_592_000_000  # 30 days: a hypertable's chunks have one length
TIMESCALE_NEEDED = (2, 18)  # the first that has transition tables in the triggers of a hypertable

# --- PostgreSQL, every layout. Rows are counted by day first: a division is cheaper than the calendar.
BY_DAY = "SELECT market_id, timeframe, timestamp / 86400000 AS day, {sign}count(*) AS n, max(timestamp) AS newest FROM {rows} GROUP BY market_id, timeframe, day"
INSERTED, REMOVED = BY_DAY.format(sign="", rows="new_rows"), BY_DAY.format(sign="-", rows="old_rows")
REPLACED = f"{REMOVED} UNION ALL {INSERTED}"

MONTH = """CREATE FUNCTION candles_month(ms bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT extract(epoch FROM date_trunc('month', to_timestamp(ms / 1000) AT TIME ZONE 'UTC'))::bigint * 1000 $$"""

COUNT_INSERTED = """CREATE FUNCTION {table}_inserted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO exchanges_candlemonth AS kept (market_id, timeframe, price, month_ms, bars, last_ms, revision)
    SELECT market_id, timeframe, '{price}', candles_month(day * 86400000) AS month, sum(n), max(newest), (random() * 9e18)::bigint
    FROM ({inserted}) AS days GROUP BY market_id, timeframe, month ORDER BY market_id, timeframe, month
    ON CONFLICT (market_id, timeframe, price, month_ms) DO UPDATE
    SET bars = kept.bars + excluded.bars, last_ms = greatest(kept.last_ms, excluded.last_ms), revision = excluded.revision;
    RETURN NULL;
END $$"""

# A row whose key changes leaves one month for another: an update is a deletion and an insertion, net of each other.
COUNT_CHANGED = """CREATE FUNCTION {table}_{event}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO exchanges_candlemonth AS kept (market_id, timeframe, price, month_ms, bars, last_ms, revision)
    SELECT market_id, timeframe, '{price}', candles_month(day * 86400000) AS month, sum(n), max(newest), (random() * 9e18)::bigint
    FROM ({changes}) AS changes GROUP BY market_id, timeframe, month ORDER BY market_id, timeframe, month
    ON CONFLICT (market_id, timeframe, price, month_ms) DO UPDATE
    SET bars = kept.bars + excluded.bars, revision = excluded.revision, last_ms = coalesce((
        SELECT max(timestamp) FROM {table} AS bar WHERE bar.market_id = kept.market_id AND bar.timeframe = kept.timeframe
        AND bar.timestamp >= kept.month_ms AND bar.timestamp < candles_month(kept.month_ms + 2764800000)), 0);
    DELETE FROM exchanges_candlemonth WHERE price = '{price}' AND bars <= 0;
    RETURN NULL;
END $$"""

RECOUNT = """CREATE FUNCTION {table}_recount() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM exchanges_candlemonth WHERE price = '{price}';
    INSERT INTO exchanges_candlemonth (market_id, timeframe, price, month_ms, bars, last_ms, revision)
    SELECT market_id, timeframe, '{price}', candles_month(timestamp) AS month, count(*), max(timestamp), (random() * 9e18)::bigint
    FROM {table} GROUP BY market_id, timeframe, month;
    RETURN NULL;
END $$"""

# CREATE TABLE and ATTACH rather than PARTITION OF: readers and writers of other months are not kept waiting, only who makes months, too.
# A statement that names a partition fires that partition's triggers, not the table's, so each has its own.
ENSURE_MONTHS = """CREATE FUNCTION candles_ensure_months(tab text, first_ms bigint, last_ms bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    start_ms bigint := candles_month(first_ms);
    end_ms bigint;
    part text;
    made integer := 0;
BEGIN
    WHILE start_ms <= last_ms LOOP
        end_ms := candles_month(start_ms + 2764800000);
        part := tab || to_char(to_timestamp(start_ms / 1000) AT TIME ZONE 'UTC', '_YYYYMM');
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('LOCK TABLE ONLY %I IN SHARE UPDATE EXCLUSIVE MODE', tab);
            IF to_regclass(part) IS NULL THEN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', part, tab);
                PERFORM candles_watch(part, tab);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', tab, part, start_ms, end_ms);
                made := made + 1;
            END IF;
        END IF;
        start_ms := end_ms;
    END LOOP;
    RETURN made;
END $$"""
NOTHING_TO_ENSURE = """CREATE FUNCTION candles_ensure_months(tab text, first_ms bigint, last_ms bigint) RETURNS integer LANGUAGE sql AS $$
    SELECT 0 $$"""

WATCH = """CREATE FUNCTION candles_watch(part text, tab text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    EXECUTE format('CREATE TRIGGER months_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION %I()', part, tab || '_inserted');
    EXECUTE format('CREATE TRIGGER months_updated AFTER UPDATE ON %I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION %I()', part, tab || '_updated');
    {deleted}
    EXECUTE format('CREATE TRIGGER months_truncated AFTER TRUNCATE ON %I
        FOR EACH STATEMENT EXECUTE FUNCTION %I()', part, tab || '_recount');
END $$"""
DELETED = """EXECUTE format('CREATE TRIGGER months_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION %I()', part, tab || '_deleted');"""
# Compressed rows are deleted by the segment, without a transition table: the extension refuses such a trigger.
DELETED_UNSEEN = """EXECUTE format('CREATE TRIGGER months_deleted AFTER DELETE ON %I
        FOR EACH STATEMENT EXECUTE FUNCTION %I()', part, tab || '_recount');"""

PARTITIONED = [
    "ALTER TABLE {table} RENAME TO {table}_plain",
    "ALTER INDEX {table}_pkey RENAME TO {table}_plain_pkey",
    "CREATE TABLE {table} (LIKE {table}_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES) PARTITION BY RANGE (timestamp)",
    "SELECT candles_watch('{table}', '{table}')",
    "SELECT candles_ensure_months('{table}', min(timestamp), max(timestamp)) FROM {table}_plain HAVING count(*) > 0",
    "INSERT INTO {table} SELECT * FROM {table}_plain ORDER BY market_id, timeframe, timestamp",
    "DROP TABLE {table}_plain",
]
PLAIN_AGAIN = [
    "CREATE TABLE {table}_plain (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)",
    "INSERT INTO {table}_plain SELECT * FROM {table} ORDER BY market_id, timeframe, timestamp",
    "DROP TABLE {table}",  # a partitioned table takes its partitions along, a hypertable its chunks
    "ALTER TABLE {table}_plain RENAME TO {table}",
    "ALTER INDEX {table}_plain_pkey RENAME TO {table}_pkey",
    *(f"DROP FUNCTION IF EXISTS {{table}}_{event}()" for event in ("inserted", "updated", "deleted", "recount")),
]
FORGET_FUNCTIONS = [
    "DROP FUNCTION candles_ensure_months(text, bigint, bigint)",
    "DROP FUNCTION candles_watch(text, text)",
    "DROP FUNCTION candles_month(bigint)",
    "DROP FUNCTION IF EXISTS candles_now()",
]

# --- PostgreSQL with TimescaleDB
NOW = """CREATE FUNCTION candles_now() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT (extract(epoch FROM now()) * 1000)::bigint $$"""
HYPERTABLE = [
    f"SELECT create_hypertable('{{table}}', by_range('timestamp', {CHUNK_MS}), migrate_data => true, create_default_indexes => false)",
    "SELECT set_integer_now_func('{table}', 'candles_now')",
    "SELECT candles_watch('{table}', '{table}')",
    """INSERT INTO exchanges_candlemonth (market_id, timeframe, price, month_ms, bars, last_ms, revision)
    SELECT market_id, timeframe, '{price}', candles_month(timestamp) AS month, count(*), max(timestamp), (random() * 9e18)::bigint
    FROM {table} GROUP BY market_id, timeframe, month""",
]
COMPRESSED = [
    "ALTER TABLE {table} SET (timescaledb.compress, timescaledb.compress_segmentby = 'market_id, timeframe', timescaledb.compress_orderby = 'timestamp')",
    f"SELECT add_compression_policy('{{table}}', compress_after => {CHUNK_MS}::bigint)",
]

# --- SQLite, which has no triggers by statement
SQLITE_MONTH = "CAST(strftime('%s', {row}.timestamp / 1000, 'unixepoch', 'start of month') AS INTEGER) * 1000"
SQLITE_KEY = "market_id = {row}.market_id AND timeframe = {row}.timeframe AND price = '{price}' AND month_ms = {month}"
SQLITE_ADD = """INSERT INTO exchanges_candlemonth (market_id, timeframe, price, month_ms, bars, last_ms, revision)
    VALUES (NEW.market_id, NEW.timeframe, '{price}', {new_month}, 1, NEW.timestamp, random())
    ON CONFLICT (market_id, timeframe, price, month_ms) DO UPDATE
    SET bars = bars + 1, last_ms = max(last_ms, excluded.last_ms), revision = excluded.revision;"""
SQLITE_REMOVE = """DELETE FROM exchanges_candlemonth WHERE {old_key} AND bars <= 1;
    UPDATE exchanges_candlemonth SET bars = bars - 1, revision = random(), last_ms = CASE WHEN OLD.timestamp < last_ms THEN last_ms ELSE
        (SELECT max(timestamp) FROM {table} WHERE market_id = OLD.market_id AND timeframe = OLD.timeframe AND timestamp < OLD.timestamp) END
    WHERE {old_key};"""
SQLITE_MOVED = "(OLD.market_id, OLD.timeframe, OLD.timestamp) IS NOT (NEW.market_id, NEW.timeframe, NEW.timestamp)"
SQLITE = [
    f"CREATE TRIGGER {{table}}_inserted AFTER INSERT ON {{table}} BEGIN {SQLITE_ADD} END",
    f"CREATE TRIGGER {{table}}_deleted AFTER DELETE ON {{table}} BEGIN {SQLITE_REMOVE} END",
    f"CREATE TRIGGER {{table}}_moved AFTER UPDATE ON {{table}} WHEN {SQLITE_MOVED} BEGIN {SQLITE_REMOVE} {SQLITE_ADD} END",
    f"""CREATE TRIGGER {{table}}_updated AFTER UPDATE ON {{table}} WHEN NOT {SQLITE_MOVED}
    BEGIN UPDATE exchanges_candlemonth SET revision = random() WHERE {{new_key}}; END""",
    """INSERT INTO exchanges_candlemonth (market_id, timeframe, price, month_ms, bars, last_ms, revision)
    SELECT market_id, timeframe, '{price}', {bar_month} AS month, count(*), max(timestamp), random()
    FROM {table} AS bar GROUP BY market_id, timeframe, month""",
]
SQLITE_UNDO = [f"DROP TRIGGER {{table}}_{event}" for event in ("inserted", "deleted", "moved", "updated")]


def lay_out(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor == "sqlite":
        _run(connection, SQLITE)
        return
    timescale = _timescale(connection)
    _run(connection, [MONTH, WATCH.format(deleted=DELETED_UNSEEN if timescale else DELETED)], tables=[""])
    counting = [COUNT_INSERTED.replace("{inserted}", INSERTED), _counting("updated", REPLACED), RECOUNT]
    if timescale:
        _run(connection, [NOTHING_TO_ENSURE, NOW], tables=[""])
        _run(connection, [*counting, *HYPERTABLE, *(COMPRESSED if timescale == "timescale" else [])])
        return
    _run(connection, [ENSURE_MONTHS], tables=[""])
    _run(connection, [*counting, _counting("deleted", REMOVED), *PARTITIONED])


def lay_flat(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor == "sqlite":
        _run(connection, SQLITE_UNDO)
        return
    _run(connection, PLAIN_AGAIN)
    _run(connection, FORGET_FUNCTIONS, tables=[""])


def _counting(event, changes):
    return COUNT_CHANGED.replace("{event}", event).replace("{changes}", changes)


def _timescale(connection):
    """The extension's licence ("timescale" has compression, "apache" has not) when this database has or can have it, else None."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT default_version, installed_version FROM pg_available_extensions WHERE name = 'timescaledb'")
        default, installed = cursor.fetchone() or (None, None)
        if default is None or tuple(int(part) for part in (installed or default).split("-")[0].split(".")[:2]) < TIMESCALE_NEEDED:
            return None
        if installed is None and not _create(cursor):
            return None
        cursor.execute("SELECT current_setting('timescaledb.license')")
        return cursor.fetchone()[0]


def _create(cursor):
    """Whether the extension could be created. A server that has not loaded it ends the connection over the attempt, so it is asked first."""
    try:
        with transaction.atomic(using=cursor.db.alias):
            cursor.execute("SELECT current_setting('shared_preload_libraries')")
            if "timescaledb" not in cursor.fetchone()[0]:
                return False
            cursor.execute("CREATE EXTENSION timescaledb")
    except Error:  # not permitted: partitions do as well
        return False
    return True


def _run(connection, statements, tables=TABLES):
    for table in tables:
        price = TABLES.get(table, "")
        months = {f"{row.lower()}_month": SQLITE_MONTH.format(row=row) for row in ("NEW", "OLD", "bar")}
        keys = {
            f"{row.lower()}_key": SQLITE_KEY.format(row=row, price=price, month=months[f"{row.lower()}_month"]) for row in ("NEW", "OLD")
        }
        for statement in statements:
            # Not schema_editor.execute: it would take percent signs for parameters.
            with connection.cursor() as cursor:
                cursor.execute(statement if table == "" else statement.format(table=table, price=price, **months, **keys))


class Migration(migrations.Migration):
    dependencies = [("exchanges", "0006_backfill_gaps")]
    operations = [
        migrations.CreateModel(
            name="CandleMonth",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "market_id", "timeframe", "price", "month_ms", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("timeframe", models.CharField(max_length=3)),
                ("price", models.CharField(help_text="last or mark", max_length=4)),
                ("month_ms", models.BigIntegerField(help_text="First instant of the calendar month, ms since the epoch, UTC.")),
                ("bars", models.IntegerField()),
                ("last_ms", models.BigIntegerField(help_text="Open of the month's newest bar.")),
                ("revision", models.BigIntegerField()),
                (
                    "market",
                    models.ForeignKey(
                        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to="exchanges.market"
                    ),
                ),
            ],
        ),
        migrations.RunPython(lay_out, lay_flat),
    ]
