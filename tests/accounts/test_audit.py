import pytest
from django.db import DatabaseError, connection, transaction

from accounts import audit
from accounts.models import AuditEvent

pytestmark = pytest.mark.django_db


def test_an_event_holds_who_what_whence_and_detail(alice, rf):
    event = audit.record(alice, "key_added", rf.post("/"), venue="binance")
    assert (event.user, event.ip, event.detail, event.title) == (alice, "127.0.0.1", {"venue": "binance"}, "Key added")


def test_a_caller_without_an_address_is_recorded_too(alice, rf):
    assert audit.record(alice, "key_added", rf.post("/", REMOTE_ADDR="")).ip is None


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM accounts_auditevent",
        "UPDATE accounts_auditevent SET action = 'nothing_to_see'",
        "UPDATE accounts_auditevent SET user_id = NULL, action = 'nothing_to_see'",
        "UPDATE accounts_auditevent SET ip = NULL",
    ],
)
def test_the_database_refuses_changes(alice, rf, statement):
    event = audit.record(alice, "key_added", rf.post("/"))
    with pytest.raises(DatabaseError, match="never"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    event.refresh_from_db()
    assert (event.user, event.action) == (alice, "key_added")


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="REPLACE is SQLite's")
def test_a_replacing_insert_is_refused_too(alice):
    event = audit.record(alice, "key_added")
    with pytest.raises(DatabaseError, match="never"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT OR REPLACE INTO accounts_auditevent (id, action, detail, at) VALUES (%s, 'x', '{}', '2020-01-01')", [event.pk]
        )
    event.refresh_from_db()
    assert event.action == "key_added"


def test_the_model_refuses_changes(alice):
    event = audit.record(alice, "key_added")
    with pytest.raises(TypeError, match="never changed"):
        event.save()
    with pytest.raises(TypeError, match="never deleted"):
        event.delete()


def test_an_event_outlives_its_user(alice):
    event = audit.record(alice, "key_added")
    alice.delete()
    event.refresh_from_db()
    assert event.user is None


@pytest.mark.django_db(transaction=True)
def test_a_test_database_can_still_be_emptied_and_is_guarded_after(alice):
    audit.record(alice, "key_added")
    from django.core.management import call_command

    call_command("flush", verbosity=0, interactive=False)
    assert not AuditEvent.objects.exists()
    audit.record(None, "key_added")
    with pytest.raises(DatabaseError, match="never"), transaction.atomic():
        AuditEvent.objects.all()._raw_delete("default")
