"""What an embedded installation refuses before it touches anything."""

import fcntl
import socket
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from traderai import embedded
from traderai.supervisor import Supervisor


@pytest.fixture
def other_installation(settings, tmp_path):
    """A private Valkey that already runs on this DATA_DIR."""
    settings.DATA_DIR = settings.RUN_DIR = tmp_path
    settings.EMBEDDED_SOCKET = tmp_path / "valkey.sock"
    supervisor = Supervisor([embedded.valkey()])
    supervisor.start()
    yield tmp_path
    supervisor.stop()


@pytest.mark.parametrize("command", [("demo",), ("demo", "--reset"), ("serve",)])
def test_it_refuses_a_second_start_and_removes_nothing(other_installation: Path, command):
    database = other_installation / "traderai.sqlite3"
    database.touch()
    with pytest.raises(CommandError, match=r"Another TraderAI already runs on .*: stop it first, or set DATA_DIR"):
        call_command(*command, port=0)
    assert database.exists()


@pytest.mark.parametrize("command", ["demo", "serve"])
def test_it_says_which_port_is_in_use_and_what_to_do(command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=rf"Port {port} is in use: .* PORT={port + 1}\)"):
            call_command(command, port=port)


def test_it_starts_again_on_the_socket_of_a_server_that_died(other_installation: Path, settings):
    settings.RUN_DIR = other_installation / "stale"
    settings.RUN_DIR.mkdir()
    settings.EMBEDDED_SOCKET = settings.RUN_DIR / "valkey.sock"
    settings.EMBEDDED_SOCKET.touch()
    embedded.require_only_one()
    embedded.require_only_one()  # demo asks, and then serve
    supervisor = Supervisor([embedded.valkey()])
    supervisor.start()
    assert embedded._answers(settings.EMBEDDED_SOCKET)
    supervisor.stop()
    assert not embedded._answers(settings.EMBEDDED_SOCKET)


def test_it_refuses_to_start_while_the_one_before_is_still_ending(settings, tmp_path):
    """Its server is gone already, and what it removes last is the socket, which would be the new one's."""
    settings.DATA_DIR = settings.RUN_DIR = tmp_path
    settings.EMBEDDED_SOCKET = tmp_path / "valkey.sock"
    with (tmp_path / "embedded.lock").open("w") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="still ending"):
            embedded.require_only_one()
    embedded.require_only_one()
