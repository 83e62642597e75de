"""What is left out on servers cannot reach one."""

import pytest
from channels.layers import get_channel_layer
from django.core.cache import cache
from django.db import connection

from tests.on_servers import is_for_servers


def test_it_leaves_out_what_asks_for_nothing_and_that_reaches_nothing(request):
    assert not is_for_servers(request.node)
    for reach in (lambda: cache.get("price"), get_channel_layer):
        with pytest.raises(pytest.fail.Exception, match="mark it redis"):
            reach()
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        connection.cursor()


@pytest.mark.parametrize("fixture", ["db", "transactional_db"])
def test_it_leaves_no_back_door_to_the_database(request, fixture):
    with pytest.raises(pytest.fail.Exception, match="name it among the test's arguments"):
        request.getfixturevalue(fixture)


@pytest.mark.redis
def test_it_keeps_what_reaches_the_cache(request):
    assert is_for_servers(request.node)
    cache.set("price", 1)
    assert cache.get("price") == 1


@pytest.mark.django_db
def test_it_keeps_what_is_marked_for_the_database(request):
    assert is_for_servers(request.node)


def test_it_keeps_what_asks_for_the_database_by_a_fixture_of_a_fixture(request, alice):
    assert is_for_servers(request.node)
