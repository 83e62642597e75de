"""Small things everybody leans on."""

import pytest
from django.db import transaction
from django.dispatch import Signal

from traderai.lib import clock
from traderai.lib.cache import JSONSerializer
from traderai.lib.events import send_after_commit
from traderai.lib.nudge import nudge


@pytest.mark.django_db(transaction=True)
def test_it_tells_receivers_only_after_commit_and_all_of_them():
    heard = []
    event = Signal()

    def broken(**_):
        raise RuntimeError("broken receiver")

    def listener(n, **_):
        heard.append(n)

    event.connect(broken)
    event.connect(listener)
    with transaction.atomic():
        send_after_commit(event, n=1)
        assert heard == []
    assert heard == [1]


@pytest.mark.django_db(transaction=True)
def test_it_tells_nobody_when_the_transaction_fails():
    heard = []
    event = Signal()

    def listener(**_):
        heard.append(1)

    event.connect(listener)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        send_after_commit(event)
        raise ZeroDivisionError
    assert heard == []


def test_it_round_trips_cache_values_without_pickle():
    serializer = JSONSerializer()
    for value in (1, "text", [1, {"a": None}], 1.5, True):
        stored = serializer.dumps(value)
        on_the_wire = stored if isinstance(stored, bytes) else str(stored).encode()  # Redis keeps a bare integer as its digits
        assert serializer.loads(on_the_wire) == value
    with pytest.raises(TypeError):
        serializer.dumps(object())


def test_it_converts_venue_time_both_ways():
    assert clock.to_ms(clock.from_ms(1_700_000_000_123)) == 1_700_000_000_123
    assert clock.from_ms(0).isoformat() == "1970-01-01T00:00:00+00:00"


@pytest.mark.redis  # what loads tasks lets go of caches
def test_it_refuses_to_nudge_a_task_that_does_not_exist():
    with pytest.raises(KeyError):
        nudge("exchanges.tasks.no_such_task", account_id=1)
