"""Which tests have to run on PostgreSQL and Redis, too: `pytest --on-servers` runs only these, and says how many it leaves out.

They are the tests that ask for the database by mark or by fixture, and those with the mark `redis`, which reach the cache or the channel
layer without a database. What is left out cannot reach them: a test that asks for neither is refused both wherever it runs, by
pytest-django the database and here the rest, and fails in the run that has no servers. The budget of a venue's requests, which Redis shares
between processes, is tried on a Redis of its own (tests/exchanges/test_budget.py) and needs no mark.
"""

import pytest
from channels.layers import ChannelLayerManager
from django.core.cache import CacheHandler

DATABASE = {"db", "transactional_db", "live_server", "django_db_setup"}
MARKS = ("django_db", "redis", "servers")
LEFT_OUT = pytest.StashKey[int]()


def is_for_servers(item: pytest.Item) -> bool:
    return bool(DATABASE & set(item.fixturenames)) or any(item.get_closest_marker(mark) for mark in MARKS)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--on-servers", action="store_true", help="Leave out the tests that reach no database, cache or channel layer.")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--on-servers"):
        return
    left_out = [item for item in items if not is_for_servers(item)]
    items[:] = [item for item in items if is_for_servers(item)]
    config.hook.pytest_deselected(items=left_out)
    config.stash[LEFT_OUT] = len(left_out)
    if hasattr(config, "workeroutput"):  # of pytest-xdist: its controller sees no tests
        config.workeroutput["left_out"] = len(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    told = getattr(node, "workeroutput", {})
    if "left_out" in told:
        node.config.stash[LEFT_OUT] = told["left_out"]


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if LEFT_OUT in config.stash:
        terminalreporter.write_line(f"--on-servers left out {config.stash[LEFT_OUT]} tests that reach no database, cache or channel layer")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef, request: pytest.FixtureRequest):
    """No back door: a database that is asked for while the test runs is not seen when tests are chosen."""
    item = getattr(request, "_pyfuncitem", None)
    if fixturedef.argname in DATABASE and item is not None and not is_for_servers(item):
        pytest.fail(
            f"{item.nodeid} asks for {fixturedef.argname} as it runs: name it among the test's arguments, or mark the test django_db"
        )
    return (yield)


@pytest.fixture(autouse=True)
def only_what_was_asked_for(_empty_cache, request, monkeypatch):
    if is_for_servers(request.node):
        return

    def refuse(*_: object) -> None:
        pytest.fail(f"{request.node.nodeid} reaches the cache or the channel layer: mark it redis, so that it runs on a server, too")

    for handler in (CacheHandler, ChannelLayerManager):
        monkeypatch.setattr(handler, "__getitem__", refuse, raising=False)
