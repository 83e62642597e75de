"""The database itself refuses to change or delete an audit event, whoever asks. One change is let through: when a user is
deleted, the event forgets whom it was about. A later migration that rebuilds the table has to create the triggers again."""

from django.db import migrations

KEPT = ["id", "action", "detail", "ip", "at"]

SQLITE = [
    """CREATE TRIGGER audit_event_never_deleted BEFORE DELETE ON accounts_auditevent
    BEGIN SELECT RAISE(ABORT, 'an audit event is never deleted'); END""",
    f"""CREATE TRIGGER audit_event_never_changed BEFORE UPDATE ON accounts_auditevent
    WHEN NEW.user_id IS NOT NULL OR {" OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in KEPT)}
    BEGIN SELECT RAISE(ABORT, 'an audit event is never changed'); END""",
    # INSERT OR REPLACE deletes without firing delete triggers.
    """CREATE TRIGGER audit_event_never_replaced BEFORE INSERT ON accounts_auditevent
    WHEN EXISTS (SELECT 1 FROM accounts_auditevent WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'an audit event is never changed'); END""",
]
SQLITE_UNDO = [f"DROP TRIGGER IF EXISTS audit_event_never_{what}" for what in ("deleted", "changed", "replaced")]

POSTGRESQL = [
    f"""CREATE FUNCTION audit_event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND NEW.user_id IS NULL
            AND ({", ".join(f'NEW."{name}"' for name in KEPT)}) IS NOT DISTINCT FROM ({", ".join(f'OLD."{name}"' for name in KEPT)})
        THEN RETURN NEW; END IF;
        RAISE EXCEPTION 'an audit event is never changed or deleted' USING ERRCODE = 'integrity_constraint_violation';
    END $$""",
    """CREATE TRIGGER audit_event_never_changed BEFORE UPDATE OR DELETE ON accounts_auditevent
    FOR EACH ROW EXECUTE FUNCTION audit_event_append_only()""",
    """CREATE TRIGGER audit_event_never_truncated BEFORE TRUNCATE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_append_only()""",
]
POSTGRESQL_UNDO = [
    "DROP TRIGGER IF EXISTS audit_event_never_truncated ON accounts_auditevent",
    "DROP TRIGGER IF EXISTS audit_event_never_changed ON accounts_auditevent",
    "DROP FUNCTION IF EXISTS audit_event_append_only()",
]


def protect(apps, schema_editor):
    _run(schema_editor, {"sqlite": SQLITE, "postgresql": POSTGRESQL})


def unprotect(apps, schema_editor):
    _run(schema_editor, {"sqlite": SQLITE_UNDO, "postgresql": POSTGRESQL_UNDO})


def _run(schema_editor, statements_by_vendor):
    vendor = schema_editor.connection.vendor
    if vendor not in statements_by_vendor:
        raise NotImplementedError(f"The audit trail cannot be protected on {vendor}: use SQLite or PostgreSQL.")
    for statement in statements_by_vendor[vendor]:
        # Not schema_editor.execute: it would take the percent and dollar signs of a statement for parameters.
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(protect, unprotect)]
